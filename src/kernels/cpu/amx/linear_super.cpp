// Products with super-blocks of 256, in tiles that sum over K = 64 at once. The scales of a
// weight's sub-blocks and the shifts of an activation's runs stand in the way of such sums; so both
// are multiplied in beforehand, and as the factors no longer fit into bytes, each is cut in two
// digits:
//
//   x << shift = 8 xh + xl        q * scale = B wh + wl,   B = 8 or 128
//
//   sum (x << shift) q scale = 8 B sum xh wh + sum (8 xh wl + B xl wh) + sum xl wl
//
// With r = B / 8, the middle sum is 8 sum (xh wl + r xl wh), and one more product gives it:
//
//   sum (xh - r xl) (wh - wl) = sum xh wh + r sum xl wl - sum (xh wl + r xl wh)
//
// So three byte products stand for the four of two digits by two. All of it is exact in int32,
// hence the bits are the reference's.
#include <algorithm>

#include "kernels/cpu/amx/store_totals.h"
#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/avx512/linear_quantised.h"

namespace minke::amx {
namespace {

inline constexpr int64_t kBlockRows = 32;  // two tiles of rows use a tile of weights
inline constexpr int64_t kPanelsMax = 32;  // that share a block of cut activations

// Both halves of each 32-bit lane.
__m512i twice16(__m512i v) {
  return _mm512_or_si512(_mm512_and_si512(v, _mm512_set1_epi32(0xffff)), _mm512_slli_epi32(v, 16));
}

// 64 bytes of each digit: wh, wl, wh - wl.
struct Digits {
  __m512i high, low, difference;
};

// q <= 15 and a scale of 6 bits: B = 8 cuts the scale, and q times a digit of it stays below 256,
// so that one 16-bit multiplication does two bytes.
struct Q4K : avx512::Q4_K {
  static constexpr int kBaseBits = 3;
  struct Cut {
    __m512i high, low;
  };
  static Cut cut_scale(__m512i scale) {
    const __m512i both = twice16(scale);
    return {_mm512_srli_epi16(both, 3), _mm512_and_si512(both, _mm512_set1_epi16(7))};
  }
  static Digits digits(__m512i q, const Cut& scale) {
    const __m512i high = _mm512_mullo_epi16(q, scale.high);
    const __m512i low = _mm512_mullo_epi16(q, scale.low);
    return {high, low, _mm512_sub_epi8(high, low)};
  }
};

// For vpternlogd: the third operand chooses bits of the first, or else of the second.
constexpr int kSelect = 0xe4;

// q in [-32, 31] and a scale of 8 bits: B = 128 cuts the product, wl in [-64, 63].
struct Q6K : avx512::Q6_K {
  static constexpr int kBaseBits = 7;
  using Cut = __m512i;
  static Cut cut_scale(__m512i scale) { return twice16(scale); }
  static Digits digits(__m512i biased, Cut scale) {
    const __m512i q = _mm512_sub_epi8(biased, _mm512_set1_epi8(32));
    const __m512i even = _mm512_slli_epi16(q, 8);  // times 256, like the odd ones
    const __m512i odd = _mm512_and_si512(q, _mm512_set1_epi16(static_cast<int16_t>(0xff00)));
    const __m512i low_bytes = _mm512_set1_epi16(0x00ff);
    // (256 q scale + 2^14) >> 15: the product over 128, rounded.
    const __m512i high = _mm512_ternarylogic_epi32(
        _mm512_mulhrs_epi16(even, scale), _mm512_slli_epi16(_mm512_mulhrs_epi16(odd, scale), 8),
        low_bytes, kSelect);
    const __m512i product = _mm512_ternarylogic_epi32(
        _mm512_mullo_epi16(q, scale), _mm512_mullo_epi16(odd, scale), low_bytes, kSelect);
    // The low seven bits, as a signed number.
    const __m512i bit6 = _mm512_set1_epi8(64);
    const __m512i low = _mm512_sub_epi8(
        _mm512_xor_si512(_mm512_and_si512(product, _mm512_set1_epi8(127)), bit6), bit6);
    return {high, low, _mm512_sub_epi8(high, low)};
  }
};

// --- Cutting activations
// ------------------------------------------------------------------------------

// For vgf2p8affineqb: byte 7 - i says which bit of the input becomes bit i.
constexpr uint64_t high_digit_bits(int shift) {  // x >> (3 - shift)
  uint64_t matrix = 0;
  for (int bit = 0; bit < 8; ++bit) {
    const int from = bit + 3 - shift < 7 ? bit + 3 - shift : 7;
    matrix |= uint64_t{1} << from << (8 * (7 - bit));
  }
  return matrix;
}
constexpr uint64_t low_digit_bits(int shift) {  // (x << shift) & 7
  uint64_t matrix = 0;
  for (int bit = shift; bit < 3; ++bit) matrix |= uint64_t{1} << (bit - shift) << (8 * (7 - bit));
  return matrix;
}
constexpr uint64_t kHighDigit[4] = {high_digit_bits(0), high_digit_bits(1), high_digit_bits(2),
                                    high_digit_bits(3)};
constexpr uint64_t kLowDigit[4] = {low_digit_bits(0), low_digit_bits(1), low_digit_bits(2),
                                   low_digit_bits(3)};

__m512i permute_bits(__m512i x, __m512i matrix) {
  asm("vgf2p8affineqb $0, %1, %0, %0" : "+v"(x) : "v"(matrix));
  return x;
}
__m512i two_matrices(const uint64_t* table, const int32_t* shifts) {
  return _mm512_mask_set1_epi64(_mm512_set1_epi64(static_cast<int64_t>(table[shifts[0]])), 0xf0,
                                static_cast<int64_t>(table[shifts[1]]));
}

// A group of up to 32 rows, cut: [64 values][xh, xl, xh - r xl][row][64].
struct alignas(64) CutRows {
  int8_t tiles[4][3][kBlockRows][64];
};

template <int kBaseBits>
void cut_rows(const QuantGroup* x, int64_t rows, CutRows& out) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t quarter = 0; quarter < 4; ++quarter) {
      const int32_t* shifts = x[row].shift + 2 * quarter;
      const __m512i q = _mm512_load_si512(x[row].q + quarter * 64);
      const __m512i high = permute_bits(q, two_matrices(kHighDigit, shifts));
      const __m512i low = permute_bits(q, two_matrices(kLowDigit, shifts));
      _mm512_store_si512(out.tiles[quarter][0][row], high);
      _mm512_store_si512(out.tiles[quarter][1][row], low);
      _mm512_store_si512(out.tiles[quarter][2][row],
                         _mm512_sub_epi8(high, _mm512_slli_epi16(low, kBaseBits - 3)));
    }
  }
}

