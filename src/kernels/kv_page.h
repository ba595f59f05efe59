// Inside a page of the KV cache: K and V of 64 tokens of one head of one layer, in the order in
// which attention reads them.
//   BF16  K: bf16[head_dim / 2][64 tokens][2]       a lane is a token, pairs of dimensions in order
//         V: bf16[32 pairs of tokens][head_dim][2]  a lane is a dimension, pairs of tokens in order
//         no V where values are a part of their keys (KvSpec::shared_values)
//   Q8    K and V in the same order as int8, then the steps that their integers count:
//         of K: bf16[groups of 16 dimensions][64 tokens]
//         of V: bf16[64 tokens]
// head_dim is even; the last group of dimensions may be short. Threads: different tokens of a page
// may be written by different threads at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "kernels/kv_store.h"

namespace minke {

inline constexpr int64_t kKvGroup = 16;  // dimensions of a key that share a step

// Places in elements: of the page for BF16 and Q8 alike.
[[gnu::always_inline]] inline constexpr int64_t k_place(int64_t token, int64_t d) {
  return (d / 2 * kKvPageTokens + token) * 2 + d % 2;
}
[[gnu::always_inline]] inline constexpr int64_t v_start(int64_t head_dim) {
  return head_dim * kKvPageTokens;
}
[[gnu::always_inline]] inline constexpr int64_t v_place(int64_t head_dim, int64_t token,
                                                        int64_t d) {
  return v_start(head_dim) + (token / 2 * head_dim + d) * 2 + token % 2;
}

// The steps of a Q8 page, in bf16 elements from its end of integers.
[[gnu::always_inline]] inline constexpr int64_t kv_groups(int64_t head_dim) {
  return (head_dim + kKvGroup - 1) / kKvGroup;
}
[[gnu::always_inline]] inline constexpr int64_t k_step_place(int64_t token, int64_t group) {
  return group * kKvPageTokens + token;
}
[[gnu::always_inline]] inline constexpr int64_t v_step_place(int64_t head_dim, int64_t token) {
  return kv_groups(head_dim) * kKvPageTokens + token;
}
[[gnu::always_inline]] inline uint16_t* kv_steps(std::byte* page, int64_t head_dim) {
  return reinterpret_cast<uint16_t*>(page + 2 * v_start(head_dim));
}
[[gnu::always_inline]] inline const uint16_t* kv_steps(const std::byte* page, int64_t head_dim) {
  return reinterpret_cast<const uint16_t*>(page + 2 * v_start(head_dim));
}

// How values of magnitude `amax` at most become integers of magnitude `most` at most: x * inverse,
// rounded. What is not finite has no step.
struct IntegerStep {
  float step;
  float inverse;
};
[[gnu::always_inline]] inline IntegerStep integer_step(float amax, float most) {
  if (!(amax <= std::numeric_limits<float>::max())) {
    return {std::numeric_limits<float>::quiet_NaN(), 0.0F};
  }
  if (amax < 1e-30F) return {0.0F, 0.0F};
  return {amax / most, most / amax};
}

}  // namespace minke
