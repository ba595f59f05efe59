// What holds for every generated task.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "tasks/generated_task.h"
#include "tasks/registry.h"

namespace minke {
namespace {

class GeneratedTasks : public ::testing::TestWithParam<const char*> {
 protected:
  GeneratedTasks() : task_(find_task(GetParam()).value()) {}
  std::shared_ptr<const Task> task_;
};

TEST_P(GeneratedTasks, SolversAreRight) {
  for (const Split split : {Split::kTrain, Split::kTest}) {
    for (uint64_t index = 0; index < 1000; ++index) {
      const Problem problem = task_->problem(split, index);
      const auto solved = task_->solve(problem, index);
      ASSERT_TRUE(solved.has_value());
      const Verdict verdict = task_->check(problem, solved->answer);
      ASSERT_TRUE(verdict.correct) << problem.prompt << "\n"
                                   << solved->thinking << solved->answer << "\n"
                                   << verdict.why;
      ASSERT_FALSE(solved->thinking.empty());
    }
  }
}

TEST_P(GeneratedTasks, AWrongAnswerIsWrong) {
  for (uint64_t index = 0; index < 100; ++index) {
    const Problem problem = task_->problem(Split::kTrain, index);
    for (const char* answer : {"", "Answer:", "Answer: 987654321012", "I do not know.\nSorry."}) {
      const Verdict verdict = task_->check(problem, answer);
      ASSERT_FALSE(verdict.correct) << problem.prompt << ": " << answer;
      ASSERT_FALSE(verdict.why.empty());
    }
    const Verdict verdict = task_->check(problem, "I do not know.\nSorry.");
    ASSERT_FALSE(verdict.well_formed);
  }
}

TEST_P(GeneratedTasks, TrainAndTestHaveNothingInCommon) {
  std::set<std::string> train;
  for (uint64_t index = 0; index < 3000; ++index) {
    train.insert(task_->problem(Split::kTrain, index).prompt);
  }
  for (uint64_t index = 0; index < 1000; ++index) {
    const Problem problem = task_->problem(Split::kTest, index);
    ASSERT_FALSE(train.contains(problem.prompt)) << problem.prompt;
  }
}

TEST_P(GeneratedTasks, AnIndexIsAProblem) {
  const auto again = find_task(GetParam()).value();
  EXPECT_EQ(again->name(), task_->name());
  std::set<std::string> prompts;
  for (uint64_t index = 0; index < 50; ++index) {
    const Problem problem = task_->problem(Split::kTrain, index);
    EXPECT_EQ(problem.prompt, again->problem(Split::kTrain, index).prompt);
    EXPECT_EQ(problem.expected, again->problem(Split::kTrain, index).expected);
    EXPECT_TRUE(problem.id.ends_with("/train/" + std::to_string(index))) << problem.id;
    prompts.insert(problem.prompt);
  }
  EXPECT_GT(prompts.size(), 40u);
}

INSTANTIATE_TEST_SUITE_P(All, GeneratedTasks,
                         ::testing::Values("countdown", "countdown:numbers=4,max=50", "chain_sums",
                                           "chain_sums:max=999,terms_max=9", "gcd",
                                           "gcd:max=100000", "comparison",
                                           "comparison:count=4,decimals=0", "base_conversion",
                                           "base_conversion:base_max=3", "linear_equations",
                                           "linear_equations:unknowns=2", "sorting",
                                           "sorting:count=12,max=1000", "counting_letters",
                                           "calendar", "calendar:days_max=800", "logic",
                                           "logic:boxes_max=12,operators_max=12"));

TEST(GeneratedTask, SplitsDoNotDependOnParameters) {
  // Of instances that two difficulties share, each is in one split.
  const auto narrow = find_task("countdown:form=compact").value();
  const auto wide = find_task("countdown:form=compact,max=30,target_max=150").value();
  std::set<std::string> train;
  for (uint64_t index = 0; index < 20'000; ++index) {
    train.insert(narrow->problem(Split::kTrain, index).prompt);
  }
  int shared = 0;
  for (uint64_t index = 0; index < 2000; ++index) {
    ASSERT_FALSE(train.contains(wide->problem(Split::kTest, index).prompt));
    shared += train.contains(wide->problem(Split::kTrain, index).prompt);
  }
  EXPECT_GT(shared, 20);
}

TEST(GeneratedTask, AboutATenthIsTest) {
  int tests = 0;
  for (int i = 0; i < 10'000; ++i) tests += split_of("x " + std::to_string(i)) == Split::kTest;
  EXPECT_NEAR(tests, 1000, 120);
}

TEST(Registry, NamesWhatThereIs) {
  const auto unknown = find_task("countdwn");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_TRUE(unknown.error().message.contains("countdown, chain_sums")) << unknown.error().message;
  const auto parameter = find_task("gcd:min=3");
  ASSERT_FALSE(parameter.has_value());
  EXPECT_EQ(parameter.error().message,
            "task 'gcd' has no parameter 'min'; it has max=200 (10 to 1000000000: the largest "
            "number)");
  EXPECT_EQ(find_task("gcd:max=5").error().message,
            "task 'gcd': max is '5', and should be 10 to 1000000000");
  EXPECT_EQ(find_task("countdown:form=xml").error().message,
            "task 'countdown': form is 'xml', and should be chat|compact");
  EXPECT_FALSE(find_task("gcd:max").has_value());
  EXPECT_FALSE(find_task("gcd:max=20,max=30").has_value());
  EXPECT_FALSE(find_task("gcd:max=20x").has_value());
  EXPECT_FALSE(find_task("").has_value());
}

TEST(Registry, ATaskIsNamedByWhatIsUnusualAboutIt) {
  EXPECT_EQ(find_task("countdown:max=19,numbers=4").value()->name(), "countdown:numbers=4");
  EXPECT_EQ(find_task("gcd:").value()->name(), "gcd");
}

TEST(Registry, RefusesParametersThatLeaveNoProblems) {
  EXPECT_FALSE(find_task("countdown:numbers=2,max=1,target_max=2").has_value());
  EXPECT_FALSE(find_task("countdown:numbers=3,max=2,target_min=900,target_max=999").has_value());
  EXPECT_FALSE(find_task("countdown:min=9,max=3").has_value());
  EXPECT_FALSE(find_task("comparison:max=0,decimals=0").has_value());
}

}  // namespace
}  // namespace minke
