#include "engine/drafter.h"

#include <algorithm>
#include <cmath>

namespace minke {
namespace {

constexpr double kLearning = 0.125;

}  // namespace

const char* draft_kind_name(DraftKind kind) {
  switch (kind) {
    case DraftKind::kNone:
      return "none";
    case DraftKind::kLookup:
      return "lookup";
    case DraftKind::kMtp:
      return "mtp";
    case DraftKind::kModel:
      return "model";
  }
  return "unknown";
}

void DraftModel::follow(const Batch& batch, const Tensor& states) {
  (void)batch;
  (void)states;
}

void DraftModel::note_pass(std::chrono::steady_clock::time_point began) {
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  if (pass_seconds_ == 0) {
    pass_seconds_ = seconds;
    return;
  }
  // A hiccup of the machine counts no more than a doubling.
  pass_seconds_ += kLearning * (std::min(seconds, 2 * pass_seconds_) - pass_seconds_);
}

bool Guesser::guess(std::span<float> logits, DraftRequest& request, double& confidence) {
  history_.assign(request.tokens.begin(), request.tokens.end());
  history_.insert(history_.end(), request.guesses.begin(), request.guesses.end());
  const Result<int32_t> token = sampler_.sample(logits, history_, request.sampling);
  const Result<double> log_sum = sampler_.log_sum_exp(logits);
  if (!token || !log_sum) return false;  // a drafter's fault costs guesses, not answers
  request.guesses.push_back(*token);
  confidence *= std::exp(Sampler::logprob(logits, *log_sum, *token));
  return std::ssize(request.guesses) < request.count && confidence >= request.confidence_min;
}

}  // namespace minke
