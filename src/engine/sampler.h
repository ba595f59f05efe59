// From logits to a token. The token at a position is a pure function of (logits row, the tokens
// before it, options, seed, stream, position): no state, no order of calls, no thread has a say. So
// an answer does not change with what else runs, and a guess (lookup.h) is right or wrong for good.
//
// The stages, in order:
//   1. penalties, on the logits, for tokens among the last `repeat_window` of the sequence:
//      positive logits divided by repeat_penalty, negative ones multiplied; then minus
//      presence_penalty, minus frequency_penalty times the count;
//   2. temperature 0: the largest logit, of equals the lowest id, and nothing further;
//      else weights w = exp((logit - largest) / temperature), zero below e^-32;
//   3. top_k: the k largest weights, of equals the lower ids;
//   4. top_p: of those, the fewest whose sum reaches top_p of their total, largest first;
//   5. min_p: of those, weights of at least min_p times the largest;
//   6. one uniform number, scaled by what is left, is walked off in order of ids.
//
// Logits must be numbers: a NaN or +infinity is an error of the model (a damaged file, an
// overflow), -infinity is a token that cannot come.
//
// A Sampler is scratch memory for one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/result.h"
#include "kernels/logits.h"
#include "minke/engine.h"

namespace minke {

struct SamplerOptions {
  double temperature = 0.6;
  int64_t top_k = 0;
  double top_p = 0.95;
  double min_p = 0.0;
  double repeat_penalty = 1.0;
  double presence_penalty = 0.0;
  double frequency_penalty = 0.0;
  int64_t repeat_window = 64;
  uint64_t seed = 0;
  uint64_t stream = 0;

  // The part of SamplingOptions that chooses tokens, under a seed that is settled.
  static SamplerOptions from(const SamplingOptions& options, uint64_t seed);
};

// Says which option is out of range, what it is and what it may be.
Status check_sampling(const SamplingOptions& options);

class Sampler {
 public:
  // `history` is the whole sequence so far; `position`, where the new token goes, is its length.
  // Leaves `logits` as it found them, though it changes them meanwhile.
  Result<int32_t> sample(std::span<float> logits, std::span<const int32_t> history,
                         const SamplerOptions& options);

  // Log of the sum of exp(logit / temperature): exponentials in fp32, summed in 16 fp32 lanes
  // inside blocks of 64 and in double across them, in a fixed order. Good to 1e-7. Whoever compares
  // log-probabilities (the trainer with the rollout) must take them from here.
  Result<double> log_sum_exp(std::span<const float> logits, double temperature = 1.0);
  static double logprob(std::span<const float> logits, double log_sum_exp, int32_t token,
                        double temperature = 1.0) {
    return static_cast<double>(logits[static_cast<size_t>(token)]) / temperature - log_sum_exp;
  }
  // The `count` likeliest tokens, likeliest first, of equals the lower id first.
  std::vector<TokenLogprob> top(std::span<const float> logits, double log_sum_exp, int64_t count);

 private:
  struct Candidate {
    float logit;
    int32_t token;
  };
  template <typename Pass>
  static void in_blocks(std::span<const float> logits, Pass pass);
  // Largest logit of each block, and of all.
  Result<float> scan(std::span<const float> logits);
  double weigh_all(std::span<const float> logits, float largest, float inverse_temperature);
  int32_t draw_from_all(std::span<const float> logits, float largest, float inverse_temperature,
                        double total, double chance);
  void gather_top_k(std::span<const float> logits, int64_t count);
  void gather_above(std::span<const float> logits, float threshold);
  double weigh_candidates(float largest, float inverse_temperature);
  void keep_top_p(double mass_wanted);
  int32_t draw_from_candidates(double chance) const;
  void penalise(std::span<float> logits, std::span<const int32_t> history,
                const SamplerOptions& options);
  int32_t pick(std::span<const float> logits, float largest, const SamplerOptions& options,
               int64_t position);

  const LogitKernels& kernels_ = logit_kernels();
  std::vector<float> block_largest_;
  std::vector<double> block_weight_;
  std::vector<Candidate> candidates_;
  std::vector<float> weights_;  // of candidates_
  std::vector<uint32_t> order_;
  std::vector<double> bucket_mass_;
  std::vector<std::pair<int32_t, float>> saved_;  // logits that penalties have changed
  std::vector<int32_t> counts_;                   // by token; zero between calls
};

}  // namespace minke