// --- The product
// --------------------------------------------------------------------------------------

// A group of a panel, cut: [64 values][wh, wl, wh - wl][4 values][16 outputs][4].
struct alignas(64) CutPanel {
  int8_t tiles[4][3][16][64];
};

template <typename F>
void cut_panel(const std::byte* panel, const std::byte* group, int64_t g, CutPanel& out) {
  constexpr int64_t kRows8 = 32 / F::kSubs;
  const typename F::Scales scales = F::load_scales(panel, group, g);
  for (int64_t sub = 0; sub < F::kSubs; ++sub) {
    const typename F::Cut scale = F::cut_scale(F::scale(scales, sub));
    MINKE_UNROLL for (int64_t i = 0; i < kRows8; ++i) {
      const int64_t r = sub * kRows8 + i;
      const avx512::Bytes8 q = F::bytes(group, r);
      int8_t(*tiles)[16][64] = out.tiles[r / 8];
      const int64_t quad = 2 * r % 16;
      const Digits first = F::digits(q.low, scale);
      const Digits second = F::digits(q.high, scale);
      _mm512_store_si512(tiles[0][quad], first.high);
      _mm512_store_si512(tiles[1][quad], first.low);
      _mm512_store_si512(tiles[2][quad], first.difference);
      _mm512_store_si512(tiles[0][quad + 1], second.high);
      _mm512_store_si512(tiles[1][quad + 1], second.low);
      _mm512_store_si512(tiles[2][quad + 1], second.difference);
    }
  }
}

