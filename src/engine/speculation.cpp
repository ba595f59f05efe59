#include "engine/speculation.h"

#include <algorithm>

namespace minke {
namespace {

// A model's guesses at most: each costs a pass.
constexpr int64_t kModelDraftMax = 8;
constexpr double kLearning = 0.05;
// What a model has not read yet must pay for itself within so many tokens.
constexpr int64_t kHorizon = 256;
// A pass over so many rows takes about as long as over one.
constexpr int64_t kRowsFree = 4;

// A model that does not pay is tried again after a while. One that has to read up first, later.
double forgiveness(DraftKind kind) { return kind == DraftKind::kMtp ? 0.01 : 0.002; }

}  // namespace

void Acceptance::observe(int64_t drafted, int64_t accepted, double learning) {
  for (int64_t i = 0; i < accepted; ++i) chance_ += learning * (1.0 - chance_);
  if (accepted < drafted) chance_ -= learning * chance_;
}

Speculation::Speculation(const DraftModel* model, const Options& options)
    : model_(options.with == SpeculateWith::kLookup ? nullptr : model),
      looks_up_(options.with != SpeculateWith::kModel),
      draft_tokens_(options.draft_tokens),
      acceptance_(options.chance) {}

DraftLength Speculation::lookup_length(const StepCost& cost, std::span<const int32_t> tokens,
                                       const Step& step) {
  guess_ = {};
  if (!looks_up_) return {};
  lookup_.extend(tokens);
  guess_ = lookup_.look_up(tokens);
  if (guess_.kind == LookupDrafter::Kind::kNone) return {};
  const DraftLength length =
      best_draft_length(cost, step.rows, step.tokens,
                        {.acceptance = guess_.acceptance,
                         .limit = std::min<int64_t>(step.limit, LookupDrafter::kDraftMax)});
  if (length.count == 0) lookup_.skipped(guess_);
  return length;
}

Speculation::Choice Speculation::model_choice(const StepCost& cost, std::span<const int32_t> tokens,
                                              std::span<const int32_t> pages, const Step& step,
                                              double gain_otherwise) {
  if (model_ == nullptr) return {};
  if (draft_tokens_ >= 0) {
    const int64_t count = std::min(draft_tokens_, step.limit);
    if (count == 0 || model_->unread(tokens, pages) < 0) return {};
    return {.kind = model_->kind(),
            .count = count,
            .acceptance = acceptance_.chance(),
            .confidence_min = 0};
  }
  // How long a step takes without any of this must be known first.
  if (cost.in_steps(1.0) == 0) return {};
  const double pass =
      model_->pass_seconds() > 0 ? cost.in_steps(model_->pass_seconds()) : model_->cost_prior();
  const double each = pass / static_cast<double>(step.sharing);
  const DraftLength length = best_draft_length(cost, step.rows, step.tokens,
                                               {.acceptance = acceptance_.chance(),
                                                .cost_each = each,
                                                .limit = std::min(step.limit, kModelDraftMax)});
  if (length.count == 0) {
    acceptance_.forgive(model_->acceptance_prior(), forgiveness(model_->kind()));
    return {};
  }
  if (length.gain <= gain_otherwise) return {};
  const int64_t unread = model_->unread(tokens, pages);
  if (unread < 0) return {};
  if (unread >= kRowsFree) {
    const double reading =
        static_cast<double>(unread) * pass * cost.relative(StepCost::kRowsMax) / StepCost::kRowsMax;
    const auto horizon = static_cast<double>(std::min(step.tokens_left, kHorizon));
    if (reading > horizon * (1 / gain_otherwise - 1 / length.gain)) return {};
  }
  // A further guess costs its pass and its row, which would yield tokens otherwise.
  const double row =
      cost.relative(step.rows + length.count) - cost.relative(step.rows + length.count - 1);
  const double rate = length.gain * step.tokens / cost.relative(step.rows);
  return {.kind = model_->kind(),
          .count = length.count,
          .acceptance = acceptance_.chance(),
          .confidence_min = std::min(0.9, rate * (each + row))};
}

Speculation::Choice Speculation::choose(const StepCost& cost, std::span<const int32_t> tokens,
                                        std::span<const int32_t> pages, const Step& step) {
  const DraftLength length = lookup_length(cost, tokens, step);
  // Look-up must be as sure of a token as the model is. Its guesses cost so little that they
  // promise to pay when one in seven is right, but they take the place of better ones.
  const bool sure = guess_.acceptance >= acceptance_.chance();
  choice_ = model_choice(cost, tokens, pages, step, sure ? length.gain : 1.0);
  if (choice_.kind == DraftKind::kNone && length.count > 0) {
    choice_ = {.kind = DraftKind::kLookup,
               .count = length.count,
               .acceptance = guess_.acceptance,
               .confidence_min = 0};
  }
  return choice_;
}

void Speculation::copy(std::span<const int32_t> tokens, std::vector<int32_t>& out) const {
  LookupDrafter::copy(tokens, guess_, choice_.count, out);
}

void Speculation::observe(int64_t drafted, int64_t accepted) {
  if (choice_.kind == DraftKind::kLookup) {
    lookup_.observe(guess_, drafted, accepted);
  } else {
    acceptance_.observe(drafted, accepted, kLearning);
  }
}

}  // namespace minke
