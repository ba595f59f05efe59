// Cuts a run of rows into tiles whose height is a template argument.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

namespace minke {

// call(std::integral_constant<int, value>()), for a value in [1, kMost].
template <int kMost, typename Call>
[[gnu::always_inline]] inline void with_constant(int64_t value, Call&& call) {
  if constexpr (kMost > 1) {
    if (value < kMost) {
      with_constant<kMost - 1>(value, std::forward<Call>(call));
      return;
    }
  }
  call(std::integral_constant<int, kMost>());
}

// tile(std::integral_constant<int, N>(), first) for tiles of N <= kMost rows that follow each other
// from `begin` to `end`: as few as there can be, and as even. Seven rows in tiles of six at most
// are four and three: a tile of one row would load as much as one of four.
template <int kMost, typename Tile>
[[gnu::always_inline]] inline void for_tiles(int64_t begin, int64_t end, Tile&& tile) {
  for (int64_t tiles = (end - begin + kMost - 1) / kMost; tiles > 0; --tiles) {
    const int64_t rows = (end - begin + tiles - 1) / tiles;
    with_constant<kMost>(rows, [&](auto count) { tile(count, begin); });
    begin += rows;
  }
}

}  // namespace minke
