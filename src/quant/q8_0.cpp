// Q8_0: 8-bit levels -127..127 and one scale for 32 values. So fine that the plain scale (largest
// magnitude at level 127) is good enough.
#include "quant/codecs.h"
#include "quant/search.h"

namespace minke {

void decode_q8_0(const void* blocks, float* out, int64_t count) {
  const auto* block = static_cast<const BlockQ8_0*>(blocks);
  for (int64_t start = 0; start < count; start += kSmallBlock, ++block, out += kSmallBlock) {
    const float d = f16_to_f32(block->d);
    for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(block->qs[i]) * d;
  }
}

void encode_q8_0(const float* in, void* blocks, int64_t count, const float*) {
  using Levels = UniformLevels<-127, 127>;
  const CleanRow row(in, count, nullptr);
  auto* block = static_cast<BlockQ8_0*>(blocks);
  for (int64_t start = 0; start < count; start += kSmallBlock, ++block) {
    const auto clean = row.block<32>(start);
    block->d = to_half(clean.magnitude_max / 127.0f);
    const float d = f16_to_f32(block->d);
    const float inverse = inverse_of(d);
    for (size_t i = 0; i < 32; ++i) {
      block->qs[i] = static_cast<int8_t>(Levels::nearest(clean.x[i] * inverse));
    }
  }
}

}  // namespace minke
