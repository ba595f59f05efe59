#include "models/decoder.h"

#include <cmath>

#include "models/named_weight.h"

namespace minke {

Decoder::Decoder(ModelConfig config) : config_(std::move(config)) {
  const ModelConfig& c = config_;
  const int64_t q_dim = c.heads * c.head_dim;
  const int64_t kv_dim = c.kv_heads * c.head_dim;
  embedding_ = named_matrix("token_embd.weight", c.vocab_size, c.dim);
  embedding_.multiplied = c.tied_embeddings;
  output_norm_ = named_vector("output_norm.weight", c.dim);
  if (!c.tied_embeddings) output_ = named_matrix("output.weight", c.vocab_size, c.dim);
  for (int64_t i = 0; i < c.layers; ++i) {
    const BlockNames name(i);
    DecoderLayer layer{.feed_forward = FeedForward(c, i)};
    layer.attn_norm = name.vector("attn_norm.weight", c.dim);
    layer.q = name.matrix("attn_q.weight", q_dim, c.dim);
    layer.k = name.matrix("attn_k.weight", kv_dim, c.dim);
    layer.v = name.matrix("attn_v.weight", kv_dim, c.dim);
    if (c.qkv_bias) {
      layer.q_bias = name.vector("attn_q.bias", q_dim);
      layer.k_bias = name.vector("attn_k.bias", kv_dim);
      layer.v_bias = name.vector("attn_v.bias", kv_dim);
    }
    if (c.qk_norm) {
      layer.q_norm = name.vector("attn_q_norm.weight", c.head_dim);
      layer.k_norm = name.vector("attn_k_norm.weight", c.head_dim);
    }
    layer.attn_output = name.matrix("attn_output.weight", c.dim, q_dim);
    if (c.attn_output_bias) layer.attn_output_bias = name.vector("attn_output.bias", c.dim);
    layer.ffn_norm = name.vector("ffn_norm.weight", c.dim);
    layers_.push_back(std::move(layer));
  }
}

Tensor Decoder::attend(Ops& ops, const DecoderLayer& layer, int64_t index, const Tensor& x,
                       const Batch& batch, KvStore& kv) const {
  const ModelConfig& c = config_;
  const int64_t rows = x.rows();
  const Tensor h = ops.rms_norm(x, layer.attn_norm, c.norm_epsilon);  // [rows, dim]
  const auto heads = [&](const Weight& w, const Weight& bias, int64_t count) {
    return ops.linear(h, w, bias).reshaped({rows, count, c.head_dim});
  };
  const auto normed = [&](const Tensor& t, const Weight& w, int64_t count) {
    if (!c.qk_norm) return t;
    const Tensor each = t.reshaped({rows * count, c.head_dim});
    return ops.rms_norm(each, w, c.norm_epsilon).reshaped({rows, count, c.head_dim});
  };
  const Tensor q = ops.rope(normed(heads(layer.q, layer.q_bias, c.heads), layer.q_norm, c.heads),
                            batch.positions, c.rope);
  const Tensor k =
      ops.rope(normed(heads(layer.k, layer.k_bias, c.kv_heads), layer.k_norm, c.kv_heads),
               batch.positions, c.rope);
  const Tensor v = heads(layer.v, layer.v_bias, c.kv_heads);
  const AttentionSpec spec = {.heads = c.heads,
                              .kv_heads = c.kv_heads,
                              .head_dim = c.head_dim,
                              .scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim))};
  const Tensor mixed = ops.attention(q, k, v, batch, kv, index, spec);  // [rows, heads * head_dim]
  return ops.linear(mixed, layer.attn_output, layer.attn_output_bias);  // [rows, dim]
}

Tensor Decoder::forward(Ops& ops, const Batch& batch, KvStore& kv) {
  ops.begin_step();
  Tensor x = ops.embed(batch.tokens, embedding_);  // [rows, dim]
  for (int64_t i = 0; i < config_.layers; ++i) {
    const DecoderLayer& layer = layers_[static_cast<size_t>(i)];
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

KvSpec Decoder::kv_spec(KvDtype dtype) const {
  return {.layers = config_.layers,
          .kv_heads = config_.kv_heads,
          .head_dim = config_.head_dim,
          .dtype = dtype};
}

void Decoder::visit(const std::function<void(Weight&)>& visitor) {
  visitor(embedding_);
  for (DecoderLayer& layer : layers_) {
    visitor(layer.attn_norm);
    visitor(layer.q);
    visitor(layer.k);
    visitor(layer.v);
    if (config_.qkv_bias) {
      visitor(layer.q_bias);
      visitor(layer.k_bias);
      visitor(layer.v_bias);
    }
    if (config_.qk_norm) {
      visitor(layer.q_norm);
      visitor(layer.k_norm);
    }
    visitor(layer.attn_output);
    if (config_.attn_output_bias) visitor(layer.attn_output_bias);
    visitor(layer.ffn_norm);
    layer.feed_forward.visit(visitor);
  }
  visitor(output_norm_);
  if (output_.present()) visitor(output_);
}

}  // namespace minke
