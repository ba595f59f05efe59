#include "models/deepseek.h"

#include <cmath>

#include "models/named_weight.h"

namespace minke {

DeepSeek::DeepSeek(ModelConfig config) : config_(std::move(config)) {
  const ModelConfig& c = config_;
  const LatentConfig& a = c.latent;
  const int64_t q_dim = c.heads * (a.nope_dim + a.rope_dim);
  embedding_ = named_matrix("token_embd.weight", c.vocab_size, c.dim);
  embedding_.multiplied = c.tied_embeddings;
  output_norm_ = named_vector("output_norm.weight", c.dim);
  if (!c.tied_embeddings) output_ = named_matrix("output.weight", c.vocab_size, c.dim);
  for (int64_t i = 0; i < c.layers; ++i) {
    const BlockNames name(i);
    LatentLayer layer{.feed_forward = FeedForward(c, i)};
    layer.attn_norm = name.vector("attn_norm.weight", c.dim);
    if (a.q_rank > 0) {
      layer.q_a = name.matrix("attn_q_a.weight", a.q_rank, c.dim);
      layer.q_a_norm = name.vector("attn_q_a_norm.weight", a.q_rank);
      layer.q_b = name.matrix("attn_q_b.weight", q_dim, a.q_rank);
    } else {
      layer.q = name.matrix("attn_q.weight", q_dim, c.dim);
    }
    layer.kv_a = name.matrix("attn_kv_a_mqa.weight", a.kv_rank + a.rope_dim, c.dim);
    layer.kv_a_norm = name.vector("attn_kv_a_norm.weight", a.kv_rank);
    layer.k_b = name.stack("attn_k_b.weight", c.heads, a.kv_rank, a.nope_dim);
    layer.v_b = name.stack("attn_v_b.weight", c.heads, a.value_dim, a.kv_rank);
    layer.attn_output = name.matrix("attn_output.weight", c.dim, c.heads * a.value_dim);
    layer.ffn_norm = name.vector("ffn_norm.weight", c.dim);
    layers_.push_back(std::move(layer));
  }
}

Tensor DeepSeek::attend(Ops& ops, const LatentLayer& layer, int64_t index, const Tensor& x,
                        const Batch& batch, KvStore& kv) const {
  const ModelConfig& c = config_;
  const LatentConfig& a = c.latent;
  const int64_t rows = x.rows();
  const int64_t key_dim = a.kv_rank + a.rope_dim;
  const Tensor h = ops.rms_norm(x, layer.attn_norm, c.norm_epsilon);  // [rows, dim]

  const Tensor flat = a.q_rank == 0 ? ops.linear(h, layer.q, none_)
                                    : ops.linear(ops.rms_norm(ops.linear(h, layer.q_a, none_),
                                                              layer.q_a_norm, c.norm_epsilon),
                                                 layer.q_b, none_);
  const Tensor heads = flat.reshaped({rows, c.heads, a.nope_dim + a.rope_dim});
  const Tensor q_nope = ops.linear_by_heads(ops.slice(heads, 0, a.nope_dim), layer.k_b);
  const Tensor q_rope = ops.rope(ops.slice(heads, a.nope_dim, a.rope_dim), batch.positions, c.rope);
  const Tensor q = ops.concat(q_nope, q_rope);  // [rows, heads, kv_rank + rope]

  const Tensor down = ops.linear(h, layer.kv_a, none_);  // [rows, kv_rank + rope]
  const Tensor latent =
      ops.rms_norm(ops.slice(down, 0, a.kv_rank), layer.kv_a_norm, c.norm_epsilon);
  const Tensor k_rope =
      ops.rope(ops.slice(down, a.kv_rank, a.rope_dim).reshaped({rows, 1, a.rope_dim}),
               batch.positions, c.rope);
  const Tensor key = ops.concat(latent, k_rope.reshaped({rows, a.rope_dim}));

  const AttentionSpec spec = {
      .heads = c.heads, .kv_heads = 1, .head_dim = key_dim, .scale = a.score_scale};
  const Tensor mixed =
      ops.attention(q, key.reshaped({rows, 1, key_dim}), {}, batch, kv, index, spec);
  const Tensor values = ops.linear_by_heads(mixed.reshaped({rows, c.heads, a.kv_rank}), layer.v_b);
  return ops.linear(values.reshaped({rows, c.heads * a.value_dim}), layer.attn_output, none_);
}

Tensor DeepSeek::forward(Ops& ops, const Batch& batch, KvStore& kv) {
  ops.begin_step();
  Tensor x = ops.embed(batch.tokens, embedding_);  // [rows, dim]
  for (int64_t i = 0; i < config_.layers; ++i) {
    const LatentLayer& layer = layers_[static_cast<size_t>(i)];
    if (batch.is_abandoned()) return {};
    x = ops.add(x, attend(ops, layer, i, x, batch, kv));
    if (batch.is_abandoned()) return {};
    x = ops.add(
        x, layer.feed_forward.forward(ops, ops.rms_norm(x, layer.ffn_norm, config_.norm_epsilon)));
  }
  if (batch.logit_rows.empty() || batch.is_abandoned()) return {};
  const Tensor last = ops.gather_rows(x, batch.logit_rows);  // [logit_rows, dim]
  const Tensor h = ops.rms_norm(last, output_norm_, config_.norm_epsilon);
  return ops.linear(h, output_.present() ? output_ : embedding_, none_);  // [logit_rows, vocab]
}

KvSpec DeepSeek::kv_spec(KvDtype dtype) const {
  return {.layers = config_.layers,
          .kv_heads = 1,
          .head_dim = config_.latent.kv_rank + config_.latent.rope_dim,
          .dtype = dtype,
          .shared_values = config_.latent.kv_rank};
}

void DeepSeek::visit(const std::function<void(Weight&)>& visitor) {
  visitor(embedding_);
  for (LatentLayer& layer : layers_) {
    for (Weight* weight :
         {&layer.attn_norm, &layer.q, &layer.q_a, &layer.q_a_norm, &layer.q_b, &layer.kv_a,
          &layer.kv_a_norm, &layer.k_b, &layer.v_b, &layer.attn_output, &layer.ffn_norm}) {
      if (weight->present()) visitor(*weight);
    }
    layer.feed_forward.visit(visitor);
  }
  visitor(output_norm_);
  if (output_.present()) visitor(output_);
}

}  // namespace minke
