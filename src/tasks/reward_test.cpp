#include "tasks/reward.h"

#include <gtest/gtest.h>

namespace minke {
namespace {

RewardInput right_answer() {
  return {.prompt = "How many?",
          .thinking = "two and two",
          .answer = "Answer: 4",
          .thinking_closed = true,
          .tokens = 50,
          .tokens_max = 200,
          .verdict = {.well_formed = true, .correct = true}};
}

double reward(std::string_view rule, const RewardInput& input) {
  const auto parsed = RewardRule::parse(rule);
  EXPECT_TRUE(parsed.has_value()) << rule;
  return parsed->of(input).total;
}

TEST(Reward, PaysForAccuracyAndFormat) {
  RewardInput input = right_answer();
  EXPECT_DOUBLE_EQ(reward("accuracy=1,format=0.1", input), 1.1);
  input.thinking_closed = false;
  EXPECT_DOUBLE_EQ(reward("accuracy=1,format=0.1", input), 1.0);
  input = right_answer();
  input.verdict.correct = false;
  EXPECT_DOUBLE_EQ(reward("accuracy=1,format=0.1", input), 0.1);
  input.verdict.well_formed = false;
  EXPECT_DOUBLE_EQ(reward("accuracy=1,format=0.1", input), 0);
  input = right_answer();
  input.truncated = true;
  EXPECT_DOUBLE_EQ(reward("accuracy=1,format=0.1", input), 0);
}

TEST(Reward, TellsItsParts) {
  const auto rule = RewardRule::parse("brevity=0.5,accuracy=2");
  const Reward given = rule->of(right_answer());
  ASSERT_EQ(given.parts.size(), 2u);
  EXPECT_EQ(reward_name(given.parts[0].kind), "brevity");
  EXPECT_DOUBLE_EQ(given.parts[0].value, 0.75);
  EXPECT_DOUBLE_EQ(given.parts[1].value, 1);
  EXPECT_DOUBLE_EQ(given.total, 0.375 + 2);
}

TEST(Reward, OverlongFallsEvenlyInTheBuffer) {
  RewardInput input = right_answer();
  const auto at = [&](int64_t tokens) {
    input.tokens = tokens;
    return reward("overlong=1,overlong_buffer=40", input);
  };
  EXPECT_EQ(at(10), 0);
  EXPECT_EQ(at(160), 0);
  EXPECT_DOUBLE_EQ(at(180), -0.5);
  EXPECT_DOUBLE_EQ(at(200), -1);
  EXPECT_EQ(reward("overlong=1", input), 0);
  input.truncated = true;
  EXPECT_EQ(reward("overlong=1", input), -1);
}

TEST(Reward, BrevityIsForRightAnswersOnly) {
  RewardInput input = right_answer();
  input.verdict.correct = false;
  EXPECT_EQ(reward("brevity=1", input), 0);
}

TEST(Reward, MeasuresTheLanguage) {
  EXPECT_DOUBLE_EQ(script_consistency("Hello", "so it is 12 + 3"), 1);
  EXPECT_DOUBLE_EQ(script_consistency("Hello", "абв def"), 0.5);
  EXPECT_DOUBLE_EQ(script_consistency("你好", "这是对的"), 1);
  EXPECT_DOUBLE_EQ(script_consistency("你好", "这 is"), 1.0 / 3);
  EXPECT_DOUBLE_EQ(script_consistency("Grüße", "über"), 1);
  EXPECT_DOUBLE_EQ(script_consistency("12 + 3", "абв"), 1);
  EXPECT_DOUBLE_EQ(script_consistency("Hello", "15"), 1);
  EXPECT_DOUBLE_EQ(script_consistency("こんにちは", "漢字とかな"), 1);
  RewardInput input = right_answer();
  input.thinking = "дважды два";
  input.answer = "Answer";
  EXPECT_DOUBLE_EQ(reward("language=1", input), 6.0 / 15);
}

TEST(Reward, RefusesWhatItDoesNotKnow) {
  for (const char* text : {"", "accuracy", "accuracy=", "accuracy=x", "accuracy=inf", "speed=1",
                           "accuracy=1,accuracy=2", "overlong_buffer=10", "accuracy=1,",
                           "overlong=1,overlong_buffer=-3"}) {
    const auto rule = RewardRule::parse(text);
    ASSERT_FALSE(rule.has_value()) << text;
    EXPECT_TRUE(rule.error().message.starts_with("rewards")) << rule.error().message;
  }
}

}  // namespace
}  // namespace minke
