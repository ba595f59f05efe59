#include "eval/evaluation.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>
#include <thread>

#include "eval/html_view.h"
#include "tasks/registry.h"

namespace minke {
namespace {

class EvaluationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = (std::filesystem::path(::testing::TempDir()) / "minke_eval.jsonl").string();
    std::filesystem::remove(path_);
    task_ = find_task("gcd").value();
  }
  void TearDown() override { std::filesystem::remove(path_); }

  SampleFile file() { return SampleFile::open(path_, {{"eval", "gcd"}}).value(); }

  // Answers every `right_of`-th question rightly, on threads of its own.
  Ask solver(int right_of) {
    return [this, right_of](const Problem& problem, uint64_t seed, OnAnswer done) {
      ++asked_;
      const std::string answer = seed % static_cast<uint64_t>(right_of) == 0
                                     ? "so\nAnswer: " + problem.expected
                                     : "so\nAnswer: 0";
      std::thread([done = std::move(done), answer] {
        done(EvalAnswer{.thinking = "hm", .answer = answer, .tokens = 10});
      }).detach();
    };
  }

  std::string path_;
  std::shared_ptr<const Task> task_;
  int asked_ = 0;
};

const auto kGoOn = [](std::span<const EvalSample>) { return true; };

TEST_F(EvaluationTest, CountsWhatIsRight) {
  const EvalRequest request = {.samples = 4, .problems_max = 50};
  const auto problems = choose_problems(*task_, request);
  ASSERT_EQ(problems.size(), 50u);
  SampleFile samples = file();
  ASSERT_TRUE(evaluate(*task_, problems, request, solver(2), samples, kGoOn).has_value());
  const EvalSummary summary = summarise(samples.samples(), 4);
  EXPECT_EQ(summary.problems, 50);
  EXPECT_EQ(summary.samples, 200);
  EXPECT_NEAR(summary.pass_at_1.value, 0.5, 0.1);
  EXPECT_NEAR(summary.pass_at_k.at(4).value, 15.0 / 16, 0.1);
  EXPECT_TRUE(summary.pass_at_k.contains(2));
  ASSERT_TRUE(summary.cons_at_k.has_value());
  EXPECT_EQ(summary.well_formed.value, 1);
  EXPECT_EQ(summary.truncated.value, 0);
  EXPECT_EQ(summary.tokens_mean, 10);
  EXPECT_LE(summary.pass_at_1.low, summary.pass_at_1.value);
  EXPECT_GE(summary.pass_at_1.high, summary.pass_at_1.value);
}

TEST_F(EvaluationTest, GoesOnWhereItWasStopped) {
  const EvalRequest request = {.samples = 2, .problems_max = 20, .running_max = 3};
  const auto problems = choose_problems(*task_, request);
  {
    SampleFile samples = file();
    const auto stop = [](std::span<const EvalSample> so_far) { return so_far.size() < 15; };
    ASSERT_TRUE(evaluate(*task_, problems, request, solver(2), samples, stop).has_value());
    EXPECT_GE(samples.samples().size(), 15u);
    EXPECT_LE(samples.samples().size(), 18u);
  }
  {
    SampleFile samples = file();
    ASSERT_TRUE(evaluate(*task_, problems, request, solver(2), samples, kGoOn).has_value());
  }
  EXPECT_EQ(asked_, 40);
  SampleFile resumed = file();
  ASSERT_EQ(resumed.samples().size(), 40u);
  ASSERT_TRUE(evaluate(*task_, problems, request, solver(2), resumed, kGoOn).has_value());
  EXPECT_EQ(asked_, 40);
  // The same as in one go: seeds are of the sample.
  std::filesystem::remove(path_);
  SampleFile whole = file();
  ASSERT_TRUE(evaluate(*task_, problems, request, solver(2), whole, kGoOn).has_value());
  EXPECT_EQ(summarise(whole.samples(), 2).pass_at_1.value,
            summarise(resumed.samples(), 2).pass_at_1.value);
}

