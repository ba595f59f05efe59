// The order of an epoch: a permutation of [0, count) that is a pure function of seed and epoch, and
// is computed place by place, so that a run can begin anywhere and nothing is kept.
#pragma once

#include <cstdint>

namespace minke {

class Shuffle {
 public:
  Shuffle(uint64_t seed, uint64_t epoch, uint64_t count);
  // Which comes at `place`, place < count.
  uint64_t at(uint64_t place) const;

 private:
  uint64_t seed_, epoch_, count_;
  int half_bits_;
};

}  // namespace minke
