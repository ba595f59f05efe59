#include "kernels/gemm_bf16.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/check.h"
#include "core/float_bits.h"
#include "core/memory.h"
#include "kernels/kernels.h"

namespace minke {
namespace {

// How much is packed at a time, and where it is meant to stay: left tiles of 32 rows and
// kStepsAtOnce steps (32 KiB) in the first cache while they meet the right tiles of
// kGroupsAtOnce * 32 columns, which are in the second (1 MiB).
constexpr int64_t kDepthAtOnce = 2048;
constexpr int64_t kRowsAtOnce = 1024;
constexpr int64_t kColumnsAtOnce = 8192;
constexpr int64_t kGroupsAtOnce = 8;
constexpr int64_t kStepsAtOnce = 16;
constexpr int64_t kRowGroupsAtOnce = 4;  // of one thread

int64_t pieces(int64_t count, int64_t size) { return (count + size - 1) / size; }

// Memory of a thread that lasts.
class Room {
 public:
  template <typename T>
  T* of(int64_t count) {
    const size_t bytes = static_cast<size_t>(count) * sizeof(T);
    if (memory_.size() < bytes) {
      memory_ = {};
      memory_ = Buffer::allocate_or_die(std::bit_ceil(bytes), "the operands of a product");
    }
    return reinterpret_cast<T*>(memory_.data());
  }

 private:
  Buffer memory_;
};

void share_out(ThreadPool* pool, int64_t count, FunctionRef<void(int64_t)> job) {
  if (pool != nullptr && count > 1) return pool->parallel_each(count, job);
  for (int64_t i = 0; i < count; ++i) job(i);
}

// A part of the product whose operands are packed at a time.
struct Piece {
  int64_t row, rows;
  int64_t column, columns;
  int64_t k, depth;

  int64_t row_groups() const { return pieces(rows, kPairSide); }
  int64_t column_groups() const { return pieces(columns, kPairSide); }
  int64_t steps() const { return pieces(depth, kTileDepth); }
  // Of the packed operands: [groups][steps][pair of tiles].
  int64_t place(int64_t group, int64_t step) const {
    return (group * steps() + step) * kPairValues;
  }
};

using Pack = void (*)(const float* from, int64_t stride, uint16_t* to);

// `pack` of 32 x 32 values, of which only the first `rows` x `columns` are there.
void pack_pair(Pack pack, const float* from, int64_t stride, int64_t rows, int64_t columns,
               uint16_t* to) {
  if (rows >= kPairSide && columns >= kPairSide) return pack(from, stride, to);
  float padded[kPairSide * kPairSide] = {};
  const auto bytes = static_cast<size_t>(std::min(columns, kPairSide)) * sizeof(float);
  for (int64_t row = 0; row < std::min(rows, kPairSide); ++row) {
    std::memcpy(padded + row * kPairSide, from + row * stride, bytes);
  }
  pack(padded, kPairSide, to);
}

class Product {
 public:
  Product(const GemmBf16Kernels& kernels, ThreadPool* pool, const GemmF32& gemm,
          const EncodedRows& b)
      : kernels_(kernels), pool_(pool), gemm_(gemm), b_(b) {
    CHECK(gemm.a_k_stride == 1 || gemm.a_row_stride == 1 || gemm.depth <= 1);
  }

  void run() {
    Piece piece = {};
    for (; piece.column < gemm_.columns; piece.column += kColumnsAtOnce) {
      piece.columns = std::min(kColumnsAtOnce, gemm_.columns - piece.column);
      piece.k = 0;
      do {  // once even for a depth of zero, which writes the zeros
        piece.depth = std::min(kDepthAtOnce, gemm_.depth - piece.k);
        pack_right(piece);
        for (piece.row = 0; piece.row < gemm_.rows; piece.row += kRowsAtOnce) {
          piece.rows = std::min(kRowsAtOnce, gemm_.rows - piece.row);
          pack_left(piece);
          multiply(piece);
        }
        piece.k += kDepthAtOnce;
      } while (piece.k < gemm_.depth);
    }
  }

 private:
  void pack_right(const Piece& piece) {
    static thread_local Room room;
    right_ = room.of<uint16_t>(std::max<int64_t>(1, piece.place(piece.column_groups(), 0)));
    share_out(pool_, piece.steps(), [&](int64_t step) {
      const int64_t k = piece.k + step * kTileDepth;
      const int64_t depth = std::min(kTileDepth, piece.k + piece.depth - k);
      int64_t stride = gemm_.b_stride;
      const float* from =
          b_.rows ? decoded(piece, k, depth, stride) : gemm_.b + k * stride + piece.column;
      for (int64_t group = 0; group < piece.column_groups(); ++group) {
        pack_pair(kernels_.pack_right, from + group * kPairSide, stride, depth,
                  piece.columns - group * kPairSide, right_ + piece.place(group, step));
      }
    });
  }

