#include "engine/logit_mask.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <vector>

namespace minke {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

TEST(LogitMask, LeavesWhatIsInTheSetAndPutsTheRestBack) {
  std::mt19937 random(5);
  LogitMask mask;
  for (int trial = 0; trial < 200; ++trial) {
    const size_t vocab = trial % 2 == 0 ? 61 : 193;
    std::vector<float> logits(vocab);
    for (float& logit : logits) logit = static_cast<float>(random() % 1000) - 500;
    logits[3] = kNever;
    std::vector<uint64_t> bits(trial % 3 == 0 ? 0 : trial % 3 == 1 ? 1 : (vocab + 63) / 64 + 1);
    for (uint64_t& word : bits) word = uint64_t{random()} << 32 | random();
    std::vector<int32_t> tokens;
    for (size_t i = 0; i < random() % 6; ++i)
      tokens.push_back(static_cast<int32_t>(random() % vocab));
    const std::vector<int32_t> ends = {0, 7};
    TokenSet set{
        .is_all = trial % 5 == 0, .bits = bits, .tokens = tokens, .may_end = trial % 2 == 1};
    if (set.is_all) {
      set.barred = tokens;
      set.bits = {};
      set.tokens = {};
    }
    std::set<size_t> expected;
    for (size_t i = 0; i < vocab; ++i) {
      const bool listed = std::ranges::find(tokens, static_cast<int32_t>(i)) != tokens.end();
      const bool is_end = i == 0 || i == 7;
      const bool in_bits = i / 64 < set.bits.size() && (bits[i / 64] >> (i % 64) & 1) != 0;
      bool is_in = listed || in_bits || (is_end && set.may_end);
      if (set.is_all) is_in = !listed && (!is_end || set.may_end);
      if (is_in) expected.insert(i);
    }
    const std::vector<float> before = logits;
    const std::span<float> masked = mask.apply(logits, set, ends);
    ASSERT_EQ(masked.empty(), expected.empty());
    for (size_t i = 0; i < masked.size(); ++i) {
      EXPECT_EQ(masked[i], expected.contains(i) ? before[i] : kNever) << i;
    }
    mask.restore(logits);
    EXPECT_EQ(logits, before);
  }
}

}  // namespace
}  // namespace minke
