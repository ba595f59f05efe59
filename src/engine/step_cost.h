// What steps cost, and how far it pays to guess ahead: the length with the most tokens a second,
// which is none at all where guesses fail. Not thread-safe: owned by the engine's thread.
#pragma once

#include <array>
#include <cstdint>

namespace minke {

// What a forward pass of `rows` rows costs, in units of one row's. It starts as the shape that the
// kernels have (kernels read the weights once for up to four rows, compute binds from eight on:
// docs/numerics.md has the tiles) and follows what steps really took. What it says decides only how
// much is guessed, never what comes out.
class StepCost {
 public:
  static constexpr int kRowsMax = 64;
  StepCost();
  double relative(int64_t rows) const;
  // A step without prompt rows took so long.
  void observe(int64_t rows, double seconds);
  // A time in units of a step of one row; 0 while none was seen.
  double in_steps(double seconds) const { return seconds_[0] > 0 ? seconds / seconds_[0] : 0; }

 private:
  static constexpr int kPoints = 8;
  static const std::array<int, kPoints> kRows;
  double point(int index) const;
  std::array<double, kPoints> prior_{};
  std::array<double, kPoints> seconds_{};  // smoothed; 0: never seen
};

// Guesses that could be had.
struct DraftOffer {
  double acceptance = 0;  // chance of each further one, given the one before was right
  double cost_each = 0;   // of making it, in units of a step of one row
  int64_t limit = 0;
};

struct DraftLength {
  int64_t count = 0;  // 0 when guessing does not pay
  double gain = 1;    // in tokens a second, over no guesses
};

// The count with the most expected tokens for its cost, when `rows` rows that yield `tokens` tokens
// are in the step anyway.
DraftLength best_draft_length(const StepCost& cost, int64_t rows, double tokens,
                              const DraftOffer& offer);

}  // namespace minke
