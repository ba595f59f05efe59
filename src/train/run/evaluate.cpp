#include "train/run/evaluate.h"

#include <chrono>
#include <cmath>

namespace minke {

Result<EvaluationReport> evaluate_model(Model& model, Ops& ops, const ChatText& text,
                                        const EvaluationPlan& plan, const std::string& system) {
  constexpr uint64_t kSeed = 0x6576616c;
  constexpr size_t kShown = 3;
  const auto begin = std::chrono::steady_clock::now();
  std::vector<RolloutPrompt> prompts;
  std::vector<Problem> problems;
  std::vector<ChatPrompt> asked;
  const uint64_t size = plan.task->size(Split::kTest);
  for (uint64_t i = 0; i < static_cast<uint64_t>(plan.problems) && i < size; ++i) {
    problems.push_back(plan.task->problem(Split::kTest, i));
    MINKE_ASSIGN(ChatPrompt prompt, text.prompt(system, problems.back().prompt));
    prompts.push_back({.tokens = prompt.tokens, .number = i, .samples = plan.samples});
    asked.push_back(std::move(prompt));
  }
  MINKE_ASSIGN(const std::vector<Rollout> rollouts,
               sample_rollouts(model, ops, prompts,
                               {.temperature = plan.temperature,
                                .tokens_max = plan.tokens_max,
                                .seed = kSeed,
                                .end_tokens = text.end_tokens()}));
  EvaluationReport report = {.problems = std::ssize(problems), .samples = plan.samples};
  std::vector<double> right(problems.size(), 0.0);
  for (const Rollout& rollout : rollouts) {
    const ChatAnswer answer = text.read(asked[rollout.prompt], rollout.answer());
    const Verdict verdict = plan.task->check(problems[rollout.prompt], answer.answer);
    const bool correct = verdict.correct && !rollout.truncated;
    right[rollout.prompt] += correct ? 1.0 : 0.0;
    report.format +=
        verdict.well_formed && answer.thinking_closed && !rollout.truncated ? 1.0 : 0.0;
    report.tokens_mean += static_cast<double>(rollout.answer_tokens());
    report.truncated += rollout.truncated ? 1.0 : 0.0;
    if (report.shown.size() < kShown && report.shown.size() == rollout.prompt) {
      report.shown.push_back({.prompt = problems[rollout.prompt].prompt,
                              .text = text.shown(rollout.answer()),
                              .reward = correct ? 1.0 : 0.0,
                              .correct = correct});
    }
  }
  const auto count = static_cast<double>(problems.size());
  const auto answers = static_cast<double>(rollouts.size());
  double squares = 0.0;
  for (double& rate : right) {
    report.pass_k += rate > 0.0 ? 1.0 / count : 0.0;
    rate /= static_cast<double>(plan.samples);
    report.pass_1 += rate / count;
  }
  for (const double rate : right) squares += (rate - report.pass_1) * (rate - report.pass_1);
  if (count > 1.0) report.pass_1_error = std::sqrt(squares / (count - 1.0) / count);
  report.format /= answers;
  report.tokens_mean /= answers;
  report.truncated /= answers;
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return report;
}

}  // namespace minke
