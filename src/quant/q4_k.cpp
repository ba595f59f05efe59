// Q4_K: 4-bit levels 0..15, 8 groups of 32 with 6-bit scales and mins.
#include <cstring>

#include "quant/codecs.h"
#include "quant/search.h"

namespace minke {

void decode_q4_k(const void* blocks, float* out, int64_t count) {
  const auto* block = static_cast<const BlockQ4_K*>(blocks);
  for (int64_t start = 0; start < count; start += kSuperBlock, ++block, out += kSuperBlock) {
    const float d = f16_to_f32(block->d);
    const float dmin = f16_to_f32(block->dmin);
    for (int g = 0; g < 8; ++g) {
      const ScaleMin packed = unpack_k4_scale(block->scales, g);
      const float scale = d * static_cast<float>(packed.scale);
      const float min = dmin * static_cast<float>(packed.min);
      const uint8_t* qs = block->qs + g / 2 * 32;
      for (int i = 0; i < 32; ++i) {
        const int level = g % 2 == 0 ? qs[i] & 15 : qs[i] >> 4;
        out[32 * g + i] = scale * static_cast<float>(level) - min;
      }
    }
  }
}

void encode_q4_k(const float* in, void* blocks, int64_t count, const float* importance) {
  const CleanRow row(in, count, importance);
  auto* block = static_cast<BlockQ4_K*>(blocks);
  for (int64_t start = 0; start < count; start += kSuperBlock, ++block) {
    const auto clean = row.block<256>(start);
    const auto chosen = AffineSearch<8, 15, 63>::run(clean);
    std::memset(block, 0, sizeof *block);
    block->d = chosen.d;
    block->dmin = chosen.dmin;
    for (int g = 0; g < 8; ++g) {
      const auto at = static_cast<size_t>(g);
      pack_k4_scale(
          block->scales, g,
          {static_cast<uint8_t>(chosen.scales[at]), static_cast<uint8_t>(chosen.mins[at])});
    }
    for (size_t i = 0; i < 256; ++i) {
      uint8_t& byte = block->qs[i / 64 * 32 + i % 32];
      byte = static_cast<uint8_t>(byte | (chosen.levels[i] << (i % 64 < 32 ? 0 : 4)));
    }
  }
}

}  // namespace minke
