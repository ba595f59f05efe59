// Random choices in a row: a pure function of (seed, stream) and of what was asked before. One
// owner, no threads.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "core/check.h"
#include "core/random.h"

namespace minke {

// A hash that is the same on every machine and for ever: splits and streams rest on it.
constexpr uint64_t stable_hash(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : text) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3u;
  }
  // What FNV leaves alike in its low bits for texts that differ in their last byte.
  hash = (hash ^ hash >> 32) * 0xD6E8FEB86659FD93u;
  hash = (hash ^ hash >> 32) * 0xD6E8FEB86659FD93u;
  return hash ^ hash >> 32;
}

class Draws {
 public:
  Draws(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}

  // Uniform in [0, count).
  int64_t below(int64_t count) {
    CHECK(count > 0 && count <= INT32_MAX);
    return static_cast<int64_t>(uint64_t{word()} * static_cast<uint64_t>(count) >> 32);
  }
  // Uniform, both ends included.
  int64_t between(int64_t low, int64_t high) { return low + below(high - low + 1); }
  bool chance(double probability) { return word() < probability * 0x1p32; }
  template <typename T, size_t kExtent>
  void shuffle(std::span<T, kExtent> items) {
    for (size_t left = items.size(); left > 1; --left) {
      std::swap(items[left - 1], items[static_cast<size_t>(below(static_cast<int64_t>(left)))]);
    }
  }
  template <typename T, size_t kExtent>
  const T& one_of(std::span<T, kExtent> items) {
    return items[static_cast<size_t>(below(static_cast<int64_t>(items.size())))];
  }

 private:
  uint32_t word() {
    if (used_ == words_.size()) {
      words_ = philox(seed_, stream_, counter_++);
      used_ = 0;
    }
    return words_[used_++];
  }

  uint64_t seed_, stream_;
  uint64_t counter_ = 0;
  std::array<uint32_t, 4> words_ = {};
  size_t used_ = 4;
};

}  // namespace minke
