// Fetching weights, which a step reads from memory once, ahead of their use.
//
// A line on its way from memory into the first cache holds one of some 16 fill buffers for all that
// time, which bounds what a core can read that way; on its way into the second cache it does not.
// So lines are asked for twice: far ahead into the second cache, and from there, a little ahead,
// into the first (docs/log.md has the measurements). Reading beyond the end of memory is harmless.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace minke {

inline constexpr int64_t kFarAhead = 9216;
inline constexpr int64_t kNearAhead = 2304;

// For every line of 64 bytes that is read once, in order.
inline void prefetch_stream(const std::byte* at) {
  _mm_prefetch(at + kFarAhead, _MM_HINT_T1);
  _mm_prefetch(at + kNearAhead, _MM_HINT_T0);
}

// A range that comes next, fetched into the second cache a few lines at a time between other work:
// all lines at once would wait for each other.
class PrefetchRange {
 public:
  PrefetchRange() = default;
  PrefetchRange(const std::byte* from, int64_t bytes) : at_(from), end_(from + bytes) {}

  // Once all is asked for, this costs a branch.
  void some() {
    if (at_ >= end_) return;
    for (int64_t line = 0; line < kLines; ++line, at_ += 64) _mm_prefetch(at_, _MM_HINT_T1);
  }

 private:
  static constexpr int64_t kLines = 4;
  const std::byte* at_ = nullptr;
  const std::byte* end_ = nullptr;
};

}  // namespace minke
