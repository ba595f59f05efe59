#include "models/rope_scaling.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace minke {

std::vector<float> rope_frequencies(double base, int64_t rotary_dim) {
  std::vector<float> frequencies(static_cast<size_t>(rotary_dim / 2));
  for (size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = static_cast<float>(
        std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(rotary_dim)));
  }
  return frequencies;
}

void scale_linear(RopeSpec& spec, double factor) {
  for (float& frequency : spec.frequencies) {
    frequency = static_cast<float>(static_cast<double>(frequency) / factor);
  }
}

void scale_yarn(RopeSpec& spec, double base, const YarnScaling& scaling) {
  const auto dim = static_cast<double>(2 * spec.frequencies.size());
  // The pair whose wave turns `rotations` times within the original context.
  const auto pair_of = [&](double rotations) {
    return dim * std::log(scaling.original_context / (rotations * 2.0 * std::numbers::pi)) /
           (2.0 * std::log(base));
  };
  const double low = std::max(std::floor(pair_of(scaling.beta_fast)), 0.0);
  const double high = std::min(std::ceil(pair_of(scaling.beta_slow)), dim - 1.0);
  for (size_t i = 0; i < spec.frequencies.size(); ++i) {
    // 0: a fast wave, left as it is; 1: a slow one, stretched by the whole factor.
    const double ramp =
        std::clamp((static_cast<double>(i) - low) / std::max(high - low, 0.001), 0.0, 1.0);
    const auto plain = static_cast<double>(spec.frequencies[i]);
    spec.frequencies[i] = static_cast<float>(plain / scaling.factor * ramp + plain * (1.0 - ramp));
  }
  spec.magnitude *=
      static_cast<float>((0.1 * std::log(scaling.factor) + 1.0) * scaling.attention_factor);
}

std::vector<float> llama3_factors(double base, int64_t rotary_dim, const Llama3Scaling& scaling) {
  std::vector<float> factors;
  for (int64_t i = 0; i < rotary_dim / 2; ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(rotary_dim);
    const double wavelength = 2.0 * std::numbers::pi * std::pow(base, exponent);
    const double smooth = std::clamp(
        (scaling.original / wavelength - scaling.low) / (scaling.high - scaling.low), 0.0, 1.0);
    factors.push_back(static_cast<float>(1.0 / ((1.0 - smooth) / scaling.factor + smooth)));
  }
  return factors;
}

void scale_by_factors(RopeSpec& spec, std::span<const float> factors) {
  for (size_t i = 0; i < spec.frequencies.size() && i < factors.size(); ++i) {
    spec.frequencies[i] /= factors[i];
  }
}

}  // namespace minke