  // The piece's columns of B's rows from `k` on, [depth][stride].
  const float* decoded(const Piece& piece, int64_t k, int64_t depth, int64_t& stride) const {
    static thread_local Room room;
    stride = piece.columns;
    auto* values = room.of<float>(kTileDepth * stride);
    const QuantFormat& format = quant_format(b_.type);
    const size_t bytes = row_bytes(b_.type, gemm_.columns);
    const size_t before = row_bytes(b_.type, piece.column);
    for (int64_t row = 0; row < depth; ++row) {
      format.decode(b_.rows + static_cast<size_t>(k + row) * bytes + before, values + row * stride,
                    stride);
    }
    return values;
  }

  void pack_left(const Piece& piece) {
    static thread_local Room room;
    left_ = room.of<uint16_t>(std::max<int64_t>(1, piece.place(piece.row_groups(), 0)));
    const bool turned = gemm_.a_k_stride != 1 && gemm_.depth > 1;
    const int64_t stride = turned ? gemm_.a_k_stride : gemm_.a_row_stride;
    share_out(pool_, piece.row_groups(), [&](int64_t group) {
      const int64_t row = piece.row + group * kPairSide;
      const int64_t rows = piece.row + piece.rows - row;
      for (int64_t step = 0; step < piece.steps(); ++step) {
        const int64_t k = piece.k + step * kTileDepth;
        const int64_t depth = piece.k + piece.depth - k;
        const float* from = gemm_.a + row * gemm_.a_row_stride + k * gemm_.a_k_stride;
        pack_pair(turned ? kernels_.pack_left_turned : kernels_.pack_left, from, stride,
                  turned ? depth : rows, turned ? rows : depth, left_ + piece.place(group, step));
      }
    });
  }

  void multiply(const Piece& piece) const {
    const int64_t row_runs = pieces(piece.row_groups(), kRowGroupsAtOnce);
    const int64_t column_runs = pieces(piece.column_groups(), kGroupsAtOnce);
    // Rows inside, so that threads read the right tiles of the same columns.
    share_out(pool_, row_runs * column_runs, [&](int64_t index) {
      const int64_t group = index / row_runs * kGroupsAtOnce;
      const int64_t first = index % row_runs * kRowGroupsAtOnce;
      const int64_t last = std::min(first + kRowGroupsAtOnce, piece.row_groups());
      for (int64_t row_group = first; row_group < last; ++row_group) {
        multiply_rows(piece, row_group, group,
                      std::min(kGroupsAtOnce, piece.column_groups() - group));
      }
    });
  }

  // 32 rows and some groups of columns.
  void multiply_rows(const Piece& piece, int64_t row_group, int64_t group, int64_t groups) const {
    const int64_t row = row_group * kPairSide;
    const int64_t column = group * kPairSide;
    const int64_t whole =
        piece.rows - row < kPairSide ? 0 : std::min(groups, (piece.columns - column) / kPairSide);
    TileProduct product = {.right_stride = piece.place(1, 0), .c_stride = gemm_.c_stride};
    int64_t step = 0;
    do {
      product.left = left_ + piece.place(row_group, step);
      product.right = right_ + piece.place(group, step);
      product.steps = std::min(kStepsAtOnce, piece.steps() - step);
      product.groups = whole;
      product.c = gemm_.c + (piece.row + row) * gemm_.c_stride + piece.column + column;
      product.accumulate = gemm_.accumulate || piece.k > 0 || step > 0;
      if (whole > 0) kernels_.multiply(product);
      for (int64_t g = whole; g < groups; ++g) {
        TileProduct edge = product;
        edge.right += g * product.right_stride;
        edge.c += g * kPairSide;
        multiply_edge(edge, std::min(kPairSide, piece.rows - row),
                      std::min(kPairSide, piece.columns - column - g * kPairSide));
      }
      step += kStepsAtOnce;
    } while (step < piece.steps());
  }

  // A group of which C has only `rows` x `columns`.
  void multiply_edge(TileProduct product, int64_t rows, int64_t columns) const {
    alignas(64) float all[kPairSide * kPairSide] = {};
    float* const c = product.c;
    const auto bytes = static_cast<size_t>(columns) * sizeof(float);
    for (int64_t i = 0; product.accumulate && i < rows; ++i) {
      std::memcpy(all + i * kPairSide, c + i * product.c_stride, bytes);
    }
    const int64_t stride = product.c_stride;
    product.groups = 1;
    product.c = all;
    product.c_stride = kPairSide;
    kernels_.multiply(product);
    for (int64_t i = 0; i < rows; ++i) std::memcpy(c + i * stride, all + i * kPairSide, bytes);
  }

