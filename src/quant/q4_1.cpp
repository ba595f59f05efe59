// Q4_1: 4-bit levels 0..15, one scale and one offset for 32 values.
#include "quant/codecs.h"
#include "quant/search.h"

namespace minke {

void decode_q4_1(const void* blocks, float* out, int64_t count) {
  const auto* block = static_cast<const BlockQ4_1*>(blocks);
  for (int64_t start = 0; start < count; start += kSmallBlock, ++block, out += kSmallBlock) {
    const float d = f16_to_f32(block->d);
    const float m = f16_to_f32(block->m);
    for (int i = 0; i < 16; ++i) {
      out[i] = static_cast<float>(block->qs[i] & 15) * d + m;
      out[i + 16] = static_cast<float>(block->qs[i] >> 4) * d + m;
    }
  }
}

void encode_q4_1(const float* in, void* blocks, int64_t count, const float* importance) {
  using Levels = UniformLevels<0, 15>;
  const CleanRow row(in, count, importance);
  auto* block = static_cast<BlockQ4_1*>(blocks);
  for (int64_t start = 0; start < count; start += kSmallBlock, ++block) {
    const auto clean = row.block<32>(start);
    const AffineFit fit = fit_affine(clean.x.data(), clean.w.data(), 32, 15, true);
    block->d = to_half(fit.scale);
    block->m = to_half(fit.offset);
    const float d = f16_to_f32(block->d);
    const float m = f16_to_f32(block->m);
    const float inverse = inverse_of(d);
    for (size_t i = 0; i < 16; ++i) {
      const int low = Levels::nearest((clean.x[i] - m) * inverse);
      const int high = Levels::nearest((clean.x[i + 16] - m) * inverse);
      block->qs[i] = static_cast<uint8_t>(low | (high << 4));
    }
  }
}

}  // namespace minke
