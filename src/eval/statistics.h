// What is said of many samples: shares with how sure they are, pass@k, agreement. Pure functions.
#pragma once

#include <cstdint>
#include <span>

namespace minke {

// A share with its 95% confidence interval.
struct Share {
  double value = 0;
  double low = 0;
  double high = 1;
};

// The mean of one value in [0, 1] a problem, over problems. Wilson's interval, for as many trials
// as the spread between problems says there were: samples of one problem are not independent. For
// values 0 and 1 that is the number of problems.
Share mean_share(std::span<const double> values);

// The chance that at least one of `k` samples is right, of which `right` among `samples` were:
// the unbiased estimate (Chen et al. 2021). k <= samples.
double pass_at_k(int64_t samples, int64_t right, int64_t k);

}  // namespace minke
