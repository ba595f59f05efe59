// IQ4_NL: sixteen uneven levels (kIq4Values) and one scale for 32 values.
#include "quant/codecs.h"
#include "quant/search.h"

namespace minke {

void decode_iq4_nl(const void* blocks, float* out, int64_t count) {
  const auto* block = static_cast<const BlockIQ4_NL*>(blocks);
  for (int64_t start = 0; start < count; start += kSmallBlock, ++block, out += kSmallBlock) {
    const float d = f16_to_f32(block->d);
    for (int i = 0; i < 16; ++i) {
      out[i] = d * Iq4Levels::value(block->qs[i] & 15);
      out[i + 16] = d * Iq4Levels::value(block->qs[i] >> 4);
    }
  }
}

void encode_iq4_nl(const float* in, void* blocks, int64_t count, const float* importance) {
  const CleanRow row(in, count, importance);
  auto* block = static_cast<BlockIQ4_NL*>(blocks);
  for (int64_t start = 0; start < count; start += kSmallBlock, ++block) {
    const auto clean = row.block<32>(start);
    block->d = to_half(fit_scale<Iq4Levels>(clean.x.data(), clean.w.data(), 32));
    const float d = f16_to_f32(block->d);
    const float inverse = inverse_of(d);
    for (size_t i = 0; i < 16; ++i) {
      const int low = Iq4Levels::nearest(clean.x[i] * inverse);
      const int high = Iq4Levels::nearest(clean.x[i + 16] * inverse);
      block->qs[i] = static_cast<uint8_t>(low | (high << 4));
    }
  }
}

}  // namespace minke
