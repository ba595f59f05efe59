#include "engine/logit_mask.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/check.h"

namespace minke {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

}  // namespace

void LogitMask::bar(std::span<float> logits, int32_t token) {
  float& logit = logits[static_cast<size_t>(token)];
  saved_.emplace_back(token, logit);
  logit = kNever;
}

std::span<float> LogitMask::apply(std::span<float> logits, const TokenSet& set,
                                  std::span<const int32_t> end_tokens) {
  CHECK(saved_.empty());
  const std::span<const int32_t> ends = set.may_end ? end_tokens : std::span<const int32_t>();
  if (set.is_all) {
    for (const int32_t token : set.barred) bar(logits, token);
    if (!set.may_end) {
      for (const int32_t token : end_tokens) bar(logits, token);
    }
    return logits;
  }
  if (set.bits.empty()) {
    // Few tokens: a row that has none but them, which is kept for the next time.
    if (set.tokens.empty() && ends.empty()) return {};
    if (row_.size() != logits.size()) row_.assign(logits.size(), kNever);
    for (const int32_t token : row_tokens_) row_[static_cast<size_t>(token)] = kNever;
    row_tokens_.assign(set.tokens.begin(), set.tokens.end());
    row_tokens_.insert(row_tokens_.end(), ends.begin(), ends.end());
    for (const int32_t token : row_tokens_) {
      row_[static_cast<size_t>(token)] = logits[static_cast<size_t>(token)];
    }
    return row_;
  }
  // Many tokens: those that may not come are fewer.
  bits_.assign((logits.size() + 63) / 64, 0);
  std::ranges::copy(set.bits.first(std::min(set.bits.size(), bits_.size())), bits_.begin());
  const auto allow = [&](int32_t token) {
    bits_[static_cast<size_t>(token) / 64] |= uint64_t{1} << (token % 64);
  };
  for (const int32_t token : set.tokens) allow(token);
  for (const int32_t token : ends) allow(token);
  for (size_t word = 0; word < bits_.size(); ++word) {
    for (uint64_t barred = ~bits_[word]; barred != 0; barred &= barred - 1) {
      const size_t token = word * 64 + static_cast<size_t>(std::countr_zero(barred));
      if (token < logits.size()) bar(logits, static_cast<int32_t>(token));
    }
  }
  return logits;
}

// Backwards, as a token may have been barred twice.
void LogitMask::restore(std::span<float> logits) {
  for (size_t i = saved_.size(); i-- > 0;) {
    logits[static_cast<size_t>(saved_[i].first)] = saved_[i].second;
  }
  saved_.clear();
}

}  // namespace minke
