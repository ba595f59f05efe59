// Policy gradients with rewards by group: GRPO (DeepSeekMath, arXiv 2402.03300) and what was made
// of it: Dr. GRPO (2503.20783), DAPO (2503.14476), GSPO (2507.18071). For an answer with advantage
// A, of whose token the policy's log p has moved by δ = log p - log p_old since it was sampled, and
// with ρ = exp(δ):
//
//   loss = -min(ρ A, clip(ρ, 1 - clip_low, 1 + clip_high) A) + kl · (exp(d) - d - 1),
//   d = log p_reference - log p   (Schulman's k3)
//
// Pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace minke {

// How the tokens' losses become one: each answer's mean, then the mean of answers (GRPO); the mean
// over all tokens of the step (DAPO); the sum over what the answers could have been long (Dr.
// GRPO).
enum class PolicyAggregate : uint8_t { kByAnswer, kByToken, kByLimit };

struct PolicyOptions {
  bool divide_by_deviation = true;  // advantages, by their group's
  PolicyAggregate aggregate = PolicyAggregate::kByToken;
  bool ratio_by_answer = false;  // one ρ an answer: exp of the mean of its tokens' δ (GSPO)
  double clip_low = 0.2;
  double clip_high = 0.28;
  double kl = 0.0;  // 0: no reference

  // "grpo", "dr_grpo", "dapo" or "gspo".
  static Result<PolicyOptions> named(std::string_view algorithm);
};

// (reward - mean) / (deviation + 1e-6), or without the division; all zero where the rewards are
// equal: such a group teaches nothing.
std::vector<double> group_advantages(std::span<const double> rewards, bool divide_by_deviation);

// A token's loss and how it falls with log p: -d loss / d log p.
struct PolicyTerm {
  double loss = 0.0;
  double pull = 0.0;
  double kl = 0.0;       // its k3, before the factor
  bool clipped = false;  // the ratio has gone as far as it may: no pull but the reference's
};

// `delta` is the token's δ, or the answer's mean where ratio_by_answer. `logprob` and `reference`
// matter where kl > 0.
PolicyTerm policy_term(const PolicyOptions& options, double delta, double advantage, double logprob,
                       double reference);

// What a token's term counts in the step's loss. `answers` and `tokens` are of the whole step,
// never of a part of it.
double policy_weight(const PolicyOptions& options, int64_t answer_tokens, int64_t answers,
                     int64_t tokens, int64_t tokens_max);

}  // namespace minke
