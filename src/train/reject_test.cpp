// What is kept of answers: pure choices, tried without a model.
#include "train/reject.h"

#include <gtest/gtest.h>

#include "tasks/registry.h"

namespace minke {
namespace {

class AnswerFilterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto found = find_task("chain_sums");
    ASSERT_TRUE(found);
    task_ = *std::move(found);
    right_ = "Answer: " + task_->problem(Split::kTrain, 7).expected;
  }
  SampledAnswer answer(const std::string& way, int64_t tokens) const {
    return {.answer = way + "\n" + right_, .tokens = tokens, .correct = true};
  }
  static std::vector<std::string> ways(const std::vector<KeptAnswer>& kept) {
    std::vector<std::string> all;
    for (const KeptAnswer& one : kept) all.push_back(one.thinking + "|" + one.answer);
    return all;
  }

  std::shared_ptr<const Task> task_;
  std::string right_;
};

TEST_F(AnswerFilterTest, KeepsTheShortestThatIsRightAndNothingTwice) {
  AnswerFilter filter(*task_, {.each_max = 2});
  SampledProblem sampled = {.index = 7,
                            .answers = {answer("a long way round", 40), answer("short", 9),
                                        answer("short ", 9), answer("a way", 20)}};
  sampled.answers.push_back({.answer = "Answer: 1", .tokens = 2});
  const std::vector<KeptAnswer> kept = filter.choose(sampled);
  EXPECT_EQ(ways(kept), (std::vector<std::string>{"|short\n" + right_, "|a way\n" + right_}));
  EXPECT_EQ(kept[0].problem, "chain_sums/train/7");
  EXPECT_EQ(filter.counts().answers, 5);
  EXPECT_EQ(filter.counts().right, 4);
  EXPECT_EQ(filter.counts().twice, 1);
  EXPECT_EQ(filter.counts().too_many, 1);
  EXPECT_TRUE(filter.choose(sampled).empty()) << "all of it was said before";
}

TEST_F(AnswerFilterTest, BoundsLengthAndLanguage) {
  AnswerFilter filter(*task_, {.each_max = 9, .tokens_min = 5, .tokens_max = 30, .language = 0.9});
  const auto kept = filter.choose(
      {.index = 7,
       .answers = {answer("x", 4), answer("fits well", 12),
                   answer("因为所以因为所以因为所以因为", 12), answer("too long", 31)}});
  EXPECT_EQ(ways(kept), std::vector<std::string>{"|fits well\n" + right_});
  EXPECT_EQ(filter.counts().of_wrong_length, 2);
  EXPECT_EQ(filter.counts().of_other_language, 1);
}

TEST_F(AnswerFilterTest, RewritesAWorkedAnswerAsThinking) {
  AnswerFilter filter(*task_, {.each_max = 9, .as_thinking = true});
  SampledAnswer thought = {.thinking = "\nthought\n",
                           .answer = right_,
                           .tokens = 3,
                           .thinking_closed = true,
                           .correct = true};
  const auto kept =
      filter.choose({.index = 7, .answers = {thought, answer("1 + 1 = 2\n", 5), answer("", 4)}});
  EXPECT_EQ(ways(kept), (std::vector<std::string>{"thought|" + right_, "1 + 1 = 2|" + right_}));
  EXPECT_EQ(filter.counts().without_a_way, 1);
}

TEST_F(AnswerFilterTest, GivesAnswersWithoutThinkingTheOneThatWasAskedFor) {
  AnswerFilter filter(*task_, {.each_max = 9, .thought = "That is plain."});
  const auto kept = filter.choose({.index = 7,
                                   .answers = {{.thinking = "\nthought\n",
                                                .answer = right_,
                                                .tokens = 3,
                                                .thinking_closed = true,
                                                .correct = true},
                                               answer("so", 5)}});
  EXPECT_EQ(ways(kept),
            (std::vector<std::string>{"thought|" + right_, "That is plain.|so\n" + right_}));
}

TEST_F(AnswerFilterTest, PrefersDiverseAnswers) {
  AnswerFilter filter(*task_, {.each_max = 2, .prefer = KeepRules::Prefer::kDiverse});
  const auto kept = filter.choose(
      {.index = 7,
       .answers = {answer("first add two and three", 5), answer("first add two and four", 6),
                   answer("begin at the far end instead", 7)}});
  EXPECT_EQ(ways(kept), (std::vector<std::string>{"|first add two and three\n" + right_,
                                                  "|begin at the far end instead\n" + right_}));
}

}  // namespace
}  // namespace minke
