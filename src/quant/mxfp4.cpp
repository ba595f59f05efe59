// MXFP4: 4-bit floats (e2m1) under a power of two for 32 values.
#include "quant/codecs.h"
#include "quant/search.h"

namespace minke {
namespace {

// Nearest of the sixteen values for a value in their units (twice e2m1); ties to the smaller.
uint8_t nearest_mxfp4(float value) {
  const float magnitude = std::fabs(value);
  uint8_t level = 0;
  while (level < 7 &&
         2.0f * magnitude > static_cast<float>(kMxfp4Values[level] + kMxfp4Values[level + 1u])) {
    ++level;
  }
  return value < 0.0f && level > 0 ? static_cast<uint8_t>(level | 8) : level;
}

float error_under(const CleanBlock<32>& clean, uint8_t exponent) {
  const float step = e8m0_half(exponent);
  float error = 0.0f;
  for (size_t i = 0; i < 32; ++i) {
    const float rest =
        step * static_cast<float>(kMxfp4Values[nearest_mxfp4(clean.x[i] / step)]) - clean.x[i];
    error += clean.w[i] * rest * rest;
  }
  return error;
}

// The power of two that suits the values best: the one that puts the largest magnitude on the
// largest level, 6, or one of its neighbours.
uint8_t choose_exponent(const CleanBlock<32>& clean) {
  if (clean.magnitude_max < 0x1p-60f) return 0;
  const int middle = std::ilogb(clean.magnitude_max) - 2 + 127;
  int best = middle;
  float best_error = error_under(clean, static_cast<uint8_t>(middle));
  for (const int exponent : {middle - 1, middle + 1}) {
    const float error = error_under(clean, static_cast<uint8_t>(exponent));
    if (error < best_error) {
      best_error = error;
      best = exponent;
    }
  }
  return static_cast<uint8_t>(best);
}

}  // namespace

void decode_mxfp4(const void* blocks, float* out, int64_t count) {
  const auto* block = static_cast<const BlockMXFP4*>(blocks);
  for (int64_t start = 0; start < count; start += kSmallBlock, ++block, out += kSmallBlock) {
    const float d = e8m0_half(block->e);
    for (int i = 0; i < 16; ++i) {
      out[i] = static_cast<float>(kMxfp4Values[block->qs[i] & 15u]) * d;
      out[i + 16] = static_cast<float>(kMxfp4Values[block->qs[i] >> 4]) * d;
    }
  }
}

void encode_mxfp4(const float* in, void* blocks, int64_t count, const float* importance) {
  const CleanRow row(in, count, importance);
  auto* block = static_cast<BlockMXFP4*>(blocks);
  for (int64_t start = 0; start < count; start += kSmallBlock, ++block) {
    const auto clean = row.block<32>(start);
    block->e = choose_exponent(clean);
    const float step = e8m0_half(block->e);
    const bool zero = block->e == 0;
    for (size_t i = 0; i < 16; ++i) {
      const uint8_t low = zero ? uint8_t{0} : nearest_mxfp4(clean.x[i] / step);
      const uint8_t high = zero ? uint8_t{0} : nearest_mxfp4(clean.x[i + 16] / step);
      block->qs[i] = static_cast<uint8_t>(low | (high << 4));
    }
  }
}

}  // namespace minke
