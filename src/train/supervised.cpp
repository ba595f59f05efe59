#include "train/supervised.h"

#include <fmt/format.h>

#include <algorithm>

namespace minke {

Result<SupervisedReport> supervised_step(Trainer& trainer, std::span<const TokenSequence> examples,
                                         int64_t batch_tokens, double learning_rate) {
  SupervisedReport report;
  for (const TokenSequence& example : examples) {
    report.tokens += std::ssize(example.tokens);
    report.targets += std::ranges::count(example.is_target, true);
  }
  CHECK_GT(report.targets, 0);
  const float weight = 1.0F / static_cast<float>(report.targets);
  std::vector<TrainSequence> pass;
  int64_t tokens = 0;
  const auto learn = [&]() -> Status {
    if (pass.empty()) return {};
    const double share = static_cast<double>(tokens) / static_cast<double>(report.tokens);
    MINKE_ASSIGN(const TokenLoss loss, trainer.accumulate(
                                           pass,
                                           [&](const TrainBatch& batch, const Tensor& logits) {
                                             return token_loss(
                                                 trainer.context(), logits, batch.targets,
                                                 [&](int64_t, double) { return weight; });
                                           },
                                           share));
    report.loss += loss.loss;
    pass.clear();
    tokens = 0;
    return {};
  };
  for (const TokenSequence& example : examples) {
    const auto length = std::ssize(example.tokens);
    if (tokens + length > batch_tokens) MINKE_TRY(learn());
    pass.push_back({.tokens = example.tokens, .is_target = &example.is_target});
    tokens += length;
  }
  MINKE_TRY(learn());
  MINKE_ASSIGN(const OptimiserReport step, trainer.update(learning_rate));
  if (!step.applied) {
    return fail(
        fmt::format("the gradient's norm is {} with a loss of {}: training has run away; a "
                    "smaller learning rate is the way out",
                    step.gradient_norm, report.loss));
  }
  report.gradient_norm = step.gradient_norm;
  return report;
}

}  // namespace minke
