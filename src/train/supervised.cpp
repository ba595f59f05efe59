#include "train/supervised.h"

#include <fmt/format.h>

#include <algorithm>

namespace minke {
namespace {

Result<TeacherRows> ask(Trainer& trainer, const Distillation& distillation,
                        std::span<const TrainSequence> sequences) {
  return distillation.teacher->likeliest(trainer.context(), make_train_batch(sequences),
                                         distillation.top_k, distillation.options.temperature,
                                         trainer.model().config().vocab_size);
}

}  // namespace

Result<SupervisedReport> supervised_step(Trainer& trainer, std::span<const TokenSequence> examples,
                                         int64_t batch_tokens, double learning_rate,
                                         const Distillation* distillation) {
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
    TeacherRows taught;
    if (distillation != nullptr) {
      MINKE_ASSIGN(taught, ask(trainer, *distillation, pass));
    }
    const auto loss_of = [&](const TrainBatch& batch, const Tensor& logits) -> Result<TokenLoss> {
      if (distillation == nullptr) {
        return token_loss(trainer.context(), logits, batch.targets,
                          [&](int64_t, double) { return weight; });
      }
      MINKE_ASSIGN(DistillationLoss of_both,
                   distillation_loss(trainer.context(), logits, batch.targets, taught, weight,
                                     distillation->options));
      report.divergence += of_both.divergence * weight;
      return std::move(of_both.tokens);
    };
    MINKE_ASSIGN(const TokenLoss loss, trainer.accumulate(pass, loss_of, share));
    report.loss += loss.loss;
    pass.clear();
    tokens = 0;
    return {};
  };
  for (const TokenSequence& example : examples) {
    const auto length = std::ssize(example.tokens);
    if (tokens + length > batch_tokens) MINKE_TRY(learn());
    pass.push_back({.tokens = example.tokens, .is_target = &example.is_target});
    report.passes.add_rows(0, length - 1);
    tokens += length;
  }
  MINKE_TRY(learn());
  report.passes.logit_rows = report.targets;
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
