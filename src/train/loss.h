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

// What a teacher thinks of each row: its `k` likeliest tokens with their probabilities, by falling
// probability; all others together have what is missing to 1.
struct TeacherRows {
  int64_t k = 0;
  std::vector<int32_t> tokens;        // [rows, k]
  std::vector<double> probabilities;  // [rows, k]
};
// Of the first `vocab_size` columns of logits [rows, vocabulary], as if there were no others: the
// softmax of logits / temperature. Of equals the smaller token comes first.
Result<TeacherRows> likeliest_tokens(const BackwardContext& context, const Tensor& logits,
                                     int64_t k, double temperature, int64_t vocab_size);

struct DistillationOptions {
  double temperature = 1.0;  // of both, in the divergence
  double text_weight = 0.0;  // in [0, 1]: of -log p(target) beside it, at temperature 1
};
struct DistillationLoss {
  TokenLoss tokens;         // loss and gradient of the whole; log p of the targets
  double divergence = 0.0;  // the sum over rows of KL(teacher | student), in nats
};
// The sum over rows with a target of
//
//   weight · ((1 - text_weight) · KL(teacher | student) - text_weight · log p(target))
//
// where the divergence is between distributions over the teacher's k tokens and the rest as one.
Result<DistillationLoss> distillation_loss(const BackwardContext& context, const Tensor& logits,
                                           std::span<const int32_t> targets,
                                           const TeacherRows& teacher, float weight,
                                           const DistillationOptions& options);

}  // namespace minke
