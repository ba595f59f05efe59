#include "eval/statistics.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace minke {

Share mean_share(std::span<const double> values) {
  if (values.empty()) return {};
  const auto count = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  const double mean = sum / count;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  // The variance that single trials of this mean would have, against the one that was seen.
  const double seen = values.size() > 1 ? squares / (count - 1) : 0;
  const double trials = seen > 0 ? std::max(count, count * mean * (1 - mean) / seen) : count;
  constexpr double kZ = 1.959963984540054;  // of 95%
  const double z2 = kZ * kZ;
  const double center = (mean + z2 / (2 * trials)) / (1 + z2 / trials);
  const double half =
      kZ / (1 + z2 / trials) * std::sqrt(mean * (1 - mean) / trials + z2 / (4 * trials * trials));
  return {.value = mean,
          .low = std::max(0.0, std::min(mean, center - half)),
          .high = std::min(1.0, std::max(mean, center + half))};
}

double pass_at_k(int64_t samples, int64_t right, int64_t k) {
  CHECK_LE(k, samples);
  // All k are wrong with chance C(samples - right, k) / C(samples, k).
  double all_wrong = 1;
  for (int64_t i = 0; i < k; ++i) {
    all_wrong *= static_cast<double>(std::max<int64_t>(0, samples - right - i)) /
                 static_cast<double>(samples - i);
  }
  return 1 - all_wrong;
}

}  // namespace minke
