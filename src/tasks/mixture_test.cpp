#include "tasks/mixture.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>

#include "tasks/registry.h"

namespace minke {
namespace {

std::shared_ptr<const Task> found(const std::string& spec) {
  auto task = find_task(spec);
  EXPECT_TRUE(task) << task.error().message;
  return *std::move(task);
}

TEST(Mixture, DrawsByWeightAndLeavesEachProblemToItsTask) {
  const auto mixed = mix_tasks({{.task = found("chain_sums"), .weight = 3.0},
                                {.task = found("chain_sums:max=9"), .weight = 1.0},
                                {.task = found("gcd"), .weight = 0.0}});
  EXPECT_EQ(mixed->size(Split::kTrain), Task::kEndless);
  std::map<std::string, int> counts;
  for (uint64_t i = 0; i < 400; ++i) {
    const Problem problem = mixed->problem(Split::kTrain, i);
    ++counts[problem.id.substr(0, problem.id.find("/train/"))];
    EXPECT_EQ(mixed->problem(Split::kTrain, i).prompt, problem.prompt);
    const auto solved = mixed->solve(problem, i);
    ASSERT_TRUE(solved) << solved.error().message;
    EXPECT_TRUE(mixed->check(problem, solved->answer).correct);
    EXPECT_FALSE(mixed->check(problem, "Answer: -12345").correct);
  }
  EXPECT_EQ(counts.size(), 2U);
  EXPECT_NEAR(counts["chain_sums"], 300, 35);
  EXPECT_NEAR(counts["chain_sums:max=9"], 100, 35);
}

TEST(Mixture, FiniteProblemsComeOnceARoundAndEmptySplitsNever) {
  const std::string path = ::testing::TempDir() + "mixture.jsonl";
  std::ofstream file(path);
  for (int i = 0; i < 12; ++i) file << R"({"prompt": "p)" << i << R"(", "answer": )" << i << "}\n";
  file.close();
  const auto mixed =
      mix_tasks({{.task = found("jsonl:train=" + path)}, {.task = found("chain_sums")}});
  std::set<std::string> seen;
  size_t of_file = 0;
  for (uint64_t i = 0; i < 12; ++i) {
    const Problem problem = mixed->problem(Split::kTrain, i);
    if (!problem.id.starts_with("jsonl")) continue;
    ++of_file;
    EXPECT_TRUE(seen.insert(problem.prompt).second) << problem.prompt;
    EXPECT_TRUE(mixed->check(problem, "Answer: " + problem.expected).correct);
  }
  EXPECT_GT(of_file, 2U);
  for (uint64_t i = 0; i < 20; ++i) {
    EXPECT_TRUE(mixed->problem(Split::kTest, i).id.starts_with("chain_sums"));
  }
}

}  // namespace
}  // namespace minke
