// Keeps tokens that may not come next from being sampled: their logits are -infinity for as long as
// the sampler looks at them.
//
// Not thread-safe: owned by the engine's thread.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace minke {

// Which tokens may come next. Spans are valid until the same source is asked again.
struct TokenSet {
  bool is_all = false;              // every token but `barred`; else those of `bits` and `tokens`
  std::span<const uint64_t> bits;   // a bit a token; may be empty or too short: zeros
  std::span<const int32_t> tokens;  // all in the vocabulary
  std::span<const int32_t> barred;
  bool may_end = false;  // and the tokens that end the turn
};

class LogitMask {
 public:
  // The logits with -infinity for all tokens that are not in the set: a row of this object's own,
  // or `logits` themselves, changed until restore(). Empty when no token is in the set.
  std::span<float> apply(std::span<float> logits, const TokenSet& set,
                         std::span<const int32_t> end_tokens);
  // Puts `logits` back as they were.
  void restore(std::span<float> logits);

 private:
  void bar(std::span<float> logits, int32_t token);

  std::vector<float> row_;  // -infinity but for row_tokens_
  std::vector<int32_t> row_tokens_;
  std::vector<uint64_t> bits_;
  std::vector<std::pair<int32_t, float>> saved_;
};

}  // namespace minke
