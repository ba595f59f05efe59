#include "models/decoder_layer.h"

#include "models/grouped_attention.h"
#include "models/latent_attention.h"
#include "models/named_weight.h"

namespace minke {

std::unique_ptr<Attention> make_attention(const ModelConfig& config, int64_t layer) {
  if (config.latent.kv_rank > 0) return std::make_unique<LatentAttention>(config, layer);
  return std::make_unique<GroupedAttention>(config, layer);
}

DecoderLayer::DecoderLayer(const ModelConfig& config, int64_t layer)
    : config_(config),
      layer_(layer),
      attn_norm_(BlockNames(layer).vector("attn_norm.weight", config.dim)),
      attention_(make_attention(config, layer)),
      ffn_norm_(BlockNames(layer).vector("ffn_norm.weight", config.dim)),
      feed_forward_(config, layer) {}

Tensor DecoderLayer::forward(Ops& ops, const Tensor& x, const Batch& batch, KvStore& kv,
                             const DecoderLayer* next) const {
  if (batch.is_abandoned()) return {};
  const Tensor h = ops.rms_norm(x, attn_norm_, config_.norm_epsilon);
  const Tensor y = ops.add(x, attention_->forward(ops, h, batch, kv, layer_));
  if (batch.is_abandoned()) return {};
  const Tensor inner = ops.rms_norm(y, ffn_norm_, config_.norm_epsilon);
  if (next != nullptr) next->feed_forward_.expect(ops, inner);
  return ops.add(y, feed_forward_.forward(ops, inner));
}

void DecoderLayer::visit(const std::function<void(Weight&)>& visitor) {
  visitor(attn_norm_);
  attention_->visit(visitor);
  visitor(ffn_norm_);
  feed_forward_.visit(visitor);
}

}  // namespace minke
