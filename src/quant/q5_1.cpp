// Q5_1: 5-bit levels 0..31, one scale and one offset for 32 values.
#include <cstring>

#include "quant/codecs.h"
#include "quant/search.h"

namespace minke {

void decode_q5_1(const void* blocks, float* out, int64_t count) {
  const auto* block = static_cast<const BlockQ5_1*>(blocks);
  for (int64_t start = 0; start < count; start += kSmallBlock, ++block, out += kSmallBlock) {
    const float d = f16_to_f32(block->d);
    const float m = f16_to_f32(block->m);
    uint32_t qh;
    std::memcpy(&qh, block->qh, sizeof qh);
    for (int i = 0; i < 16; ++i) {
      const int low = (block->qs[i] & 15) | static_cast<int>(((qh >> i) & 1u) << 4);
      const int high = (block->qs[i] >> 4) | static_cast<int>(((qh >> (i + 16)) & 1u) << 4);
      out[i] = static_cast<float>(low) * d + m;
      out[i + 16] = static_cast<float>(high) * d + m;
    }
  }
}

void encode_q5_1(const float* in, void* blocks, int64_t count, const float* importance) {
  using Levels = UniformLevels<0, 31>;
  const CleanRow row(in, count, importance);
  auto* block = static_cast<BlockQ5_1*>(blocks);
  for (int64_t start = 0; start < count; start += kSmallBlock, ++block) {
    const auto clean = row.block<32>(start);
    const AffineFit fit = fit_affine(clean.x.data(), clean.w.data(), 32, 31, true);
    block->d = to_half(fit.scale);
    block->m = to_half(fit.offset);
    const float d = f16_to_f32(block->d);
    const float m = f16_to_f32(block->m);
    const float inverse = inverse_of(d);
    uint32_t qh = 0;
    for (size_t i = 0; i < 16; ++i) {
      const auto low = static_cast<uint32_t>(Levels::nearest((clean.x[i] - m) * inverse));
      const auto high = static_cast<uint32_t>(Levels::nearest((clean.x[i + 16] - m) * inverse));
      block->qs[i] = static_cast<uint8_t>((low & 15u) | ((high & 15u) << 4));
      qh |= ((low >> 4) << i) | ((high >> 4) << (i + 16));
    }
    std::memcpy(block->qh, &qh, sizeof qh);
  }
}

}  // namespace minke
