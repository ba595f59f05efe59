// DeepSeek V2, V3 and R1 (arXiv 2405.04434, 2412.19437): blocks of multi-head latent attention and
// mixtures of experts.
//
// Latent attention caches one vector a token, the normed latent and the one rotary key that all
// heads share, in place of keys and values by heads. It runs in the absorbed form throughout: a
// head's query goes through that head's key matrix once, and is then compared with latents
// themselves; what comes of the latents goes through the head's value matrix. Prompts and single
// tokens run the same products in the same order, so that they have the same bits.
#pragma once

#include <memory>
#include <vector>

#include "models/feed_forward.h"
#include "models/model.h"

namespace minke {

struct LatentLayer {
  Weight attn_norm;      // [dim]
  Weight q;              // [heads * (nope + rope), dim], without a q rank
  Weight q_a, q_a_norm;  // [q_rank, dim], [q_rank], with one
  Weight q_b;            // [heads * (nope + rope), q_rank]
  Weight kv_a;           // [kv_rank + rope, dim]
  Weight kv_a_norm;      // [kv_rank]
  Weight k_b;            // [heads, kv_rank, nope]
  Weight v_b;            // [heads, value, kv_rank]
  Weight attn_output;    // [dim, heads * value]
  Weight ffn_norm;       // [dim]
  FeedForward feed_forward;
};

class DeepSeek final : public Model {
 public:
  // Weights have names and shapes and no rows yet.
  explicit DeepSeek(ModelConfig config);

  const ModelConfig& config() const override { return config_; }
  Tensor forward(Ops& ops, const Batch& batch, KvStore& kv) override;
  KvSpec kv_spec(KvDtype dtype) const override;
  void visit(const std::function<void(Weight&)>& visitor) override;
  bool keeps_rows(const Weight& weight) const override { return &weight == &embedding_; }

 private:
  Tensor attend(Ops& ops, const LatentLayer& layer, int64_t index, const Tensor& x,
                const Batch& batch, KvStore& kv) const;

  ModelConfig config_;
  Weight embedding_;    // [vocab_size, dim]
  Weight output_norm_;  // [dim]
  Weight output_;       // [vocab_size, dim], absent when tied to the embedding
  Weight none_;
  std::vector<LatentLayer> layers_;
};

}  // namespace minke
