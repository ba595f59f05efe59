// Q4_0: 4-bit levels -8..7 and one scale for 32 values.
#include "quant/codecs.h"
#include "quant/search.h"

namespace minke {

void decode_q4_0(const void* blocks, float* out, int64_t count) {
  const auto* block = static_cast<const BlockQ4_0*>(blocks);
  for (int64_t start = 0; start < count; start += kSmallBlock, ++block, out += kSmallBlock) {
    const float d = f16_to_f32(block->d);
    for (int i = 0; i < 16; ++i) {
      out[i] = static_cast<float>((block->qs[i] & 15) - 8) * d;
      out[i + 16] = static_cast<float>((block->qs[i] >> 4) - 8) * d;
    }
  }
}

void encode_q4_0(const float* in, void* blocks, int64_t count, const float* importance) {
  using Levels = UniformLevels<-8, 7>;
  const CleanRow row(in, count, importance);
  auto* block = static_cast<BlockQ4_0*>(blocks);
  for (int64_t start = 0; start < count; start += kSmallBlock, ++block) {
    const auto clean = row.block<32>(start);
    block->d = to_half(fit_scale<Levels>(clean.x.data(), clean.w.data(), 32));
    const float d = f16_to_f32(block->d);
    const float inverse = inverse_of(d);
    for (size_t i = 0; i < 16; ++i) {
      const int low = Levels::nearest(clean.x[i] * inverse) + 8;
      const int high = Levels::nearest(clean.x[i + 16] * inverse) + 8;
      block->qs[i] = static_cast<uint8_t>(low | (high << 4));
    }
  }
}

}  // namespace minke
