// IQ4_XS: the levels of IQ4_NL, 8 groups of 32 with 6-bit scales.
#include <cstring>

#include "quant/codecs.h"
#include "quant/search.h"

namespace minke {

void decode_iq4_xs(const void* blocks, float* out, int64_t count) {
  const auto* block = static_cast<const BlockIQ4_XS*>(blocks);
  for (int64_t start = 0; start < count; start += kSuperBlock, ++block, out += kSuperBlock) {
    const float d = f16_to_f32(block->d);
    for (int g = 0; g < 8; ++g) {
      const int low = (block->scales_l[g / 2] >> (4 * (g % 2))) & 15;
      const int high = (block->scales_h >> (2 * g)) & 3;
      const float scale = d * static_cast<float>((low | (high << 4)) - 32);
      for (int i = 0; i < 16; ++i) {
        const int byte = block->qs[16 * g + i];
        out[32 * g + i] = scale * Iq4Levels::value(byte & 15);
        out[32 * g + i + 16] = scale * Iq4Levels::value(byte >> 4);
      }
    }
  }
}

void encode_iq4_xs(const float* in, void* blocks, int64_t count, const float* importance) {
  using Search = SymmetricSearch<Iq4Levels, UniformLevels<-32, 31>, 8>;
  const CleanRow row(in, count, importance);
  auto* block = static_cast<BlockIQ4_XS*>(blocks);
  for (int64_t start = 0; start < count; start += kSuperBlock, ++block) {
    const auto clean = row.block<256>(start);
    const auto chosen = Search::run(clean);
    std::memset(block, 0, sizeof *block);
    block->d = chosen.d;
    unsigned scales_h = 0;
    for (size_t g = 0; g < 8; ++g) {
      const auto scale = static_cast<unsigned>(chosen.scales[g] + 32);
      uint8_t& byte = block->scales_l[g / 2];
      byte = static_cast<uint8_t>(byte | ((scale & 15u) << (4 * (g % 2))));
      scales_h |= (scale >> 4) << (2 * g);
      for (size_t i = 0; i < 16; ++i) {
        const int low = chosen.levels[32 * g + i];
        const int high = chosen.levels[32 * g + i + 16];
        block->qs[16 * g + i] = static_cast<uint8_t>(low | (high << 4));
      }
    }
    block->scales_h = static_cast<uint16_t>(scales_h);
  }
}

}  // namespace minke
