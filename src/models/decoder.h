// A decoder of pre-norm blocks (Touvron et al., 2023): attention (grouped or latent) and
// feed-forward (a SwiGLU network or a mixture of experts), each behind a norm and added to what
// came in. llama, qwen2, qwen3 and DeepSeek's V2, V3 and R1 differ in the parts.
#pragma once

#include <memory>
#include <vector>

#include "models/attention.h"
#include "models/feed_forward.h"
#include "models/model.h"

namespace minke {

struct DecoderLayer {
  Weight attn_norm;  // [dim]
  std::unique_ptr<Attention> attention;
  Weight ffn_norm;  // [dim]
  FeedForward feed_forward;
};

class Decoder final : public Model {
 public:
  // Weights have names and shapes and no rows yet: a loader or an initialiser fills them.
  explicit Decoder(ModelConfig config);
  Decoder(const Decoder&) = delete;  // its attentions refer to its configuration
  Decoder& operator=(const Decoder&) = delete;

  const ModelConfig& config() const override { return config_; }
  Tensor forward(Ops& ops, const Batch& batch, KvStore& kv) override;
  KvSpec kv_spec(KvDtype dtype) const override;
  void visit(const std::function<void(Weight&)>& visitor) override;
  bool keeps_rows(const Weight& weight) const override { return &weight == &embedding_; }

 private:
  ModelConfig config_;
  Weight embedding_;    // [vocab_size, dim]
  Weight output_norm_;  // [dim]
  Weight output_;       // [vocab_size, dim], absent when tied to the embedding
  Weight none_;         // the bias of what has none
  std::vector<DecoderLayer> layers_;
};

}  // namespace minke
