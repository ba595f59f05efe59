#include "models/latent_attention.h"

#include "models/named_weight.h"

namespace minke {

LatentAttention::LatentAttention(const ModelConfig& config, int64_t layer) : config_(config) {
  const ModelConfig& c = config_;
  const LatentConfig& a = c.latent;
  const int64_t q_dim = c.heads * (a.nope_dim + a.rope_dim);
  const BlockNames name(layer);
  if (a.q_rank > 0) {
    q_a_ = name.matrix("attn_q_a.weight", a.q_rank, c.dim);
    q_a_norm_ = name.vector("attn_q_a_norm.weight", a.q_rank);
    q_b_ = name.matrix("attn_q_b.weight", q_dim, a.q_rank);
  } else {
    q_ = name.matrix("attn_q.weight", q_dim, c.dim);
  }
  kv_a_ = name.matrix("attn_kv_a_mqa.weight", a.kv_rank + a.rope_dim, c.dim);
  kv_a_norm_ = name.vector("attn_kv_a_norm.weight", a.kv_rank);
  k_b_ = name.stack("attn_k_b.weight", c.heads, a.kv_rank, a.nope_dim);
  v_b_ = name.stack("attn_v_b.weight", c.heads, a.value_dim, a.kv_rank);
  output_ = name.matrix("attn_output.weight", c.dim, c.heads * a.value_dim);
}

Tensor LatentAttention::forward(Ops& ops, const Tensor& h, const Batch& batch, KvStore& kv,
                                int64_t layer) const {
  const ModelConfig& c = config_;
  const LatentConfig& a = c.latent;
  const int64_t rows = h.rows();
  const int64_t key_dim = a.kv_rank + a.rope_dim;
  const Tensor flat =
      a.q_rank == 0
          ? ops.linear(h, q_, none_)
          : ops.linear(ops.rms_norm(ops.linear(h, q_a_, none_), q_a_norm_, c.norm_epsilon), q_b_,
                       none_);
  const Tensor heads = flat.reshaped({rows, c.heads, a.nope_dim + a.rope_dim});
  const Tensor q_nope = ops.linear_by_heads(ops.slice(heads, 0, a.nope_dim), k_b_);
  const Tensor q_rope = ops.rope(ops.slice(heads, a.nope_dim, a.rope_dim), batch.positions, c.rope);
  const Tensor q = ops.concat(q_nope, q_rope);  // [rows, heads, kv_rank + rope]

  const Tensor down = ops.linear(h, kv_a_, none_);  // [rows, kv_rank + rope]
  const Tensor latent = ops.rms_norm(ops.slice(down, 0, a.kv_rank), kv_a_norm_, c.norm_epsilon);
  const Tensor k_rope =
      ops.rope(ops.slice(down, a.kv_rank, a.rope_dim).reshaped({rows, 1, a.rope_dim}),
               batch.positions, c.rope);
  const Tensor key = ops.concat(latent, k_rope.reshaped({rows, a.rope_dim}));

  const AttentionSpec spec = {
      .heads = c.heads, .kv_heads = 1, .head_dim = key_dim, .scale = a.score_scale};
  const Tensor mixed =
      ops.attention(q, key.reshaped({rows, 1, key_dim}), {}, batch, kv, layer, spec);
  const Tensor values = ops.linear_by_heads(mixed.reshaped({rows, c.heads, a.kv_rank}), v_b_);
  return ops.linear(values.reshaped({rows, c.heads * a.value_dim}), output_, none_);
}

void LatentAttention::visit(const std::function<void(Weight&)>& visitor) {
  for (Weight* weight :
       {&q_, &q_a_, &q_a_norm_, &q_b_, &kv_a_, &kv_a_norm_, &k_b_, &v_b_, &output_}) {
    if (weight->present()) visitor(*weight);
  }
}

}  // namespace minke
