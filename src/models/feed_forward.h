// The feed-forward half of a block: a SwiGLU network, or a mixture of many small ones of which a
// token uses a few (DeepSeekMoE, arXiv 2401.06066; Qwen3-MoE), beside shared ones that all tokens
// use.
#pragma once

#include <functional>

#include "models/model.h"

namespace minke {

class FeedForward {
 public:
  // Weights of block `layer`, without rows.
  FeedForward(const ModelConfig& config, int64_t layer);

  Tensor forward(Ops& ops, const Tensor& h) const;  // [rows, dim] -> [rows, dim]
  // The next forward() will have an input much like h.
  void expect(Ops& ops, const Tensor& h) const;
  void visit(const std::function<void(Weight&)>& visitor);

 private:
  Tensor dense(Ops& ops, const Tensor& h) const;

  RouteSpec route_;
  Weight gate_, up_;  // [ffn_dim, dim]: of the network, or of the shared experts as one
  Weight down_;       // [dim, ffn_dim]
  // Of mixtures only.
  Weight router_;                     // [experts, dim]
  Weight router_bias_;                // [experts], of V3
  Weight experts_gate_, experts_up_;  // [experts, expert_dim, dim]
  Weight experts_down_;               // [experts, dim, expert_dim]
  Weight none_;
};

}  // namespace minke