  const GemmBf16Kernels& kernels_;
  ThreadPool* const pool_;
  const GemmF32& gemm_;
  const EncodedRows b_;
  uint16_t* left_ = nullptr;
  uint16_t* right_ = nullptr;
};

float rounded(float value) { return bf16_to_f32(f32_to_bf16(value)); }

// --- The reference's tiles ----------------------------------------------------------------------

void pack_left(const float* from, int64_t stride, uint16_t* to) {
  for (int64_t row = 0; row < kPairSide; ++row) {
    for (int64_t k = 0; k < kTileDepth; ++k) {
      to[row * kTileDepth + k] = f32_to_bf16(from[row * stride + k]);
    }
  }
}

void pack_left_turned(const float* from, int64_t stride, uint16_t* to) {
  for (int64_t row = 0; row < kPairSide; ++row) {
    for (int64_t k = 0; k < kTileDepth; ++k) {
      to[row * kTileDepth + k] = f32_to_bf16(from[k * stride + row]);
    }
  }
}

int64_t right_place(int64_t k, int64_t column) {
  return column / kTileSide * kTileValues + k / 2 * kPairSide + column % kTileSide * 2 + k % 2;
}

void pack_right(const float* from, int64_t stride, uint16_t* to) {
  for (int64_t k = 0; k < kTileDepth; ++k) {
    for (int64_t column = 0; column < kPairSide; ++column) {
      to[right_place(k, column)] = f32_to_bf16(from[k * stride + column]);
    }
  }
}

void multiply(const TileProduct& p) {
  for (int64_t i = 0; i < kPairSide; ++i) {
    for (int64_t j = 0; j < p.groups * kPairSide; ++j) {
      float sum = p.accumulate ? p.c[i * p.c_stride + j] : 0.0F;
      for (int64_t step = 0; step < p.steps; ++step) {
        const uint16_t* left = p.left + step * kPairValues + i * kTileDepth;
        const uint16_t* right = p.right + j / kPairSide * p.right_stride + step * kPairValues;
        float chains[2] = {};
        for (int64_t k = 0; k < kTileDepth; ++k) {
          chains[k % 2] =
              std::fma(bf16_to_f32(left[k]), bf16_to_f32(right[right_place(k, j % kPairSide)]),
                       chains[k % 2]);
        }
        sum += chains[0] + chains[1];
      }
      p.c[i * p.c_stride + j] = sum;
    }
  }
}

}  // namespace

const GemmBf16Kernels gemm_bf16_kernels_reference = {.pack_left = pack_left,
                                                     .pack_left_turned = pack_left_turned,
                                                     .pack_right = pack_right,
                                                     .multiply = multiply};

void gemm_bf16_reference(const GemmF32& g) {
  for (int64_t i = 0; i < g.rows; ++i) {
    for (int64_t j = 0; j < g.columns; ++j) {
      float sum = g.accumulate ? g.c[i * g.c_stride + j] : 0.0F;
      for (int64_t k = 0; k < g.depth; k += kTileDepth) {
        float even = 0.0F;
        float odd = 0.0F;
        for (int64_t at = k; at < k + kTileDepth; ++at) {
          const bool there = at < g.depth;
          const float a = there ? rounded(g.a[i * g.a_row_stride + at * g.a_k_stride]) : 0.0F;
          const float b = there ? rounded(g.b[at * g.b_stride + j]) : 0.0F;
          float& chain = at % 2 == 0 ? even : odd;
          chain = std::fma(a, b, chain);
        }
        sum += even + odd;
      }
      g.c[i * g.c_stride + j] = sum;
    }
  }
}

void gemm_bf16_with(const GemmBf16Kernels& kernels, ThreadPool* pool, const GemmF32& gemm,
                    const EncodedRows& b) {
  Product(kernels, pool, gemm, b).run();
}

void gemm_bf16(const GemmF32& gemm) {
  gemm_bf16_with(*chosen_kernels().gemm_bf16, nullptr, gemm, {});
}

void gemm_bf16(ThreadPool& pool, const GemmF32& gemm) {
  gemm_bf16_with(*chosen_kernels().gemm_bf16, &pool, gemm, {});
}

void gemm_bf16(ThreadPool& pool, const GemmF32& gemm, const EncodedRows& b) {
  gemm_bf16_with(*chosen_kernels().gemm_bf16, &pool, gemm, b);
}

}  // namespace minke
