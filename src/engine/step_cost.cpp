#include "engine/step_cost.h"

#include <algorithm>

#include "core/check.h"

namespace minke {
namespace {

constexpr double kLearning = 0.125;
// A guess must promise this much more than none: below, the noise of the cost model decides.
constexpr double kGainMin = 1.03;

}  // namespace

const std::array<int, StepCost::kPoints> StepCost::kRows = {1, 2, 4, 8, 16, 32, 48, 64};

StepCost::StepCost() : prior_{1.0, 1.0, 1.03, 1.7, 3.0, 6.0, 9.0, 12.0} {}

double StepCost::point(int index) const {
  const auto i = static_cast<size_t>(index);
  // Everything is relative to one row, so observations count once one row has been seen.
  if (seconds_[0] == 0 || seconds_[i] == 0) return prior_[i];
  return seconds_[i] / seconds_[0];
}

double StepCost::relative(int64_t rows) const {
  CHECK_GE(rows, 1);
  if (rows >= kRowsMax) {
    return point(kPoints - 1) * static_cast<double>(rows) / kRowsMax;
  }
  int upper = 0;
  while (kRows[static_cast<size_t>(upper)] < rows) ++upper;
  if (kRows[static_cast<size_t>(upper)] == rows) return point(upper);
  const double low = kRows[static_cast<size_t>(upper - 1)];
  const double high = kRows[static_cast<size_t>(upper)];
  const double share = (static_cast<double>(rows) - low) / (high - low);
  return point(upper - 1) + share * (point(upper) - point(upper - 1));
}

void StepCost::observe(int64_t rows, double seconds) {
  const auto place = std::ranges::find(kRows, rows);
  if (place == kRows.end() || !(seconds > 0)) return;
  double& smoothed = seconds_[static_cast<size_t>(place - kRows.begin())];
  if (smoothed == 0) {
    smoothed = seconds;
    return;
  }
  // A hiccup of the machine counts no more than a doubling.
  smoothed += kLearning * (std::min(seconds, 2 * smoothed) - smoothed);
}

DraftLength best_draft_length(const StepCost& cost, int64_t rows, double tokens,
                              const DraftOffer& offer) {
  const double plain = tokens / cost.relative(rows);
  DraftLength best{.gain = kGainMin};
  double expected = tokens;
  double chance = 1.0;
  for (int64_t count = 1; count <= offer.limit; ++count) {
    chance *= offer.acceptance;
    expected += chance;
    const double spent = cost.relative(rows + count) + offer.cost_each * static_cast<double>(count);
    const double gain = expected / spent / plain;
    if (gain > best.gain) best = {.count = count, .gain = gain};
  }
  return best.count > 0 ? best : DraftLength{};
}

}  // namespace minke
