// Answers sampled from the model that is being trained, by the engine that serves: the same loop,
// scheduler and sampler, with many answers at a time. What is sampled is a function of the seed,
// the prompt's number and the sample's number alone, whatever runs beside it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/result.h"
#include "models/forward_work.h"
#include "models/model.h"
#include "ops/ops.h"

namespace minke {

struct RolloutOptions {
  double temperature = 1.0;  // of the whole softmax: no top-k, no top-p
  int64_t tokens_max = 256;  // of an answer
  uint64_t seed = 0;
  int64_t sequences_max = 256;  // answers under way at a time
  std::vector<int32_t> end_tokens;
  std::function<bool()> is_stopped;  // asked some ten times a second, by the thread that waits
};

struct Rollout {
  size_t prompt = 0;            // its place among the prompts
  std::vector<int32_t> tokens;  // the prompt, the answer, and the token that ended it
  int64_t prompt_tokens = 0;
  std::vector<double> logprobs;  // of the answer's tokens, at the temperature they were drawn at
  bool truncated = false;        // by tokens_max
  int64_t answer_tokens() const { return std::ssize(tokens) - prompt_tokens; }
  std::span<const int32_t> answer() const {
    return std::span(tokens).subspan(static_cast<size_t>(prompt_tokens));
  }
};

struct RolloutPrompt {
  std::vector<int32_t> tokens;
  uint64_t number = 0;  // tells its random numbers from those of other prompts
  int64_t samples = 1;
};

// All answers, by prompt and sample. The calling thread waits; a thread of its own uses the model
// and the Ops meanwhile. Nothing outlives the call: the next may find other weights. Fails where
// memory for keys and values is short or the model's logits are no numbers. Nothing at all comes
// back where it was stopped on the way.
Result<std::vector<Rollout>> sample_rollouts(Model& model, Ops& ops,
                                             std::span<const RolloutPrompt> prompts,
                                             const RolloutOptions& options);

// What sampling them was: each prompt is read once, whatever the number of its answers.
PassSize sampled_size(std::span<const Rollout> rollouts);

}  // namespace minke
