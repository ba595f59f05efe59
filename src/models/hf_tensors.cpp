#include "models/hf_tensors.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/check.h"
#include "io/mmap.h"

namespace minke {
namespace {

float fp8_value(std::byte code) {
  const auto bits = static_cast<unsigned>(code);
  const unsigned exponent = bits >> 3 & 15;
  const unsigned mantissa = bits & 7;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
  const float magnitude =
      exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                    : std::ldexp(static_cast<float>(8 + mantissa), static_cast<int>(exponent) - 10);
  return (bits & 128) != 0 ? -magnitude : magnitude;
}

// Row `row` of an FP8 source as fp32.
void read_fp8_row(const HfSource& source, int64_t row, float* out) {
  static const auto fp8 = [] {
    std::array<float, 256> table{};
    for (size_t code = 0; code < table.size(); ++code)
      table[code] = fp8_value(static_cast<std::byte>(code));
    return table;
  }();
  const int64_t dim = source.tensor->shape.back();
  const std::byte* from = source.tensor->data + row * dim;
  const QuantFormat& scales = quant_format(kept_type({.tensor = source.scales}));
  const int64_t blocks = source.scales->shape[1];
  const std::byte* scales_at =
      source.scales->data + static_cast<size_t>(row / kScaleBlock) * row_bytes(scales.type, blocks);
  for (int64_t begin = 0; begin < dim; begin += kScaleBlock) {
    float scale = 0.0F;
    scales.decode(scales_at + static_cast<size_t>(begin / kScaleBlock) * scales.block_bytes, &scale,
                  1);
    const int64_t end = std::min(dim, begin + kScaleBlock);
    for (int64_t i = begin; i < end; ++i) out[i] = fp8[static_cast<size_t>(from[i])] * scale;
  }
}

}  // namespace

QuantType kept_type(const HfSource& source) {
  switch (source.tensor->type) {
    case SafetensorType::kF32:
      return QuantType::kF32;
    case SafetensorType::kF16:
      return QuantType::kF16;
    case SafetensorType::kBF16:
    case SafetensorType::kF8E4M3:
      return QuantType::kBF16;
  }
  return QuantType::kF32;
}

void read_row(const HfSource& source, int64_t row, float* out) {
  if (source.tensor->type == SafetensorType::kF8E4M3) return read_fp8_row(source, row, out);
  const int64_t dim = source.tensor->shape.back();
  const QuantType type = kept_type(source);
  quant_format(type).decode(source.tensor->data + static_cast<size_t>(row) * row_bytes(type, dim),
                            out, dim);
}

bool HfTarget::in_place() const {
  return sources.size() == 1 && permuted_heads == 0 && kept_type(sources[0]) == type &&
         sources[0].tensor->type != SafetensorType::kF8E4M3;
}

int64_t HfTarget::source_row(int64_t rows, int64_t row) const {
  if (permuted_heads == 0) return row;
  const int64_t head_dim = rows / permuted_heads;
  CHECK(head_dim > 0);  // rows are a multiple of twice the heads (Tensors)
  const int64_t within = row % head_dim;
  return row - within + within / 2 + within % 2 * (head_dim / 2);
}

Status HfTarget::make_rows(int64_t first_row, std::span<std::byte> out) const {
  const int64_t dim = shape.back();
  const size_t row_size = row_bytes(type, dim);
  if (!values.empty()) {
    const auto from = std::as_bytes(std::span(values));
    std::ranges::copy(from.subspan(static_cast<size_t>(first_row) * row_size, out.size()),
                      out.begin());
    return {};
  }
  std::vector<float> one(static_cast<size_t>(dim));
  std::byte* to = out.data();
  const std::byte* const end = to + out.size();
  for (const HfSource& source : sources) {
    const int64_t rows = source.tensor->shape.rows();
    const int64_t begin = std::min(first_row, rows);
    first_row -= begin;
    const bool as_it_is =
        kept_type(source) == type && source.tensor->type != SafetensorType::kF8E4M3;
    int64_t row = begin;
    for (; row < rows && to < end; ++row, to += row_size) {
      const int64_t from = source_row(rows, row);
      if (as_it_is) {
        std::memcpy(to, source.tensor->data + static_cast<size_t>(from) * row_size, row_size);
      } else {
        read_row(source, from, one.data());
        quant_format(type).encode(one.data(), to, dim, nullptr);
      }
    }
    if (row == begin) continue;
    const size_t stored = source.tensor->bytes / static_cast<size_t>(rows);
    MappedFile::drop(std::span(source.tensor->data, source.tensor->bytes)
                         .subspan(static_cast<size_t>(begin) * stored,
                                  static_cast<size_t>(row - begin) * stored));
  }
  return {};
}

}  // namespace minke
