// From the checkpoint's rows to panels. The formats that models are made of go eight values at a
// time in one register; the rare ones go through a plain list of integers. That what is written is
// what panel_quant() and its sisters read is proven by kernels_test.cpp, which multiplies by it.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>

#include "core/check.h"
#include "core/float_bits.h"
#include "kernels/activation.h"
#include "kernels/panels.h"
#include "quant/blocks.h"

namespace minke {
namespace {

template <typename T>
T load(const void* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
template <typename T>
void store(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

constexpr uint64_t kNibbles = 0x0f0f0f0f0f0f0f0fu;
constexpr uint64_t kOnes = 0x0101010101010101u;

// Eight values (one a byte) as four bytes: values 0..3 low, 4..7 high.
uint32_t join_nibbles(uint64_t eight) {
  return static_cast<uint32_t>(eight) | static_cast<uint32_t>(eight >> 32) << 4;
}
// The low and the high four of eight values' further bits, `width` bits apart, for the bytes of
// high bits; `slot` is the row of nibbles they belong to.
uint32_t join_bits(uint64_t eight, int64_t slot, int width) {
  const auto low = static_cast<uint32_t>(eight);
  const auto high = static_cast<uint32_t>(eight >> 32);
  return low << (2 * slot * width) | high << ((2 * slot + 1) * width);
}

// --- Formats with a scale for each run, where the file's fp16 scales are kept
// ---------------------

// `from` is read in place: a copy of a block of 18 bytes is written in pieces that do not fit those
// in which it is read back, and waiting for them took three quarters of the time.
template <typename Block>
void write_run(std::byte* group, const RunPlaces& places, int64_t o, int64_t run,
               const std::byte* from) {
  constexpr bool kFifth = requires(Block block) { block.qh; };
  const std::byte* qs = from + offsetof(Block, qs);
  store(group + (run * kPanelOutputs + o) * 2, load<uint16_t>(from + offsetof(Block, d)));
  std::byte* payload = group + places.payload + run * places.run_bytes + o * 4;
  if constexpr (requires(Block block) { block.m; }) {
    store(group + places.min + (run * kPanelOutputs + o) * 2,
          load<uint16_t>(from + offsetof(Block, m)));
  }
  if constexpr (sizeof Block::qs == 32) {  // Q8_0
    for (int64_t k = 0; k < 32; k += 4) {
      store(payload + k * 16, load<uint32_t>(qs + k) ^ 0x80808080u);
    }
    return;
  }
  uint32_t high_bits = 0;
  for (int64_t i = 0; i < 4; ++i) {  // values 8i..8i+7
    const uint64_t eight = load<uint64_t>(qs + 8 * (i % 2)) >> (4 * (i / 2)) & kNibbles;
    store(payload + i * 64, join_nibbles(eight));
    if constexpr (kFifth) {
      // Bit b of the byte becomes byte b.
      const uint64_t spread =
          load<uint8_t>(from + offsetof(Block, qh) + i) * kOnes & 0x8040201008040201u;
      high_bits |= join_bits((spread + 0x7f7f7f7f7f7f7f7fu) >> 7 & kOnes, i, 1);
    }
  }
  if constexpr (kFifth) store(payload + 256, high_bits);
}

// --- Super-blocks
// -----------------------------------------------------------------------------------

// The 6-bit scales and mins of an output in three words: word 0 holds scales 0..3 in the low six
// bits of its bytes, word 1 scales 4..7, word 2 mins 0..3; the two top bits of the three together
// are mins 4..7.
void write_k4_scales(std::byte* at, int64_t o, const uint8_t* packed) {
  for (int j = 0; j < 4; ++j) {
    const ScaleMin low = unpack_k4_scale(packed, j);
    const ScaleMin high = unpack_k4_scale(packed, j + 4);
    at[0 + o * 4 + j] = static_cast<std::byte>(low.scale | (high.min & 3) << 6);
    at[64 + o * 4 + j] = static_cast<std::byte>(high.scale | (high.min >> 2 & 3) << 6);
    at[128 + o * 4 + j] = static_cast<std::byte>(low.min | (high.min >> 4 & 3) << 6);
  }
}

// Q4_K and Q5_K.
template <typename Block>
void write_k4(std::byte* group, int64_t o, const Block& block) {
  constexpr bool kFifth = requires { block.qh; };
  constexpr int64_t kPart = kFifth ? 320 : 256;  // of 32 values
  store(group + o * 2, block.d);
  store(group + 32 + o * 2, block.dmin);
  write_k4_scales(group + 64, o, block.scales);
  for (int64_t j = 0; j < 8; ++j) {
    std::byte* part = group + 256 + j * kPart + o * 4;
    uint32_t high_bits = 0;
    for (int64_t i = 0; i < 4; ++i) {
      const uint64_t eight =
          load<uint64_t>(block.qs + j / 2 * 32 + 8 * i) >> (4 * (j % 2)) & kNibbles;
      store(part + i * 64, join_nibbles(eight));
      if constexpr (kFifth) {
        high_bits |= join_bits(load<uint64_t>(block.qh + 8 * i) >> j & kOnes, i, 1);
      }
    }
    if constexpr (kFifth) store(part + 256, high_bits);
  }
}

void write_q6_k(std::byte* panel, std::byte* group, int64_t g, int64_t o, const BlockQ6_K& block) {
  store(panel + (g * kPanelOutputs + o) * 2, block.d);
  for (int64_t sub = 0; sub < 16; sub += 4) {
    store(group + sub / 4 * 64 + o * 4, load<uint32_t>(block.scales + sub));
  }
  for (int64_t part = 0; part < 16; ++part) {  // of 16 values
    const int64_t quarter = part % 8 / 2;
    std::byte* at = group + 256 + part * 192 + o * 4;
    uint32_t high_bits = 0;
    for (int64_t i = 0; i < 2; ++i) {
      const int64_t l = part % 2 * 16 + 8 * i;
      const uint64_t low = load<uint64_t>(block.ql + part / 8 * 64 + 32 * (quarter % 2) + l);
      const uint64_t high = load<uint64_t>(block.qh + part / 8 * 32 + l);
      store(at + i * 64, join_nibbles(low >> (4 * (quarter / 2)) & kNibbles));
      high_bits |= join_bits(high >> (2 * quarter) & (3 * kOnes), i, 2);
    }
    store(at + 128, high_bits);
  }
}

// --- Rare formats, widened to bytes -------------------------------------------------------------

struct RunValues {  // 32 values of one output: d q + m
  float d = 0;
  float m = 0;
  int q[32] = {};
};

RunValues read_run(QuantType type, const std::byte* at) {
  RunValues out;
  const auto nibbles = [&](const uint8_t* qs, auto value) {
    for (int i = 0; i < 16; ++i) {
      out.q[i] = value(qs[i] & 15);
      out.q[i + 16] = value(qs[i] >> 4);
    }
  };
  if (type == QuantType::kQ5_1) {
    const auto block = load<BlockQ5_1>(at);
    nibbles(block.qs, [](int q) { return q; });
    for (int i = 0; i < 32; ++i) out.q[i] += (block.qh[i / 8] >> (i % 8) & 1) << 4;
    out.d = f16_to_f32(block.d);
    out.m = f16_to_f32(block.m);
  } else if (type == QuantType::kIQ4_NL) {
    const auto block = load<BlockIQ4_NL>(at);
    nibbles(block.qs, [](int q) { return kIq4Values[static_cast<size_t>(q)]; });
    out.d = f16_to_f32(block.d);
  } else {
    CHECK(type == QuantType::kMXFP4);
    const auto block = load<BlockMXFP4>(at);
    nibbles(block.qs, [](int q) { return kMxfp4Values[static_cast<size_t>(q)]; });
    out.d = e8m0_half(block.e);
  }
  return out;
}

struct SuperValues {  // 256 values of one output: d scale q - dmin min
  float d = 0;
  float dmin = 0;
  int scale[16] = {};
  int min[16] = {};
  int q[256] = {};
};

SuperValues read_iq4_xs(const BlockIQ4_XS& block) {
  SuperValues out;
  out.d = f16_to_f32(block.d);
  for (int g = 0; g < 8; ++g) {
    const int low = block.scales_l[g / 2] >> (4 * (g % 2)) & 15;
    const int high = block.scales_h >> (2 * g) & 3;
    out.scale[2 * g] = out.scale[2 * g + 1] = (low | high << 4) - 32;
  }
  for (int i = 0; i < 256; ++i) {
    const int q = block.qs[i / 32 * 16 + i % 16] >> (i % 32 >= 16 ? 4 : 0) & 15;
    out.q[i] = kIq4Values[static_cast<size_t>(q)];
  }
  return out;
}

SuperValues read_super(QuantType type, const std::byte* at) {
  if (type == QuantType::kIQ4_XS) return read_iq4_xs(load<BlockIQ4_XS>(at));
  CHECK(type == QuantType::kQ8_K);
  const auto block = load<BlockQ8_K>(at);
  SuperValues out;
  out.d = block.d;
  std::fill(std::begin(out.scale), std::end(out.scale), 1);
  std::copy(std::begin(block.qs), std::end(block.qs), std::begin(out.q));
  return out;
}

void write_run8(std::byte* run, int64_t o, const RunValues& values) {
  store(run + o * 4, values.d);
  store(run + 64 + o * 4, values.m);
  for (int k = 0; k < 32; ++k) {
    run[128 + byte_place(o, k)] = static_cast<std::byte>(values.q[k] + 128);
  }
}

void write_super8(std::byte* group, int64_t o, const SuperValues& values) {
  store(group + o * 4, values.d);
  store(group + 64 + o * 4, values.dmin);
  for (int sub = 0; sub < 16; ++sub) {
    group[128 + sub * 16 + o] = static_cast<std::byte>(values.scale[sub]);
    group[384 + sub * 16 + o] = static_cast<std::byte>(values.min[sub]);
  }
  for (int k = 0; k < 256; ++k) {
    group[640 + byte_place(o, k)] = static_cast<std::byte>(values.q[k] + 128);
  }
}

// Q2_K and Q3_K, which experts of large models come in, four values at a time. `four` are those of
// words of 32 bytes, two bits each, that `j` says.
uint32_t crumbs(const uint8_t* four, int j) {
  return load<uint32_t>(four) >> (2 * j) & 0x03030303u;
}

void write_q2_k(std::byte* group, int64_t o, const BlockQ2_K& block) {
  store(group + o * 4, f16_to_f32(block.d));
  store(group + 64 + o * 4, f16_to_f32(block.dmin));
  for (int sub = 0; sub < 16; ++sub) {
    group[128 + sub * 16 + o] = static_cast<std::byte>(block.scales[sub] & 15);
    group[384 + sub * 16 + o] = static_cast<std::byte>(block.scales[sub] >> 4);
  }
  for (int k = 0; k < 256; k += 4) {
    const uint32_t q = crumbs(block.qs + k / 128 * 32 + k % 32, k % 128 / 32);
    store(group + 640 + byte_place(o, k), q | 0x80808080u);
  }
}

void write_q3_k(std::byte* group, int64_t o, const BlockQ3_K& block) {
  store(group + o * 4, f16_to_f32(block.d));
  store(group + 64 + o * 4, 0.0F);
  for (int sub = 0; sub < 16; ++sub) {
    group[128 + sub * 16 + o] = static_cast<std::byte>(unpack_q3_k_scale(block.scales, sub) - 32);
    group[384 + sub * 16 + o] = std::byte{0};
  }
  for (int k = 0; k < 256; k += 4) {
    const uint32_t low = crumbs(block.qs + k / 128 * 32 + k % 32, k % 128 / 32);
    const uint32_t high = load<uint32_t>(block.hmask + k % 32) >> (k / 32) & 0x01010101u;
    // q - 4 + 128 a byte, from 124 to 131: no carry.
    store(group + 640 + byte_place(o, k), (low | high << 2) + 0x7c7c7c7cu);
  }
}

// --- Panels
// ------------------------------------------------------------------------------------------

template <typename T>
void pack_float_panel(PanelFormat format, const std::byte* rows, int64_t count, int64_t dim,
                      std::byte* panel) {
  for (int64_t o = 0; o < count; ++o) {
    const std::byte* from = rows + o * dim * static_cast<int64_t>(sizeof(T));
    for (int64_t k = 0; k < dim; ++k) {
      const int64_t to = format == PanelFormat::kBF16 ? (k / 2 * kPanelOutputs + o) * 2 + k % 2
                                                      : k * kPanelOutputs + o;
      store(panel + to * static_cast<int64_t>(sizeof(T)),
            load<T>(from + k * static_cast<int64_t>(sizeof(T))));
    }
  }
}

void pack_super_row(QuantType type, const std::byte* from, int64_t groups, int64_t o,
                    std::byte* panel, std::byte* group) {
  const PanelFormat format = panel_format_of(type);
  const size_t block_bytes = quant_format(type).block_bytes;
  for (int64_t g = 0; g < groups; ++g) {
    switch (type) {
      case QuantType::kQ4_K:
        write_k4(group, o, load<BlockQ4_K>(from));
        break;
      case QuantType::kQ5_K:
        write_k4(group, o, load<BlockQ5_K>(from));
        break;
      case QuantType::kQ6_K:
        write_q6_k(panel, group, g, o, load<BlockQ6_K>(from));
        break;
      case QuantType::kQ2_K:
        write_q2_k(group, o, load<BlockQ2_K>(from));
        break;
      case QuantType::kQ3_K:
        write_q3_k(group, o, load<BlockQ3_K>(from));
        break;
      default:
        write_super8(group, o, read_super(type, from));
    }
    from += block_bytes;
    group += group_bytes(format, 8);
  }
}

void pack_run_row(QuantType type, const std::byte* from, int64_t dim, int64_t o, std::byte* group) {
  const PanelFormat format = panel_format_of(type);
  const size_t block_bytes = quant_format(type).block_bytes;
  for (int64_t g = 0; g < groups_of(dim); ++g) {
    const int64_t runs = runs_in_group(dim, g);
    const RunPlaces places = run_places(format, runs);
    for (int64_t run = 0; run < runs; ++run, from += block_bytes) {
      switch (type) {
        case QuantType::kQ4_0:
          write_run<BlockQ4_0>(group, places, o, run, from);
          break;
        case QuantType::kQ4_1:
          write_run<BlockQ4_1>(group, places, o, run, from);
          break;
        case QuantType::kQ5_0:
          write_run<BlockQ5_0>(group, places, o, run, from);
          break;
        case QuantType::kQ8_0:
          write_run<BlockQ8_0>(group, places, o, run, from);
          break;
        default:
          write_run8(group + run * places.run_bytes, o, read_run(type, from));
      }
    }
    group += group_bytes(format, runs);
  }
}

void pack_panel(QuantType type, const std::byte* rows, int64_t count, int64_t dim,
                std::byte* panel) {
  const PanelFormat format = panel_format_of(type);
  if (format == PanelFormat::kF32)
    return pack_float_panel<uint32_t>(format, rows, count, dim, panel);
  if (!is_quantised(format)) return pack_float_panel<uint16_t>(format, rows, count, dim, panel);
  const size_t bytes = row_bytes(type, dim);
  std::byte* group = panel + panel_header_bytes(format, dim);
  for (int64_t o = 0; o < count; ++o) {
    const std::byte* from = rows + static_cast<size_t>(o) * bytes;
    if (is_super_block(format)) {
      pack_super_row(type, from, groups_of(dim), o, panel, group);
    } else {
      pack_run_row(type, from, dim, o, group);
    }
  }
}

void pack_panel(const Weight& weight, int64_t index, std::byte* panel) {
  const int64_t dim = weight.in_dim();
  const int64_t first = index * kPanelOutputs;
  const int64_t count = std::min(kPanelOutputs, weight.out_dim() - first);
  const std::byte* rows = weight.rows + static_cast<size_t>(first) * row_bytes(weight.type, dim);
  pack_panel(weight.type, rows, count, dim, panel);
}

// The first row with a weight that is no number, so far, among those of all threads.
void note_bad_row(const Weight& weight, int64_t index, std::atomic<int64_t>& bad_row) {
  const int64_t first = index * kPanelOutputs;
  const int64_t count = std::min(kPanelOutputs, weight.out_dim() - first);
  const std::byte* rows =
      weight.rows + static_cast<size_t>(first) * row_bytes(weight.type, weight.in_dim());
  const int64_t value = find_non_finite(weight.type, rows, count * weight.in_dim());
  if (value < 0) return;
  const int64_t row = first + value / weight.in_dim();
  int64_t known = bad_row.load();
  while (row < known && !bad_row.compare_exchange_weak(known, row)) {
  }
}

int64_t panels_in_slice(const Weight& weight) {
  constexpr int64_t kSliceBytes = int64_t{2} << 20;
  const size_t panel = kPanelOutputs * row_bytes(weight.type, weight.in_dim());
  return std::max<int64_t>(1, kSliceBytes / static_cast<int64_t>(panel));
}

void tell_was_read(const Weight& weight, int64_t first_panel, int64_t last_panel) {
  if (!weight.was_read) return;
  const auto bytes = static_cast<int64_t>(row_bytes(weight.type, weight.in_dim()));
  const int64_t first = first_panel * kPanelOutputs;
  const int64_t last = std::min(last_panel * kPanelOutputs, weight.out_dim());
  weight.was_read(weight.rows + first * bytes, static_cast<size_t>((last - first) * bytes));
}

Status no_bad_row(const Weight& weight, int64_t bad_row) {
  if (bad_row == weight.out_dim()) return {};
  return fail(
      fmt::format("tensor '{}' holds an infinite or NaN weight in row {}; the file is damaged",
                  weight.name, bad_row));
}

}  // namespace

Status check_finite(const Weight& weight, ThreadPool& pool) {
  CHECK(weight.rows != nullptr);
  std::atomic<int64_t> bad_row = weight.out_dim();
  const int64_t panels = (weight.out_dim() + kPanelOutputs - 1) / kPanelOutputs;
  pool.parallel_for(panels, 4, [&](int64_t begin, int64_t end) {
    const int64_t slice = panels_in_slice(weight);
    for (int64_t first = begin; first < end; first += slice) {
      const int64_t last = std::min(end, first + slice);
      for (int64_t i = first; i < last; ++i) note_bad_row(weight, i, bad_row);
      tell_was_read(weight, first, last);
    }
  });
  return no_bad_row(weight, bad_row);
}

Result<std::shared_ptr<PackedMatrix>> PackedMatrix::pack(const Weight& weight, ThreadPool& pool,
                                                         Arena& arena) {
  CHECK(weight.rows != nullptr);
  const QuantFormat& format = quant_format(weight.type);
  if (weight.in_dim() % format.block_size != 0) {
    return fail(
        fmt::format("tensor '{}' is {} with {} inputs, which is no multiple of that format's {}",
                    weight.name, format.name, weight.in_dim(), format.block_size));
  }
  auto packed = std::make_shared<PackedMatrix>();
  packed->format_ = panel_format_of(weight.type);
  packed->out_dim_ = weight.out_dim();
  packed->in_dim_ = weight.in_dim();
  packed->panel_bytes_ = panel_bytes_for(packed->format_, weight.in_dim());
  MINKE_ASSIGN(packed->data_,
               arena.take(static_cast<size_t>(packed->panels() * packed->panel_bytes_),
                          weight.name.c_str()));
  packed->first_ = packed->data_.data();
  std::atomic<int64_t> bad_row = weight.out_dim();
  pool.parallel_for(packed->panels(), 4, [&](int64_t begin, int64_t end) {
    // In slices, so that a large matrix is never in memory twice, as rows and as panels.
    const int64_t slice = panels_in_slice(weight);
    for (int64_t first = begin; first < end; first += slice) {
      const int64_t last = std::min(end, first + slice);
      for (int64_t i = first; i < last; ++i) {
        note_bad_row(weight, i, bad_row);
        pack_panel(weight, i, packed->first_ + i * packed->panel_bytes_);
      }
      tell_was_read(weight, first, last);
    }
  });
  MINKE_TRY(no_bad_row(weight, bad_row));
  return packed;
}

PackedMatrix PackedMatrix::over(QuantType type, int64_t out_dim, int64_t in_dim,
                                std::byte* memory) {
  CHECK_EQ(out_dim % kPanelOutputs, 0);
  PackedMatrix matrix;
  matrix.format_ = panel_format_of(type);
  matrix.out_dim_ = out_dim;
  matrix.in_dim_ = in_dim;
  matrix.panel_bytes_ = panel_bytes_for(matrix.format_, in_dim);
  matrix.first_ = memory;
  return matrix;
}

void PackedMatrix::pack_panels(QuantType type, const std::byte* rows, int64_t begin, int64_t end) {
  CHECK(panel_format_of(type) == format_);
  const size_t rows_bytes = kPanelOutputs * row_bytes(type, in_dim_);
  for (int64_t i = begin; i < end; ++i, rows += rows_bytes) {
    pack_panel(type, rows, kPanelOutputs, in_dim_, first_ + i * panel_bytes_);
  }
}

void PackedMatrix::repack(const Weight& weight, ThreadPool& pool) {
  CHECK_EQ(weight.out_dim(), out_dim_);
  CHECK_EQ(weight.in_dim(), in_dim_);
  CHECK(panel_format_of(weight.type) == format_);
  // Every byte that holds a value is written again; what pads a panel stays zero.
  pool.parallel_for(panels(), 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) pack_panel(weight, i, first_ + i * panel_bytes_);
  });
}

}  // namespace minke
