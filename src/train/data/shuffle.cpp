#include "train/data/shuffle.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "core/check.h"
#include "core/random.h"

namespace minke {

Shuffle::Shuffle(uint64_t seed, uint64_t epoch, uint64_t count)
    : seed_(seed), epoch_(epoch), count_(count) {
  CHECK(count > 0 && count < uint64_t{1} << 62);
  half_bits_ = std::max(1, (static_cast<int>(std::bit_width(count - 1)) + 1) / 2);
}

// A Feistel network permutes [0, 4^half_bits), which is less than four times as large (but for tiny
// counts); who lands outside goes on until inside, which permutes the rest (cycle walking).
uint64_t Shuffle::at(uint64_t place) const {
  CHECK_LT(place, count_);
  constexpr uint64_t kRounds = 6;
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  do {
    uint64_t left = place >> half_bits_;
    uint64_t right = place & mask;
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint64_t mixed = philox(seed_, epoch_, right << 3 | round)[0];
      left = (left ^ mixed) & mask;
      std::swap(left, right);
    }
    place = left << half_bits_ | right;
  } while (place >= count_);
  return place;
}

}  // namespace minke
