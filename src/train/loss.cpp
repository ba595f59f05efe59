#include "train/loss.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <mutex>

#include "engine/sampler.h"
#include "kernels/logits.h"

namespace minke {
namespace {

// out[i] = exp((in[i] - largest) / temperature), by the sampler's own kernel.
void weigh(std::span<const float> in, float largest, float inverse_temperature, float* out) {
  const LogitKernels& kernels = logit_kernels();
  const auto blocks = static_cast<int64_t>(in.size()) / kLogitBlock;
  if (blocks > 0) kernels.weigh(in.data(), blocks, largest, inverse_temperature, out);
  const auto whole = static_cast<size_t>(blocks * kLogitBlock);
  if (whole == in.size()) return;
  std::array<float, kLogitBlock> padded;
  std::array<float, kLogitBlock> weights;
  padded.fill(-std::numeric_limits<float>::infinity());
  std::copy(in.begin() + static_cast<std::ptrdiff_t>(whole), in.end(), padded.begin());
  kernels.weigh(padded.data(), 1, largest, inverse_temperature, weights.data());
  std::copy_n(weights.begin(), in.size() - whole, out + whole);
}

std::span<const float> values_of(const Tensor& logits, int64_t row) {
  return {logits.row(row), static_cast<size_t>(logits.dim())};
}

// One row: its gradient for a weight of 1 that is yet to be known, and the entropy.
struct Row {
  std::span<const float> logits;
  double log_sum_exp = 0.0;
  double temperature = 1.0;

  // dlogits = weight / T · (softmax - onehot(target)), and the entropy of the softmax.
  double gradient(int32_t target, float weight, float* dlogits) const {
    const float largest = *std::ranges::max_element(logits);
    weigh(logits, largest, static_cast<float>(1.0 / temperature), dlogits);
    // Divided by their sum, which log_sum_exp knows to 1e-7.
    const double sum = std::exp(log_sum_exp - static_cast<double>(largest) / temperature);
    // -Σ p log p = log_sum_exp - Σ p · logit / T.
    double mean = 0.0;
    for (size_t i = 0; i < logits.size(); ++i) {
      mean += dlogits[i] > 0.0F ? static_cast<double>(dlogits[i] * (logits[i] - largest)) : 0.0;
    }
    const double scaled = static_cast<double>(weight) / temperature;
    const auto factor = static_cast<float>(scaled / sum);
    for (size_t i = 0; i < logits.size(); ++i) dlogits[i] *= factor;
    dlogits[target] -= static_cast<float>(scaled);
    return log_sum_exp - (mean / sum + static_cast<double>(largest)) / temperature;
  }
};

// log Σ exp(logit / T) of each row with a target.
Result<std::vector<double>> log_sum_exps(const BackwardContext& context, const Tensor& logits,
                                         std::span<const int32_t> targets, double temperature) {
  CHECK_EQ(std::ssize(targets), logits.rows());
  CHECK_GT(temperature, 0.0);
  std::vector<double> sums(targets.size(), 0.0);
  std::mutex mutex;
  Status status;
  context.pool.parallel_for(logits.rows(), 8, [&](int64_t begin, int64_t end) {
    Sampler sampler;
    for (int64_t row = begin; row < end; ++row) {
      const auto index = static_cast<size_t>(row);
      if (targets[index] == kIgnoreTarget) continue;
      CHECK_GE(targets[index], 0);
      CHECK_LT(targets[index], logits.dim());
      const auto sum = sampler.log_sum_exp(values_of(logits, row), temperature);
      if (!sum) {
        const std::lock_guard lock(mutex);
        status = std::unexpected(sum.error());
        return;
      }
      sums[index] = *sum;
    }
  });
  MINKE_TRY(status);
  return sums;
}

}  // namespace

Result<std::vector<double>> token_logprobs(const BackwardContext& context, const Tensor& logits,
                                           std::span<const int32_t> targets, double temperature) {
  MINKE_ASSIGN(std::vector<double> logprobs, log_sum_exps(context, logits, targets, temperature));
  for (size_t row = 0; row < targets.size(); ++row) {
    if (targets[row] == kIgnoreTarget) continue;
    logprobs[row] = Sampler::logprob(values_of(logits, static_cast<int64_t>(row)), logprobs[row],
                                     targets[row], temperature);
  }
  return logprobs;
}

Result<TokenLoss> token_loss(const BackwardContext& context, const Tensor& logits,
                             std::span<const int32_t> targets, const RowWeight& weight,
                             double temperature) {
  const int64_t vocabulary = logits.dim();
  MINKE_ASSIGN(const std::vector<double> sums, log_sum_exps(context, logits, targets, temperature));
  TokenLoss result;
  result.logprobs.assign(targets.size(), 0.0);
  result.dlogits = context.empty(logits.shape());
  std::vector<double> losses(targets.size(), 0.0);
  std::vector<double> entropies(targets.size(), 0.0);
  context.pool.parallel_for(logits.rows(), 8, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const auto index = static_cast<size_t>(row);
      float* dlogits = result.dlogits.row(row);
      const int32_t target = targets[index];
      if (target == kIgnoreTarget) {
        std::fill(dlogits, dlogits + vocabulary, 0.0F);
        continue;
      }
      const Row one = {
          .logits = values_of(logits, row), .log_sum_exp = sums[index], .temperature = temperature};
      const double logprob = Sampler::logprob(one.logits, one.log_sum_exp, target, temperature);
      const float own = weight(row, logprob);
      result.logprobs[index] = logprob;
      losses[index] = -static_cast<double>(own) * logprob;
      entropies[index] = one.gradient(target, own, dlogits);
    }
  });
  const auto counted =
      static_cast<int64_t>(targets.size()) - std::ranges::count(targets, kIgnoreTarget);
  for (size_t row = 0; row < targets.size(); ++row) {
    result.loss += losses[row];
    result.entropy += entropies[row];
  }
  if (counted > 0) result.entropy /= static_cast<double>(counted);
  return result;
}

Result<TokenLoss> softmax_cross_entropy(const BackwardContext& context, const Tensor& logits,
                                        std::span<const int32_t> targets,
                                        std::span<const float> weights) {
  if (!weights.empty()) {
    CHECK_EQ(weights.size(), targets.size());
    return token_loss(context, logits, targets, [weights](int64_t row, double /*logprob*/) {
      return weights[static_cast<size_t>(row)];
    });
  }
  const auto counted =
      static_cast<int64_t>(targets.size()) - std::ranges::count(targets, kIgnoreTarget);
  const float mean = counted > 0 ? 1.0F / static_cast<float>(counted) : 0.0F;
  return token_loss(context, logits, targets,
                    [mean](int64_t /*row*/, double /*logprob*/) { return mean; });
}

}  // namespace minke