// The three sums of up to 32 rows, as tiles: [half][wh, wl, difference][row][output].
struct alignas(64) Sums {
  int32_t tiles[2][3][16][16];
};

// A block of rows times a group of a panel.
struct Block {
  const std::byte* panel = nullptr;
  const std::byte* group = nullptr;
  int64_t g = 0;
  const QuantGroup* x = nullptr;
  int64_t rows = 0;
  float* out = nullptr;  // [rows][16], summed over groups
};

// From tiles to fp32, rows [begin, end) of a block.
template <typename F>
void finish_rows(const Block& block, const Sums& sums, int64_t begin, int64_t end) {
  if (begin >= end) return;
  const typename F::Scales scales = F::load_scales(block.panel, block.group, block.g);
  for (int64_t row = begin; row < end; ++row) {
    const auto(&tiles)[3][16][16] = sums.tiles[row / 16];
    const __m512i high = _mm512_load_si512(tiles[0][row % 16]);
    const __m512i low = _mm512_load_si512(tiles[1][row % 16]);
    const __m512i difference = _mm512_load_si512(tiles[2][row % 16]);
    const __m512i middle =
        _mm512_add_epi32(_mm512_sub_epi32(high, difference),
                         F::kBaseBits == 3 ? low : _mm512_slli_epi32(low, F::kBaseBits - 3));
    const __m512i upper = _mm512_add_epi32(_mm512_slli_epi32(high, F::kBaseBits), middle);
    const __m512i isum = _mm512_add_epi32(_mm512_slli_epi32(upper, 3), low);
    float* at = block.out + row * 16;
    _mm512_store_ps(at, avx512::finish_super<F>(scales, block.x[row], isum, _mm512_load_ps(at)));
  }
}

template <int kDigit>
[[gnu::always_inline]] inline void multiply_digit(const CutRows& x, const CutPanel& w,
                                                  int64_t quarter, bool two_halves) {
  tile_load<7>(w.tiles[quarter][kDigit], 64);
  tile_load<6>(x.tiles[quarter][kDigit], 64);
  tile_dot<kDigit, 6, 7>();
  if (two_halves) {
    tile_load<6>(x.tiles[quarter][kDigit][16], 64);
    tile_dot<3 + kDigit, 6, 7>();
  }
}

// The tiles of one block and, beside them, the fp32 part of the block before: the two use different
// parts of the processor.
template <typename F>
void multiply_block(const CutRows& x, const CutPanel& w, bool two_halves, Sums& sums,
                    const Block& before, const Sums& sums_before, PrefetchRange& next) {
  tile_zero<0>();
  tile_zero<1>();
  tile_zero<2>();
  tile_zero<3>();
  tile_zero<4>();
  tile_zero<5>();
  for (int64_t quarter = 0; quarter < 4; ++quarter) {
    next.some();
    multiply_digit<0>(x, w, quarter, two_halves);
    next.some();
    multiply_digit<1>(x, w, quarter, two_halves);
    next.some();
    multiply_digit<2>(x, w, quarter, two_halves);
    next.some();
    finish_rows<F>(before, sums_before, quarter * before.rows / 4, (quarter + 1) * before.rows / 4);
  }
  tile_store<0>(sums.tiles[0][0], 64);
  tile_store<1>(sums.tiles[0][1], 64);
  tile_store<2>(sums.tiles[0][2], 64);
  if (!two_halves) return;
  tile_store<3>(sums.tiles[1][0], 64);
  tile_store<4>(sums.tiles[1][1], 64);
  tile_store<5>(sums.tiles[1][2], 64);
}

