// The loss of next-token prediction and its gradient, in double where it is summed.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/result.h"
#include "train/backward.h"

namespace minke {

inline constexpr int32_t kIgnoreTarget = -1;

struct TokenLoss {
  double loss = 0.0;             // the sum over rows of weight · -log p(target)
  double entropy = 0.0;          // the mean over rows with a target, in nats
  std::vector<double> logprobs;  // log p(target) of each row; 0 where the target is ignored
  Tensor dlogits;                // d loss / d logits [rows, vocabulary]; ignored rows are zero
};

// What -log p(target) of a row weighs in the loss, now that log p is known: a policy gradient's
// weights depend on it. A pure function, called from any thread.
using RowWeight = std::function<float(int64_t row, double logprob)>;

// logits [rows, vocabulary]; targets [rows], kIgnoreTarget for rows without one. p is the softmax
// of logits / temperature, and log p the sampler's own (Sampler::logprob), bit for bit. Rows are
// summed in order: the same bits for any number of threads. Fails when a logit is not a number.
Result<TokenLoss> token_loss(const BackwardContext& context, const Tensor& logits,
                             std::span<const int32_t> targets, const RowWeight& weight,
                             double temperature = 1.0);
// The same for weights [rows] that are known before, or none for the mean over the rows that have a
// target.
Result<TokenLoss> softmax_cross_entropy(const BackwardContext& context, const Tensor& logits,
                                        std::span<const int32_t> targets,
                                        std::span<const float> weights = {});
// TokenLoss::logprobs alone.
Result<std::vector<double>> token_logprobs(const BackwardContext& context, const Tensor& logits,
                                           std::span<const int32_t> targets, double temperature);

}  // namespace minke