TEST_F(EvaluationTest, AFailedAnswerEndsIt) {
  SampleFile samples = file();
  const EvalRequest request = {.problems_max = 20};
  const Ask failing = [](const Problem&, uint64_t, OnAnswer done) {
    done(fail("the model is gone"));
  };
  const auto status =
      evaluate(*task_, choose_problems(*task_, request), request, failing, samples, kGoOn);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().message, "the model is gone");
}

TEST_F(EvaluationTest, WhatIsCutOffIsWrong) {
  SampleFile samples = file();
  const EvalRequest request = {.problems_max = 5};
  const Ask cut = [](const Problem& problem, uint64_t, OnAnswer done) {
    done(EvalAnswer{.answer = problem.expected, .truncated = true, .tokens = 3});
  };
  ASSERT_TRUE(evaluate(*task_, choose_problems(*task_, request), request, cut, samples, kGoOn));
  const EvalSummary summary = summarise(samples.samples(), 1);
  EXPECT_EQ(summary.pass_at_1.value, 0);
  EXPECT_EQ(summary.well_formed.value, 0);
  EXPECT_EQ(summary.truncated.value, 1);
  EXPECT_FALSE(summary.cons_at_k.has_value());
}

TEST_F(EvaluationTest, ChoosesDistinctProblemsBySeed) {
  // About 180 test instances are in reach: asking for more ends.
  const auto all = choose_problems(*find_task("gcd:max=40").value(), {.problems_max = 1000});
  std::set<std::string> prompts;
  for (const Problem& problem : all) EXPECT_TRUE(prompts.insert(problem.prompt).second);
  EXPECT_GT(all.size(), 50u);
  EXPECT_LT(all.size(), 400u);
  const auto a = choose_problems(*task_, {.problems_max = 10, .seed = 1});
  const auto b = choose_problems(*task_, {.problems_max = 10, .seed = 1});
  const auto c = choose_problems(*task_, {.problems_max = 10, .seed = 2});
  EXPECT_EQ(a[3].prompt, b[3].prompt);
  EXPECT_NE(a[3].prompt, c[3].prompt);
}

TEST(Summarise, VotesByWhatAnswersMean) {
  std::vector<EvalSample> samples;
  const auto add = [&](const char* problem, const char* answer, bool correct) {
    samples.push_back({.problem = problem,
                       .sample = std::ssize(samples) % 3,
                       .answer = answer,
                       .correct = correct});
  };
  add("a", "\\boxed{1/2}", true);
  add("a", "\\boxed{3}", false);
  add("a", "\\boxed{0.5}", true);
  add("b", "\\boxed{2}", true);
  add("b", "\\boxed{3}", false);
  add("b", "\\boxed{3}", false);
  add("c", "no", false);  // one sample of three
  const EvalSummary summary = summarise(samples, 3);
  EXPECT_EQ(summary.problems, 2);
  EXPECT_DOUBLE_EQ(summary.cons_at_k->value, 0.5);
  EXPECT_DOUBLE_EQ(summary.pass_at_1.value, 0.5);
  EXPECT_DOUBLE_EQ(summary.pass_at_k.at(3).value, 1);
}

TEST(HtmlView, HasNoMarkupOfTheModels) {
  const std::vector<EvalSample> samples = {{.problem = "a/test/0",
                                            .prompt = "<script>alert(1)</script>",
                                            .expected = "\"&",
                                            .thinking = "<b>",
                                            .answer = "</pre><img src=x>",
                                            .why = "<i>"}};
  const std::string page =
      html_view({.model = "m<", .task = "t", .settings = "s"}, summarise(samples, 1), samples);
  for (const char* markup : {"<script", "<b>", "<img", "<i>", "m<"}) {
    EXPECT_FALSE(page.contains(markup)) << markup;
  }
  EXPECT_TRUE(page.contains("&lt;script&gt;alert(1)"));
  EXPECT_TRUE(page.contains("0 of 1"));
}

}  // namespace
}  // namespace minke
