#include "models/feed_forward.h"

#include <fmt/format.h>

#include "models/named_weight.h"

namespace minke {

FeedForward::FeedForward(const ModelConfig& config, int64_t layer) {
  const BlockNames name(layer);
  const MixtureConfig& m = config.mixture;
  if (m.route.experts == 0 || layer < m.dense_layers) {
    gate_ = name.matrix("ffn_gate.weight", config.ffn_dim, config.dim);
    up_ = name.matrix("ffn_up.weight", config.ffn_dim, config.dim);
    down_ = name.matrix("ffn_down.weight", config.dim, config.ffn_dim);
    return;
  }
  route_ = m.route;
  router_ = name.matrix("ffn_gate_inp.weight", route_.experts, config.dim);
  if (m.has_bias) router_bias_ = name.vector("exp_probs_b.bias", route_.experts);
  experts_gate_ = name.stack("ffn_gate_exps.weight", route_.experts, m.expert_dim, config.dim);
  experts_up_ = name.stack("ffn_up_exps.weight", route_.experts, m.expert_dim, config.dim);
  experts_down_ = name.stack("ffn_down_exps.weight", route_.experts, config.dim, m.expert_dim);
  for (Weight* experts : {&experts_gate_, &experts_up_, &experts_down_}) experts->routed = true;
  if (m.shared == 0) return;
  const int64_t shared_dim = m.shared * m.expert_dim;
  gate_ = name.matrix("ffn_gate_shexp.weight", shared_dim, config.dim);
  up_ = name.matrix("ffn_up_shexp.weight", shared_dim, config.dim);
  down_ = name.matrix("ffn_down_shexp.weight", config.dim, shared_dim);
}

Tensor FeedForward::dense(Ops& ops, const Tensor& h) const {
  const Tensor gate = ops.linear(h, gate_, none_);        // [rows, ffn_dim]
  const Tensor up = ops.linear(h, up_, none_);            // [rows, ffn_dim]
  return ops.linear(ops.swiglu(gate, up), down_, none_);  // [rows, dim]
}

Tensor FeedForward::forward(Ops& ops, const Tensor& h) const {
  if (!router_.present()) return dense(ops, h);
  const Tensor logits = ops.linear(h, router_, none_);  // [rows, experts]
  const Tensor routed =
      ops.mixture(h, logits, router_bias_, route_, experts_gate_, experts_up_, experts_down_);
  return gate_.present() ? ops.add(routed, dense(ops, h)) : routed;
}

void FeedForward::expect(Ops& ops, const Tensor& h) const {
  if (router_.present()) ops.expect_mixture(h, router_, router_bias_, route_, experts_gate_);
}

void FeedForward::visit(const std::function<void(Weight&)>& visitor) {
  for (Weight* weight : {&router_, &router_bias_, &gate_, &up_, &down_, &experts_gate_,
                         &experts_up_, &experts_down_}) {
    if (weight->present()) visitor(*weight);
  }
}

}  // namespace minke
