#include "kernels/training.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "core/float_bits.h"
#include "core/random.h"
#include "core/thread_pool.h"
#include "kernels/kernels.h"

namespace minke {
namespace {

std::vector<float> random_values(int64_t count, uint64_t stream, double scale) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    const double value = normal_pair(3, stream, static_cast<uint64_t>(i))[0];
    values.push_back(static_cast<float>(value * scale));
  }
  return values;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(TrainingKernels, SwigluOfAllSetsIsTheDerivative) {
  const FlushDenormals guard;
  for (const int64_t count : {1, 7, 16, 17, 31, 100}) {
    const std::vector<float> dy = random_values(count, 1, 1.0);
    std::vector<float> gate = random_values(count, 2, 4.0);
    const std::vector<float> up = random_values(count, 3, 1.0);
    gate[0] = -200.0F;
    if (count > 1) gate[1] = 200.0F;
    const auto size = static_cast<size_t>(count);
    std::vector<float> want_gate(size), want_up(size);
    training_kernels_reference.swiglu_backward(dy.data(), gate.data(), up.data(), want_gate.data(),
                                               want_up.data(), count);
    for (size_t i = 0; i < size; ++i) {
      const double g = gate[i];
      const double sigmoid = 1.0 / (1.0 + std::exp(-g));
      const double by_up = dy[i] * g * sigmoid;
      const double by_gate = dy[i] * up[i] * sigmoid * (1.0 + g * (1.0 - sigmoid));
      EXPECT_NEAR(want_up[i], by_up, 2e-6 * (1.0 + std::abs(by_up))) << g;
      EXPECT_NEAR(want_gate[i], by_gate, 2e-6 * (1.0 + std::abs(by_gate))) << g;
    }
    for (const Kernels* set : available_kernels()) {
      // In place, and not a number behind the last one.
      std::vector<float> by_gate = gate;
      std::vector<float> by_up = up;
      set->training->swiglu_backward(dy.data(), by_gate.data(), by_up.data(), by_gate.data(),
                                     by_up.data(), count);
      EXPECT_TRUE(same_bits(by_gate, want_gate)) << set->name << " " << count;
      EXPECT_TRUE(same_bits(by_up, want_up)) << set->name << " " << count;
    }
  }
}

TEST(TrainingKernels, SoftmaxOfAllSetsIsTheDerivative) {
  const FlushDenormals guard;
  constexpr float kScale = 0.3F;
  for (const int64_t keys : {1, 15, 16, 17, 63, 64, 65, 130, 200}) {
    const int64_t stride = (keys + 31) / 32 * 32;
    const std::vector<float> scores = random_values(stride, 1, 9.0);
    const std::vector<float> gradient = random_values(stride, 2, 1.0);
    // In double: probabilities, and what multiplies values, rounded by page.
    std::vector<double> p(static_cast<size_t>(keys)), rounded(p.size());
    double most = -1e30;
    for (size_t j = 0; j < p.size(); ++j) most = std::max(most, double{scores[j]} * kScale);
    double sum = 0.0;
    for (size_t j = 0; j < p.size(); ++j) {
      const size_t page = j / 64 * 64;
      double page_most = -1e30;
      for (size_t i = page; i < std::min(p.size(), page + 64); ++i) {
        page_most = std::max(page_most, double{scores[i]} * kScale);
      }
      const double weight = std::exp(scores[j] * kScale - page_most);
      p[j] = weight * std::exp(page_most - most);
      rounded[j] =
          bf16_to_f32(f32_to_bf16(static_cast<float>(weight))) * std::exp(page_most - most);
      sum += p[j];
    }
    double dot = 0.0;
    for (size_t j = 0; j < p.size(); ++j) {
      p[j] /= sum;
      rounded[j] /= sum;
      dot += rounded[j] * gradient[j];
    }
    std::vector<std::vector<float>> firsts;
    for (const Kernels* set : available_kernels()) {
      std::vector<float> s = scores;
      std::vector<float> d = gradient;
      std::vector<float> r(scores.size(), NAN);
      set->training->softmax_backward({.scores = s.data(),
                                       .gradient = d.data(),
                                       .rounded = r.data(),
                                       .keys = keys,
                                       .stride = stride,
                                       .scale = kScale});
      if (firsts.empty()) firsts = {d, r};
      EXPECT_TRUE(same_bits(d, firsts[0])) << set->name << " " << keys;
      EXPECT_TRUE(same_bits(r, firsts[1])) << set->name << " " << keys;
    }
    for (size_t j = 0; j < scores.size(); ++j) {
      const bool seen = j < p.size();
      // A weight may round to the other of two neighbours in bf16.
      EXPECT_NEAR(firsts[1][j], seen ? rounded[j] : 0.0, seen ? 0.005 * rounded[j] : 0.0) << j;
      EXPECT_NEAR(firsts[0][j], seen ? p[j] * (gradient[j] - dot) * kScale : 0.0, 1e-3 * kScale)
          << j;
    }
  }
}

TEST(TrainingKernels, AdamwOfAllSetsIsTheDefinition) {
  const FlushDenormals guard;
  const AdamwStep step = {.factor = 0.5F,
                          .beta1 = 0.9F,
                          .beta2 = 0.95F,
                          .rate = 0.01F,
                          .correction = 3.0F,
                          .epsilon = 1e-8F,
                          .keep = 0.999F};
  constexpr int64_t kCount = 39;
  const std::vector<float> gradient = random_values(kCount, 1, 1.0);
  const std::vector<float> mean = random_values(kCount, 2, 0.1);
  std::vector<float> square = random_values(kCount, 3, 0.1);
  for (float& value : square) value = std::abs(value);
  const std::vector<float> w = random_values(kCount, 4, 1.0);
  std::vector<float> first;
  for (const Kernels* set : available_kernels()) {
    std::vector<float> m = mean, v = square, moved = w;
    set->training->adamw(step, gradient.data(), m.data(), v.data(), moved.data(), kCount);
    if (first.empty()) first = moved;
    EXPECT_TRUE(same_bits(moved, first)) << set->name;
    for (size_t i = 0; i < moved.size(); ++i) {
      const double g = 0.5 * gradient[i];
      const double want_m = 0.9 * mean[i] + 0.1 * g;
      const double want_v = 0.95 * square[i] + 0.05 * g * g;
      EXPECT_NEAR(m[i], want_m, 1e-6);
      EXPECT_NEAR(v[i], want_v, 1e-6);
      EXPECT_NEAR(moved[i], 0.999 * w[i] - 0.01 * want_m / (std::sqrt(3.0 * want_v) + 1e-8), 1e-5);
    }
  }
}

}  // namespace
}  // namespace minke
