// Guessing by a model: what the scheduler, the loop and the runner ask of one. There are two: the
// layer that a model brings along to predict further (mtp_drafter.h), and a smaller model of the
// same vocabulary (model_drafter.h). Look-up (lookup.h) needs none of this. Which of them guesses,
// and how far, is for speculation.h to say.
//
// A guess is what the sampler would draw of the drafter's logits with the very random number that
// it is going to use at that position: so guesses are right as often as the two distributions
// overlap, and at temperature 0 as often as they agree on the likeliest token.
//
// Guesses decide only how soon an answer comes. A drafter may therefore be wrong, out of date or
// silent, but it may never leave a trace in what the model itself computes.
//
// Not thread-safe: owned by the engine's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

#include "core/result.h"
#include "engine/kv_pool.h"
#include "engine/sampler.h"
#include "ops/ops.h"

namespace minke {

enum class DraftKind : uint8_t { kNone, kLookup, kMtp, kModel };
const char* draft_kind_name(DraftKind kind);  // "none", "lookup", "mtp", "model"

// A sequence that wants guesses behind its last token, which is the one that the cache does not
// have yet. Spans are valid until the step is over.
struct DraftRequest {
  uint64_t id = 0;
  std::span<const int32_t> tokens;
  std::span<const int32_t> pages;  // with room for `count` more tokens
  SamplerOptions sampling;
  int64_t count = 0;  // at most so many guesses
  // No guess behind those whose chance of being right all together is less.
  double confidence_min = 0;
  std::vector<int32_t> guesses;  // out
};

class DraftModel {
 public:
  virtual ~DraftModel() = default;

  virtual DraftKind kind() const = 0;
  // Before any was tried: the chance of a guess, and the time of a pass in steps of the model's.
  virtual double acceptance_prior() const = 0;
  virtual double cost_prior() const = 0;
  // Time of a pass over a row or two; 0: none was timed yet.
  double pass_seconds() const { return pass_seconds_; }

  // How many tokens before the last it would have to read first; negative: it cannot guess.
  virtual int64_t unread(std::span<const int32_t> tokens, std::span<const int32_t> pages) const = 0;
  // Fills in guesses; none where it is still reading, or where its model fails.
  virtual void draft(std::span<DraftRequest> requests) = 0;
  // The model's cache now holds `computed` tokens in these pages, and what lies behind is void.
  virtual void settle(std::span<const int32_t> pages, int64_t computed) = 0;
  // As StepRunner::apply.
  virtual void apply(std::span<const PageAction> actions) = 0;
  // Whether follow() is to be called after each of the model's passes, with the states it made.
  virtual bool follows() const { return false; }
  virtual void follow(const Batch& batch, const Tensor& states);

 protected:
  void note_pass(std::chrono::steady_clock::time_point began);

 private:
  double pass_seconds_ = 0;  // smoothed
};

// Picks guesses from logits. Scratch memory for one drafter.
class Guesser {
 public:
  // Adds the next guess to the request. False when the chain ends with it, or could not go on.
  bool guess(std::span<float> logits, DraftRequest& request, double& confidence);

 private:
  Sampler sampler_;
  std::vector<int32_t> history_;
};

}  // namespace minke
