#include "ops/routing.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "core/check.h"
#include "kernels/math.h"

namespace minke {
namespace {

// From logits to scores, in place.
void score(std::span<float> x, ExpertScore kind) {
  if (kind == ExpertScore::kSigmoid) {
    for (float& value : x) value = 1.0F / (1.0F + exact_exp(-value));
    return;
  }
  const float most = *std::ranges::max_element(x);
  float sum = 0.0F;
  for (float& value : x) {
    value = exact_exp(value - most);
    sum += value;
  }
  for (float& value : x) value /= sum;
}

// The `count` largest of `values`, by index; between equals the first. `order` is scratch.
std::span<const int32_t> largest(std::span<const float> values, int64_t count,
                                 std::vector<int32_t>& order) {
  order.resize(values.size());
  std::iota(order.begin(), order.end(), 0);
  const auto before = [&](int32_t a, int32_t b) {
    const float va = values[static_cast<size_t>(a)];
    const float vb = values[static_cast<size_t>(b)];
    return va > vb || (va == vb && a < b);
  };
  std::ranges::partial_sort(order, order.begin() + count, before);
  return {order.data(), static_cast<size_t>(count)};
}

// Rules out the experts of all groups but the best.
void keep_best_groups(std::span<float> choice, const RouteSpec& spec, std::vector<int32_t>& order) {
  const auto size = static_cast<size_t>(spec.experts / spec.groups);
  std::vector<float> best;
  for (size_t begin = 0; begin < choice.size(); begin += size) {
    float first = -std::numeric_limits<float>::infinity();
    float second = first;
    for (const float value : choice.subspan(begin, size)) {
      if (value > first) {
        second = first;
        first = value;
      } else {
        second = std::max(second, value);
      }
    }
    best.push_back(spec.score == ExpertScore::kSigmoid && size > 1 ? first + second : first);
  }
  std::vector<char> kept(best.size(), 0);
  for (const int32_t group : largest(best, spec.groups_used, order)) {
    kept[static_cast<size_t>(group)] = 1;
  }
  for (size_t i = 0; i < choice.size(); ++i) {
    if (kept[i / size] == 0) choice[i] = -std::numeric_limits<float>::infinity();
  }
}

}  // namespace

Routes route(std::span<const float> logits, std::span<const float> bias, const RouteSpec& spec) {
  const auto experts = static_cast<size_t>(spec.experts);
  CHECK_EQ(logits.size() % experts, size_t{0});
  CHECK(bias.empty() || bias.size() == experts);
  Routes routes;
  std::vector<float> scores(experts);
  std::vector<float> choice(experts);
  std::vector<int32_t> order;
  for (size_t at = 0; at < logits.size(); at += experts) {
    std::ranges::copy(logits.subspan(at, experts), scores.begin());
    score(scores, spec.score);
    for (size_t i = 0; i < experts; ++i) choice[i] = bias.empty() ? scores[i] : scores[i] + bias[i];
    if (spec.groups > 1) keep_best_groups(choice, spec, order);
    const std::span<const int32_t> best = largest(choice, spec.used, order);
    std::vector<int32_t> chosen(best.begin(), best.end());
    std::ranges::sort(chosen);
    float sum = 0.0F;
    for (const int32_t expert : chosen) sum += scores[static_cast<size_t>(expert)];
    for (const int32_t expert : chosen) {
      const float own = scores[static_cast<size_t>(expert)];
      routes.experts.push_back(expert);
      routes.weights.push_back((spec.normalise ? own / sum : own) * spec.scale);
    }
  }
  return routes;
}

}  // namespace minke
