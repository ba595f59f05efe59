#include "train/loss.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <mutex>
#include <numeric>
#include <utility>

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

Result<TeacherRows> likeliest_tokens(const BackwardContext& context, const Tensor& logits,
                                     int64_t k, double temperature, int64_t vocab_size) {
  CHECK_LE(vocab_size, logits.dim());
  TeacherRows top = {.k = std::min(k, vocab_size), .tokens = {}, .probabilities = {}};
  const auto count = static_cast<size_t>(top.k);
  top.tokens.resize(static_cast<size_t>(logits.rows()) * count);
  top.probabilities.resize(top.tokens.size());
  std::mutex mutex;
  Status status;
  context.pool.parallel_for(logits.rows(), 4, [&](int64_t begin, int64_t end) {
    Sampler sampler;
    std::vector<int32_t> order(static_cast<size_t>(vocab_size));
    for (int64_t row = begin; row < end; ++row) {
      const auto values = values_of(logits, row).first(order.size());
      const auto sum = sampler.log_sum_exp(values, temperature);
      if (!sum) {
        const std::lock_guard lock(mutex);
        status = std::unexpected(sum.error());
        return;
      }
      std::iota(order.begin(), order.end(), 0);
      std::ranges::partial_sort(order, order.begin() + static_cast<std::ptrdiff_t>(count),
                                [&](int32_t a, int32_t b) {
                                  const float x = values[static_cast<size_t>(a)];
                                  const float y = values[static_cast<size_t>(b)];
                                  return x != y ? x > y : a < b;
                                });
      for (size_t i = 0; i < count; ++i) {
        const size_t at = static_cast<size_t>(row) * count + i;
        top.tokens[at] = order[i];
        top.probabilities[at] = std::exp(Sampler::logprob(values, *sum, order[i], temperature));
      }
    }
  });
  MINKE_TRY(status);
  return top;
}

namespace {

// One row of the divergence: its value, and scale · d KL / d logits added to `dlogits`. `weights`
// has room for the vocabulary.
double add_divergence(std::span<const float> logits, double temperature,
                      std::span<const int32_t> tokens, std::span<const double> probabilities,
                      double scale, std::span<float> weights, float* dlogits) {
  const float largest = *std::ranges::max_element(logits);
  weigh(logits, largest, static_cast<float>(1.0 / temperature), weights.data());
  // What the student gives to each of the teacher's tokens, and to the rest: summed apart, since a
  // difference would leave nothing of a small rest.
  double known = 0.0, kept = 0.0;
  for (const int32_t token : tokens) known += weights[static_cast<size_t>(token)];
  std::vector<float> own(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    own[i] = std::exchange(weights[static_cast<size_t>(tokens[i])], 0.0F);
  }
  double rest = 0.0;
  for (const float weight : weights) rest += weight;
  const double sum = known + rest;
  for (const double p : probabilities) kept += p;
  const bool knows_all = tokens.size() == weights.size();
  const double missing = knows_all ? 0.0 : std::max(0.0, 1.0 - kept);
  constexpr double kTiny = 1e-30;  // a student that gives nothing is infinitely far, but for this
  double divergence = 0.0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const double p = probabilities[i];
    if (p > 0.0) divergence += p * std::log(p / std::max(own[i] / sum, kTiny));
  }
  if (missing > 0.0) divergence += missing * std::log(missing / std::max(rest / sum, kTiny));
  // d KL / d z = q - p on the teacher's tokens; q · (1 - missing / q_rest) on the others, of which
  // the teacher has said only how much they are together.
  const double factor = scale / temperature;
  const double others = factor * (1.0 / sum - (rest > 0.0 ? missing / rest : 0.0));
  for (size_t i = 0; i < weights.size(); ++i) {
    dlogits[i] += static_cast<float>(others * weights[i]);
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    dlogits[tokens[i]] += static_cast<float>(factor * (own[i] / sum - probabilities[i]));
  }
  return divergence;
}

}  // namespace

Result<DistillationLoss> distillation_loss(const BackwardContext& context, const Tensor& logits,
                                           std::span<const int32_t> targets,
                                           const TeacherRows& teacher, float weight,
                                           const DistillationOptions& options) {
  CHECK_EQ(teacher.tokens.size(), targets.size() * static_cast<size_t>(teacher.k));
  // The text's part first: it also refuses logits that are no numbers.
  const auto of_text = static_cast<float>(weight * options.text_weight);
  DistillationLoss result;
  MINKE_ASSIGN(result.tokens, token_loss(context, logits, targets,
                                         [of_text](int64_t, double) { return of_text; }));
  const double scale = weight * (1.0 - options.text_weight);
  const auto k = static_cast<size_t>(teacher.k);
  std::vector<double> divergences(targets.size(), 0.0);
  context.pool.parallel_for(logits.rows(), 8, [&](int64_t begin, int64_t end) {
    std::vector<float> weights(static_cast<size_t>(logits.dim()));
    for (int64_t row = begin; row < end; ++row) {
      const auto index = static_cast<size_t>(row);
      if (targets[index] == kIgnoreTarget) continue;
      divergences[index] = add_divergence(values_of(logits, row), options.temperature,
                                          std::span(teacher.tokens).subspan(index * k, k),
                                          std::span(teacher.probabilities).subspan(index * k, k),
                                          scale, weights, result.tokens.dlogits.row(row));
    }
  });
  for (const double divergence : divergences) result.divergence += divergence;
  result.tokens.loss += scale * result.divergence;
  return result;
}

}  // namespace minke
