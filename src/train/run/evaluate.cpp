#include "train/run/evaluate.h"

#include <chrono>
#include <utility>

namespace minke {

Result<std::optional<EvaluationReport>> evaluate_model(Model& model, Ops& ops, const ChatText& text,
                                                       const EvaluationPlan& plan,
                                                       const std::function<bool()>& is_stopped) {
  constexpr uint64_t kSeed = 0x6576616c;
  constexpr size_t kShown = 3;
  const auto begin = std::chrono::steady_clock::now();
  std::vector<RolloutPrompt> prompts;
  std::vector<Problem> problems;
  std::vector<ChatPrompt> asked;
  const uint64_t size = plan.task->size(Split::kTest);
  for (uint64_t i = 0; i < static_cast<uint64_t>(plan.problems) && i < size; ++i) {
    problems.push_back(plan.task->problem(Split::kTest, i));
    MINKE_ASSIGN(ChatPrompt prompt, text.prompt(plan.system, problems.back().prompt));
    prompts.push_back({.tokens = prompt.tokens, .number = i, .samples = plan.samples});
    asked.push_back(std::move(prompt));
  }
  MINKE_ASSIGN(const std::vector<Rollout> rollouts,
               sample_rollouts(model, ops, prompts,
                               {.temperature = plan.temperature,
                                .tokens_max = plan.tokens_max,
                                .seed = kSeed,
                                .end_tokens = text.end_tokens(),
                                .is_stopped = is_stopped}));
  if (rollouts.empty()) return std::nullopt;
  EvaluationReport report;
  report.samples_each = plan.samples;
  report.passes = sampled_size(rollouts);
  std::vector<EvalSample> samples;
  for (const Rollout& rollout : rollouts) {
    const Problem& problem = problems[rollout.prompt];
    ChatAnswer answer = text.read(asked[rollout.prompt], rollout.answer());
    const auto number = static_cast<int64_t>(samples.size()) % plan.samples;
    samples.push_back(judged(*plan.task, problem, number,
                             {.thinking = std::move(answer.thinking),
                              .answer = std::move(answer.answer),
                              .thinking_closed = answer.thinking_closed,
                              .truncated = rollout.truncated,
                              .tokens = rollout.answer_tokens()}));
    const bool correct = samples.back().correct;
    if (report.shown.size() < kShown && report.shown.size() == rollout.prompt) {
      report.shown.push_back({.prompt = problem.prompt,
                              .text = text.shown(rollout.answer()),
                              .reward = correct ? 1.0 : 0.0,
                              .correct = correct});
    }
  }
  report.summary = summarise(samples, plan.samples);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return report;
}

}  // namespace minke
