#include "train/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace minke {

Result<PolicyOptions> PolicyOptions::named(std::string_view algorithm) {
  if (algorithm == "grpo") {
    return PolicyOptions{
        .aggregate = PolicyAggregate::kByAnswer, .clip_low = 0.2, .clip_high = 0.2};
  }
  if (algorithm == "dr_grpo") {
    return PolicyOptions{.divide_by_deviation = false,
                         .aggregate = PolicyAggregate::kByLimit,
                         .clip_low = 0.2,
                         .clip_high = 0.2};
  }
  if (algorithm == "dapo") return PolicyOptions{};
  if (algorithm == "gspo") {
    return PolicyOptions{.aggregate = PolicyAggregate::kByAnswer,
                         .ratio_by_answer = true,
                         .clip_low = 3e-4,
                         .clip_high = 4e-4};
  }
  return misuse(
      fmt::format("there is no algorithm '{}'; there are grpo, dr_grpo, dapo and gspo", algorithm));
}

std::vector<double> group_advantages(std::span<const double> rewards, bool divide_by_deviation) {
  std::vector<double> advantages(rewards.size(), 0.0);
  if (rewards.empty() || std::ranges::all_of(rewards, [&](double r) { return r == rewards[0]; })) {
    return advantages;
  }
  const auto count = static_cast<double>(rewards.size());
  double mean = 0.0;
  for (const double reward : rewards) mean += reward / count;
  double variance = 0.0;
  for (const double reward : rewards) variance += (reward - mean) * (reward - mean) / count;
  const double divisor = divide_by_deviation ? std::sqrt(variance) + 1e-6 : 1.0;
  for (size_t i = 0; i < rewards.size(); ++i) advantages[i] = (rewards[i] - mean) / divisor;
  return advantages;
}

PolicyTerm policy_term(const PolicyOptions& options, double delta, double advantage, double logprob,
                       double reference) {
  PolicyTerm term;
  const double ratio = std::exp(delta);
  const double bounded = std::clamp(ratio, 1.0 - options.clip_low, 1.0 + options.clip_high);
  term.clipped = bounded * advantage < ratio * advantage;
  term.loss = -std::min(ratio * advantage, bounded * advantage);
  term.pull = term.clipped ? 0.0 : ratio * advantage;
  if (options.kl > 0.0) {
    const double d = reference - logprob;
    term.kl = std::exp(d) - d - 1.0;
    term.loss += options.kl * term.kl;
    term.pull += options.kl * (std::exp(d) - 1.0);
  }
  return term;
}

double policy_weight(const PolicyOptions& options, int64_t answer_tokens, int64_t answers,
                     int64_t tokens, int64_t tokens_max) {
  switch (options.aggregate) {
    case PolicyAggregate::kByAnswer:
      return 1.0 / (static_cast<double>(answers) * static_cast<double>(answer_tokens));
    case PolicyAggregate::kByToken:
      return 1.0 / static_cast<double>(tokens);
    case PolicyAggregate::kByLimit:
      return 1.0 / (static_cast<double>(answers) * static_cast<double>(tokens_max));
  }
  return 0.0;
}

}  // namespace minke
