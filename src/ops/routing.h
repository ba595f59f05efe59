// Which experts of a mixture a token goes to, and with what weights (DeepSeekMoE, arXiv 2401.06066;
// DeepSeek-V2, 2405.04434; DeepSeek-V3, 2412.19437; Qwen3).
//
// Of E logits a token come scores, by a softmax over all experts or by a sigmoid of each. Experts
// are chosen by score plus bias (a bias is for balance only and weighs nothing). Where experts
// stand in groups, the best groups are chosen first: by their best expert (V2, softmax), or by the
// sum of their two best (V3, sigmoid); experts of other groups cannot be chosen. Between equals the
// first wins. The chosen experts' scores without bias, divided by their sum where `normalise` says
// so, times `scale`, are their weights.
//
// All in fp32, in the order in which it stands here, so that a token's route depends on its logits
// alone. Pure functions, for any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace minke {

enum class ExpertScore : uint8_t { kSoftmax, kSigmoid };

struct RouteSpec {
  int64_t experts = 0;
  int64_t used = 0;    // experts a token
  int64_t groups = 1;  // divides experts
  int64_t groups_used = 1;
  ExpertScore score = ExpertScore::kSoftmax;
  bool normalise = false;
  float scale = 1.0F;
};

// The routes of some tokens: `used` entries a token, by ascending expert.
struct Routes {
  std::vector<int32_t> experts;  // [rows * used]
  std::vector<float> weights;    // likewise
};

// `logits` [rows, experts]; `bias` [experts] or empty.
Routes route(std::span<const float> logits, std::span<const float> bias, const RouteSpec& spec);

}  // namespace minke
