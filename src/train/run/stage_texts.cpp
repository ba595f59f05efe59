#include "train/run/stage_texts.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "core/random.h"

namespace minke {

namespace {
constexpr uint64_t kTextStream = 0x74657874;
}  // namespace

Result<TokenSequence> StageTexts::example(uint64_t counter, double progress) const {
  const TextPart* part = draw(counter, progress);
  if (part == nullptr) {
    return misuse(fmt::format("stage '{}': no [[stage.text]] is on at {:.0f}% of its steps",
                              stage_.name, 100.0 * progress));
  }
  const uint64_t index = shuffled(part->task->size(Split::kTrain), stage_.seed, counter);
  const Problem problem = part->task->problem(Split::kTrain, index);
  MINKE_ASSIGN(const SolvedProblem solved, part->task->solve(problem, stage_.seed + counter));
  MINKE_ASSIGN(const ChatPrompt prompt, text_.prompt(stage_.system, problem.prompt));
  const std::vector<int32_t> answer = text_.answer_tokens(prompt, solved.thinking, solved.answer);
  TokenSequence example = {.tokens = prompt.tokens, .is_target = {}};
  example.tokens.insert(example.tokens.end(), answer.begin(), answer.end());
  example.is_target.assign(prompt.tokens.size(), false);
  example.is_target.resize(example.tokens.size(), true);
  return example;
}

const TextPart* StageTexts::draw(uint64_t counter, double progress) const {
  double total = 0.0;
  const auto is_on = [&](const TextPart& part) {
    return progress >= part.from && progress < part.to;
  };
  for (const TextPart& part : stage_.texts) total += is_on(part) ? part.weight : 0.0;
  double left = uniform(stage_.seed, kTextStream, counter) * total;
  const TextPart* last = nullptr;
  for (const TextPart& part : stage_.texts) {
    if (!is_on(part) || part.weight <= 0.0) continue;
    last = &part;
    if (left < part.weight) break;
    left -= part.weight;
  }
  return last;
}

}  // namespace minke
