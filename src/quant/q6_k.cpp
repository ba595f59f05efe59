// Q6_K: 6-bit levels -32..31, 16 groups of 16 with 8-bit scales.
#include <cstring>

#include "quant/codecs.h"
#include "quant/search.h"

namespace minke {
namespace {

// Where value i keeps its low four and its high two bits.
struct Place {
  size_t low_byte;
  unsigned low_shift;
  size_t high_byte;
  unsigned high_shift;
};

Place place(size_t i) {
  const size_t half = i / 128;
  const size_t quarter = i % 128 / 32;
  return {64 * half + 32 * (quarter % 2) + i % 32, quarter < 2 ? 0u : 4u, 32 * half + i % 32,
          static_cast<unsigned>(2 * quarter)};
}

}  // namespace

void decode_q6_k(const void* blocks, float* out, int64_t count) {
  const auto* block = static_cast<const BlockQ6_K*>(blocks);
  for (int64_t start = 0; start < count; start += kSuperBlock, ++block, out += kSuperBlock) {
    const float d = f16_to_f32(block->d);
    for (size_t i = 0; i < 256; ++i) {
      const Place at = place(i);
      const int low = (block->ql[at.low_byte] >> at.low_shift) & 15;
      const int high = (block->qh[at.high_byte] >> at.high_shift) & 3;
      const float scale = d * static_cast<float>(block->scales[i / 16]);
      out[i] = scale * static_cast<float>((low | (high << 4)) - 32);
    }
  }
}

void encode_q6_k(const float* in, void* blocks, int64_t count, const float* importance) {
  using Search = SymmetricSearch<UniformLevels<-32, 31>, UniformLevels<-128, 127>, 16>;
  const CleanRow row(in, count, importance);
  auto* block = static_cast<BlockQ6_K*>(blocks);
  for (int64_t start = 0; start < count; start += kSuperBlock, ++block) {
    const auto clean = row.block<256>(start);
    const auto chosen = Search::run(clean);
    std::memset(block, 0, sizeof *block);
    block->d = chosen.d;
    for (size_t g = 0; g < 16; ++g) block->scales[g] = static_cast<int8_t>(chosen.scales[g]);
    for (size_t i = 0; i < 256; ++i) {
      const Place at = place(i);
      const auto level = static_cast<unsigned>(chosen.levels[i] + 32);
      uint8_t& low = block->ql[at.low_byte];
      uint8_t& high = block->qh[at.high_byte];
      low = static_cast<uint8_t>(low | ((level & 15u) << at.low_shift));
      high = static_cast<uint8_t>(high | ((level >> 4) << at.high_shift));
    }
  }
}

}  // namespace minke
