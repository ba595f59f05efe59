// Q2_K: 2-bit levels 0..3, 16 groups of 16 with 4-bit scales and mins.
#include <cstring>

#include "quant/codecs.h"
#include "quant/search.h"

namespace minke {

void decode_q2_k(const void* blocks, float* out, int64_t count) {
  const auto* block = static_cast<const BlockQ2_K*>(blocks);
  for (int64_t start = 0; start < count; start += kSuperBlock, ++block, out += kSuperBlock) {
    const float d = f16_to_f32(block->d);
    const float dmin = f16_to_f32(block->dmin);
    for (int i = 0; i < 256; ++i) {
      const int scales = block->scales[i / 16];
      const float scale = d * static_cast<float>(scales & 15);
      const float min = dmin * static_cast<float>(scales >> 4);
      const int level = (block->qs[i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32))) & 3;
      out[i] = scale * static_cast<float>(level) - min;
    }
  }
}

void encode_q2_k(const float* in, void* blocks, int64_t count, const float* importance) {
  const CleanRow row(in, count, importance);
  auto* block = static_cast<BlockQ2_K*>(blocks);
  for (int64_t start = 0; start < count; start += kSuperBlock, ++block) {
    const auto clean = row.block<256>(start);
    const auto chosen = AffineSearch<16, 3, 15>::run(clean);
    std::memset(block, 0, sizeof *block);
    block->d = chosen.d;
    block->dmin = chosen.dmin;
    for (size_t g = 0; g < 16; ++g) {
      block->scales[g] = static_cast<uint8_t>(chosen.scales[g] | (chosen.mins[g] << 4));
    }
    for (size_t i = 0; i < 256; ++i) {
      uint8_t& byte = block->qs[i / 128 * 32 + i % 32];
      byte = static_cast<uint8_t>(byte | (chosen.levels[i] << (2 * (i % 128 / 32))));
    }
  }
}

}  // namespace minke
