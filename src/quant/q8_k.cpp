// Q8_K: 8-bit levels -127..127 and one fp32 scale for 256 values, with the sums of each 16.
#include <cstring>

#include "quant/codecs.h"
#include "quant/search.h"

namespace minke {

void decode_q8_k(const void* blocks, float* out, int64_t count) {
  const auto* block = static_cast<const BlockQ8_K*>(blocks);
  for (int64_t start = 0; start < count; start += kSuperBlock, ++block, out += kSuperBlock) {
    const float d = block->d;
    for (int i = 0; i < 256; ++i) out[i] = d * static_cast<float>(block->qs[i]);
  }
}

void encode_q8_k(const float* in, void* blocks, int64_t count, const float*) {
  using Levels = UniformLevels<-127, 127>;
  const CleanRow row(in, count, nullptr);
  auto* block = static_cast<BlockQ8_K*>(blocks);
  for (int64_t start = 0; start < count; start += kSuperBlock, ++block) {
    const auto clean = row.block<256>(start);
    // A magnitude below the threshold would make the inverse infinite.
    const bool zero = clean.magnitude_max < 0x1p-100f;
    block->d = zero ? 0.0f : clean.magnitude_max / 127.0f;
    const float inverse = zero ? 0.0f : 127.0f / clean.magnitude_max;
    for (int group = 0; group < 16; ++group) {
      int sum = 0;
      for (int i = 16 * group; i < 16 * group + 16; ++i) {
        const int level = Levels::nearest(clean.x[static_cast<size_t>(i)] * inverse);
        block->qs[i] = static_cast<int8_t>(level);
        sum += level;
      }
      block->bsums[group] = static_cast<int16_t>(sum);
    }
  }
}

}  // namespace minke
