#include "server/chat/timelines.h"

#include <gtest/gtest.h>

namespace minke::server {
namespace {

ChatTurn turn(std::string role, std::string content, std::string reasoning = {}) {
  return {
      .role = std::move(role), .content = std::move(content), .reasoning = std::move(reasoning)};
}

TEST(Timelines, FindTheLongestBeginning) {
  Timelines timelines(1 << 20);
  const std::vector<ChatTurn> first = {turn("user", "a"), turn("assistant", "b", "hm")};
  timelines.keep(first, {.text = "ab", .tokens = {1, 2}, .cuts = {}});
  std::vector<ChatTurn> next = {turn("user", "a"), turn("assistant", "b"), turn("user", "c")};
  EXPECT_EQ(timelines.find(next).tokens, (std::vector<int32_t>{1, 2}))
      << "clients leave the thinking out";
  next.push_back(turn("assistant", "d"));
  timelines.keep(next, {.text = "abcd", .tokens = {1, 2, 3, 4}, .cuts = {}});
  next.push_back(turn("user", "e"));
  EXPECT_EQ(timelines.find(next).tokens.size(), 4U);
  EXPECT_TRUE(timelines.find({turn("user", "another")}).tokens.empty());
}

TEST(Timelines, TurnsDoNotRunTogether) {
  EXPECT_NE(turn_marks({turn("user", "ab")}).back(),
            turn_marks({turn("user", "a"), turn("user", "b")}).back());
  EXPECT_NE(turn_marks({turn("user", "a")}), turn_marks({turn("system", "a")}));
}

TEST(Timelines, TheOldestGoWhenThereIsNoRoom) {
  Timelines timelines(4000);
  for (int i = 0; i < 20; ++i) {
    timelines.keep({turn("user", std::to_string(i))},
                   {.text = std::string(700, 'x'), .tokens = {i}, .cuts = {}});
  }
  EXPECT_TRUE(timelines.find({turn("user", "0")}).tokens.empty());
  EXPECT_FALSE(timelines.find({turn("user", "19")}).tokens.empty());
  EXPECT_LE(timelines.all().size(), 4U);
}

}  // namespace
}  // namespace minke::server
