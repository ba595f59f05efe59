#include "eval/model_ask.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tasks/registry.h"

namespace minke {
namespace {

TEST(EvalAnswer, TellsThinkingFromTheAnswer) {
  struct Case {
    const char *reasoning, *content;
    FinishReason finish;
    const char *thinking, *answer;
    bool closed, truncated;
  };
  const Case table[] = {
      {"hm", "4", FinishReason::kEndOfTurn, "hm", "4", true, false},
      {"", "4", FinishReason::kEndOfTurn, "", "4", true, false},
      {"hm", "", FinishReason::kTokensMax, "hm", "", false, true},
      {"hm", "", FinishReason::kEndOfTurn, "hm", "", false, false},
      {"", "<think>hm</think>\n4", FinishReason::kEndOfTurn, "hm", "4", true, false},
      {"", "hm\n</think>\n\n4", FinishReason::kEndOfTurn, "hm", "4", true, false},
      {"", "<think>hm and", FinishReason::kTokensMax, "hm and", "", false, true},
      {"hm", "</think> 4", FinishReason::kEndOfTurn, "hm", "</think> 4", true, false},
  };
  for (const Case& row : table) {
    Answer answer;
    answer.reasoning = row.reasoning;
    answer.content = row.content;
    answer.finish = row.finish;
    answer.usage.answer_tokens = 9;
    const EvalAnswer read = eval_answer(answer);
    EXPECT_EQ(read.thinking, row.thinking) << row.content;
    EXPECT_EQ(read.answer, row.answer) << row.content;
    EXPECT_EQ(read.thinking_closed, row.closed) << row.content;
    EXPECT_EQ(read.truncated, row.truncated) << row.content;
    EXPECT_EQ(read.tokens, 9);
  }
}

// On a tiny model of random weights: what it says does not depend on what else is being asked.
TEST(ModelAsk, AnswersDoNotDependOnTheirCompany) {
  EngineOptions options;
  options.model = std::string(MINKE_SOURCE_DIR) + "/tests/golden/tiny/qwen2.gguf";
  options.threads = 1;
  const auto engine = LocalEngine::load(options);
  ASSERT_TRUE(engine.has_value()) << engine.error().message;
  SamplingOptions sampling = (*engine)->default_sampling();
  sampling.tokens_max = 12;
  const auto task = find_task("gcd:max=20").value();
  std::vector<std::string> answers[2];
  for (const int64_t running : {1, 5}) {
    const std::string path =
        (std::filesystem::path(::testing::TempDir()) / "minke_ask.jsonl").string();
    std::filesystem::remove(path);
    SampleFile file = SampleFile::open(path, {{"eval", "gcd"}}).value();
    const EvalRequest request = {.samples = 2, .problems_max = 3, .running_max = running};
    const auto problems = choose_problems(*task, request);
    const Status status = evaluate(*task, problems, request, model_ask(**engine, sampling), file,
                                   [](std::span<const EvalSample>) { return true; });
    ASSERT_TRUE(status.has_value()) << status.error().message;
    for (const Problem& problem : problems) {
      for (const EvalSample& sample : file.samples()) {
        if (sample.problem == problem.id && sample.sample == 1) {
          answers[running == 5].push_back(sample.answer);
        }
      }
    }
    std::filesystem::remove(path);
  }
  EXPECT_EQ(answers[0].size(), 3u);
  EXPECT_EQ(answers[0], answers[1]);
}

}  // namespace
}  // namespace minke