// What a call works in.
struct Scratch {
  CutRows x;
  Sums sums[2];
  CutPanel panels[kPanelsMax];
};

// What will be cut in this panel's place next: its next group, or the first one of the panel that
// lies as far on as a call takes panels at once.
template <typename F>
PrefetchRange group_after(const PackedMatrix& w, int64_t panel, int64_t g) {
  const int64_t header = panel_header_bytes(F::kFormat, w.in_dim());
  if (g + 1 < groups_of(w.in_dim())) {
    return {w.panel(panel) + header + (g + 1) * F::kGroupBytes, F::kGroupBytes};
  }
  if (panel + kPanelsMax >= w.panels()) return {};
  return {w.panel(panel + kPanelsMax), header + F::kGroupBytes};
}

// Some panels times all rows; `totals` is [panel][rows][16].
template <typename F>
void multiply_panels(const LinearTask& task, int64_t begin, int64_t end, Scratch& scratch,
                     float* totals) {
  const int64_t dim = task.w->in_dim();
  const int64_t header = panel_header_bytes(F::kFormat, dim);
  std::fill(totals, totals + (end - begin) * task.rows * 16, 0.0F);
  for (int64_t g = 0; g < groups_of(dim); ++g) {
    const auto group_of = [&](int64_t p) { return task.w->panel(p) + header + g * F::kGroupBytes; };
    for (int64_t p = begin; p < end; ++p) {
      cut_panel<F>(task.w->panel(p), group_of(p), g, scratch.panels[p - begin]);
    }
    Block before;
    int turn = 0;
    for (int64_t row = 0; row < task.rows; row += kBlockRows) {
      const int64_t rows = std::min(kBlockRows, task.rows - row);
      const QuantGroup* x = task.groups + g * task.rows + row;
      if (row == 0 || rows != kBlockRows) configure_tiles<6>(std::min<int64_t>(rows, 16), 64);
      cut_rows<F::kBaseBits>(x, rows, scratch.x);
      for (int64_t p = begin; p < end; ++p, turn ^= 1) {
        PrefetchRange next = row == 0 ? group_after<F>(*task.w, p, g) : PrefetchRange();
        multiply_block<F>(scratch.x, scratch.panels[p - begin], rows > 16, scratch.sums[turn],
                          before, scratch.sums[turn ^ 1], next);
        before = {.panel = task.w->panel(p),
                  .group = group_of(p),
                  .g = g,
                  .x = x,
                  .rows = rows,
                  .out = totals + ((p - begin) * task.rows + row) * 16};
      }
    }
    finish_rows<F>(before, scratch.sums[turn ^ 1], 0, before.rows);
  }
  store_totals(task, begin, end, totals);
}

template <typename F>
void linear_super(const LinearTask& task, int64_t begin, int64_t end) {
  const int64_t panels = std::min(kPanelsMax, end - begin);
  const auto totals_bytes = static_cast<size_t>(panels * task.rows * 16) * sizeof(float);
  std::byte* memory = kernel_scratch(sizeof(Scratch) + totals_bytes);
  auto& scratch = *reinterpret_cast<Scratch*>(memory);
  auto* totals = reinterpret_cast<float*>(memory + sizeof(Scratch));
  for (int64_t p = begin; p < end; p += kPanelsMax) {
    multiply_panels<F>(task, p, std::min(end, p + kPanelsMax), scratch, totals);
  }
  release_tiles();
}

}  // namespace

void linear_q4_k(const LinearTask& task, int64_t begin, int64_t end) {
  if (task.rows < kTileRowsMin) return avx512::linear_q4_k(task, begin, end);
  linear_super<Q4K>(task, begin, end);
}
void linear_q6_k(const LinearTask& task, int64_t begin, int64_t end) {
  if (task.rows < kTileRowsMin) return avx512::linear_q6_k(task, begin, end);
  linear_super<Q6K>(task, begin, end);
}

}  // namespace minke::amx
