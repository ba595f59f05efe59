#include "models/grouped_attention.h"

#include <cmath>

#include "models/named_weight.h"

namespace minke {

GroupedAttention::GroupedAttention(const ModelConfig& config, int64_t layer) : config_(config) {
  const ModelConfig& c = config_;
  const int64_t q_dim = c.heads * c.head_dim;
  const int64_t kv_dim = c.kv_heads * c.head_dim;
  const BlockNames name(layer);
  q_ = name.matrix("attn_q.weight", q_dim, c.dim);
  k_ = name.matrix("attn_k.weight", kv_dim, c.dim);
  v_ = name.matrix("attn_v.weight", kv_dim, c.dim);
  if (c.qkv_bias) {
    q_bias_ = name.vector("attn_q.bias", q_dim);
    k_bias_ = name.vector("attn_k.bias", kv_dim);
    v_bias_ = name.vector("attn_v.bias", kv_dim);
  }
  if (c.qk_norm) {
    q_norm_ = name.vector("attn_q_norm.weight", c.head_dim);
    k_norm_ = name.vector("attn_k_norm.weight", c.head_dim);
  }
  output_ = name.matrix("attn_output.weight", c.dim, q_dim);
  if (c.attn_output_bias) output_bias_ = name.vector("attn_output.bias", c.dim);
}

Tensor GroupedAttention::forward(Ops& ops, const Tensor& h, const Batch& batch, KvStore& kv,
                                 int64_t layer) const {
  const ModelConfig& c = config_;
  const int64_t rows = h.rows();
  const auto heads = [&](const Weight& w, const Weight& bias, int64_t count) {
    return ops.linear(h, w, bias).reshaped({rows, count, c.head_dim});
  };
  const auto normed = [&](const Tensor& t, const Weight& w, int64_t count) {
    if (!c.qk_norm) return t;
    const Tensor each = t.reshaped({rows * count, c.head_dim});
    return ops.rms_norm(each, w, c.norm_epsilon).reshaped({rows, count, c.head_dim});
  };
  const Tensor q =
      ops.rope(normed(heads(q_, q_bias_, c.heads), q_norm_, c.heads), batch.positions, c.rope);
  const Tensor k = ops.rope(normed(heads(k_, k_bias_, c.kv_heads), k_norm_, c.kv_heads),
                            batch.positions, c.rope);
  const Tensor v = heads(v_, v_bias_, c.kv_heads);
  const AttentionSpec spec = {.heads = c.heads,
                              .kv_heads = c.kv_heads,
                              .head_dim = c.head_dim,
                              .scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim))};
  const Tensor mixed = ops.attention(q, k, v, batch, kv, layer, spec);  // [rows, heads * head_dim]
  return ops.linear(mixed, output_, output_bias_);                      // [rows, dim]
}

void GroupedAttention::visit(const std::function<void(Weight&)>& visitor) {
  for (Weight* weight :
       {&q_, &k_, &v_, &q_bias_, &k_bias_, &v_bias_, &q_norm_, &k_norm_, &output_, &output_bias_}) {
    if (weight->present()) visitor(*weight);
  }
}

}  // namespace minke
