// Q3_K: 3-bit levels -4..3, 16 groups of 16 with 6-bit scales.
#include <cstring>

#include "quant/codecs.h"
#include "quant/search.h"

namespace minke {

void decode_q3_k(const void* blocks, float* out, int64_t count) {
  const auto* block = static_cast<const BlockQ3_K*>(blocks);
  for (int64_t start = 0; start < count; start += kSuperBlock, ++block, out += kSuperBlock) {
    const float d = f16_to_f32(block->d);
    for (int i = 0; i < 256; ++i) {
      const float scale = d * static_cast<float>(unpack_q3_k_scale(block->scales, i / 16) - 32);
      const int low = (block->qs[i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32))) & 3;
      const int high = (block->hmask[i % 32] >> (i / 32)) & 1;
      out[i] = scale * static_cast<float>(low + 4 * high - 4);
    }
  }
}

void encode_q3_k(const float* in, void* blocks, int64_t count, const float* importance) {
  using Search = SymmetricSearch<UniformLevels<-4, 3>, UniformLevels<-32, 31>, 16>;
  const CleanRow row(in, count, importance);
  auto* block = static_cast<BlockQ3_K*>(blocks);
  for (int64_t start = 0; start < count; start += kSuperBlock, ++block) {
    const auto clean = row.block<256>(start);
    const auto chosen = Search::run(clean);
    std::memset(block, 0, sizeof *block);
    block->d = chosen.d;
    for (int g = 0; g < 16; ++g) {
      pack_q3_k_scale(block->scales, g, chosen.scales[static_cast<size_t>(g)] + 32);
    }
    for (size_t i = 0; i < 256; ++i) {
      const int level = chosen.levels[i] + 4;
      uint8_t& low = block->qs[i / 128 * 32 + i % 32];
      uint8_t& high = block->hmask[i % 32];
      low = static_cast<uint8_t>(low | ((level & 3) << (2 * (i % 128 / 32))));
      high = static_cast<uint8_t>(high | ((level >> 2) << (i / 32)));
    }
  }
}

}  // namespace minke
