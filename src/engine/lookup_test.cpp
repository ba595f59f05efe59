#include "engine/lookup.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <vector>

namespace minke {
namespace {

using Kind = LookupDrafter::Kind;

std::vector<int32_t> draft(LookupDrafter& drafter, const std::vector<int32_t>& tokens,
                           int64_t count) {
  drafter.extend(tokens);
  const LookupDrafter::Guess guess = drafter.look_up(tokens);
  std::vector<int32_t> out;
  if (guess.kind != Kind::kNone) LookupDrafter::copy(tokens, guess, count, out);
  return out;
}

TEST(Lookup, FindsNothingInNewText) {
  LookupDrafter drafter;
  EXPECT_TRUE(draft(drafter, {1, 2, 3, 4, 5}, 3).empty());
  EXPECT_TRUE(draft(drafter, {1, 2, 3, 4, 5, 6}, 3).empty());
}

TEST(Lookup, PrefersTheLongestMatch) {
  LookupDrafter drafter;
  // "1 2 3" occurs twice; with 9 before it, once.
  EXPECT_EQ(draft(drafter, {9, 1, 2, 3, 50, 51, 8, 1, 2, 3, 60, 61, 9, 1, 2, 3}, 2),
            (std::vector<int32_t>{50, 51}));
}

TEST(Lookup, PrefersTheLatestOfEqualMatches) {
  LookupDrafter drafter;
  EXPECT_EQ(draft(drafter, {7, 1, 2, 3, 50, 8, 1, 2, 3, 60, 9, 1, 2, 3}, 1),
            (std::vector<int32_t>{60}));
}

TEST(Lookup, RepetitionRunsIntoItself) {
  LookupDrafter drafter;
  EXPECT_EQ(draft(drafter, {5, 1, 2, 1, 2}, 5), (std::vector<int32_t>{1, 2, 1, 2, 1}));
}

TEST(Lookup, GoesOnBehindAReplacedToken) {
  LookupDrafter drafter;
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 40; ++i) tokens.push_back(100 + i);
  tokens.push_back(1);
  for (int32_t i = 0; i < 12; ++i) tokens.push_back(100 + i);
  drafter.extend(tokens);
  const LookupDrafter::Guess guess = drafter.look_up(tokens);
  EXPECT_EQ(guess.kind, Kind::kMatch8);
  drafter.observe(guess, 4, 0);
  tokens.push_back(7);  // instead of 112
  EXPECT_EQ(draft(drafter, tokens, 2), (std::vector<int32_t>{113, 114}));
}

TEST(Lookup, LearnsFromSuccessAndFailureAndForgives) {
  LookupDrafter drafter;
  const std::vector<int32_t> tokens = {1, 2, 3, 50, 51, 1, 2, 3};
  drafter.extend(tokens);
  const LookupDrafter::Guess guess = drafter.look_up(tokens);
  ASSERT_EQ(guess.kind, Kind::kMatch3);
  for (int i = 0; i < 60; ++i) drafter.observe(guess, 3, 0);
  EXPECT_LT(drafter.look_up(tokens).acceptance, 0.01);
  for (int i = 0; i < 200; ++i) drafter.skipped(guess);
  EXPECT_GT(drafter.look_up(tokens).acceptance, 0.3);
  for (int i = 0; i < 40; ++i) drafter.observe(guess, 3, 3);
  EXPECT_GT(drafter.look_up(tokens).acceptance, 0.98);
}

TEST(Lookup, EveryGuessRepeatsSomethingThatFollowedTheSameTokens) {
  std::mt19937 random(5);
  std::vector<int32_t> tokens;
  LookupDrafter drafter;
  int found = 0;
  for (int i = 0; i < 20'000; ++i) {
    tokens.push_back(static_cast<int32_t>(random() % 12));
    drafter.extend(tokens);
    const LookupDrafter::Guess guess = drafter.look_up(tokens);
    if (guess.kind == Kind::kNone) continue;
    ++found;
    ASSERT_GT(guess.source, 0);
    ASSERT_LT(guess.source, std::ssize(tokens));
    ASSERT_EQ(guess.distance, std::ssize(tokens) - guess.source);
    if (guess.kind == Kind::kMatch3) {
      for (int64_t back = 1; back <= 3; ++back) {
        ASSERT_EQ(tokens[static_cast<size_t>(guess.source - back)],
                  tokens[tokens.size() - static_cast<size_t>(back)]);
      }
    }
  }
  EXPECT_GT(found, 19'000);
}

}  // namespace
}  // namespace minke
