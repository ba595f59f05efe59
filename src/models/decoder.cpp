#include "models/decoder.h"

#include "models/grouped_attention.h"
#include "models/latent_attention.h"
#include "models/named_weight.h"

namespace minke {

std::unique_ptr<Attention> make_attention(const ModelConfig& config, int64_t layer) {
  if (config.latent.kv_rank > 0) return std::make_unique<LatentAttention>(config, layer);
  return std::make_unique<GroupedAttention>(config, layer);
}

Decoder::Decoder(ModelConfig config) : config_(std::move(config)) {
  const ModelConfig& c = config_;
  embedding_ = named_matrix("token_embd.weight", c.vocab_size, c.dim);
  embedding_.multiplied = c.tied_embeddings;
  output_norm_ = named_vector("output_norm.weight", c.dim);
  if (!c.tied_embeddings) output_ = named_matrix("output.weight", c.vocab_size, c.dim);
  for (int64_t i = 0; i < c.layers; ++i) {
    const BlockNames name(i);
    layers_.push_back({.attn_norm = name.vector("attn_norm.weight", c.dim),
                       .attention = make_attention(c, i),
                       .ffn_norm = name.vector("ffn_norm.weight", c.dim),
                       .feed_forward = FeedForward(c, i)});
  }
}

Tensor Decoder::forward(Ops& ops, const Batch& batch, KvStore& kv) {
  ops.begin_step();
  Tensor x = ops.embed(batch.tokens, embedding_);  // [rows, dim]
  for (int64_t i = 0; i < config_.layers; ++i) {
    const DecoderLayer& layer = layers_[static_cast<size_t>(i)];
    if (batch.is_abandoned()) return {};
    const Tensor h = ops.rms_norm(x, layer.attn_norm, config_.norm_epsilon);
    x = ops.add(x, layer.attention->forward(ops, h, batch, kv, i));
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
          .dtype = dtype,
          .shared_values = config_.latent.kv_rank};
}

void Decoder::visit(const std::function<void(Weight&)>& visitor) {
  visitor(embedding_);
  for (DecoderLayer& layer : layers_) {
    visitor(layer.attn_norm);
    layer.attention->visit(visitor);
    visitor(layer.ffn_norm);
    layer.feed_forward.visit(visitor);
  }
  visitor(output_norm_);
  if (output_.present()) visitor(output_);
}

}  // namespace minke
