// Speculation for one sequence: which drafter guesses its next tokens, and how many. Look-up costs
// nothing and is sure of itself where a text repeats; a model (drafter.h) guesses anywhere, for the
// price of its passes. The one that promises the most tokens a second does it, or none.
//
// Not thread-safe: owned by the engine's thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/drafter.h"
#include "engine/lookup.h"
#include "engine/step_cost.h"
#include "minke/engine.h"

namespace minke {

// How a model's guesses fare: a chance that follows what comes of them.
class Acceptance {
 public:
  explicit Acceptance(double chance) : chance_(chance) {}
  double chance() const { return chance_; }
  void observe(int64_t drafted, int64_t accepted, double learning);
  void forgive(double towards, double share) { chance_ += share * (towards - chance_); }

 private:
  double chance_;
};

class Speculation {
 public:
  struct Options {
    SpeculateWith with = SpeculateWith::kAny;
    int64_t draft_tokens = -1;  // that a model guesses at every step; -1: as many as pay
    double chance = 0;          // of a model's guesses: how they fared with other sequences
  };
  // `model` may be null, and outlives it.
  Speculation(const DraftModel* model, const Options& options);

  // What the step holds without guesses for this sequence.
  struct Step {
    int64_t rows = 0;
    double tokens = 0;        // that the rows will yield
    int64_t limit = 0;        // guesses, at most
    int64_t tokens_left = 0;  // that the sequence may still take
    int64_t sharing = 1;      // sequences that a drafter's pass is for
  };
  struct Choice {
    DraftKind kind = DraftKind::kNone;
    int64_t count = 0;
    double acceptance = 0;      // of each
    double confidence_min = 0;  // DraftRequest::confidence_min
  };
  Choice choose(const StepCost& cost, std::span<const int32_t> tokens,
                std::span<const int32_t> pages, const Step& step);
  // Look-up's guesses, when it was chosen.
  void copy(std::span<const int32_t> tokens, std::vector<int32_t>& out) const;
  // What became of the guesses that were chosen last.
  void observe(int64_t drafted, int64_t accepted);
  const Choice& choice() const { return choice_; }

 private:
  DraftLength lookup_length(const StepCost& cost, std::span<const int32_t> tokens,
                            const Step& step);
  Choice model_choice(const StepCost& cost, std::span<const int32_t> tokens,
                      std::span<const int32_t> pages, const Step& step, double gain_otherwise);

  const DraftModel* model_;  // null: none, or not asked for
  bool looks_up_;
  int64_t draft_tokens_;
  LookupDrafter lookup_;
  LookupDrafter::Guess guess_;
  Acceptance acceptance_;  // of the model's guesses
  Choice choice_;
};

}  // namespace minke
