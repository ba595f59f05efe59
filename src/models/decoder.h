// The dense decoder that llama, qwen2 and qwen3 share: pre-norm blocks of grouped-query attention
// with rotary positions and a SwiGLU feed-forward (Touvron et al., 2023; Qwen2 technical report).
// They differ in which elements the rotary embedding pairs and in biases on q, k and v: data, not
// code.
#pragma once

#include <memory>
#include <vector>

#include "models/feed_forward.h"
#include "models/model.h"

namespace minke {

struct DecoderLayer {
  Weight attn_norm;               // [dim]
  Weight q, k, v;                 // [heads * head_dim, dim], [kv_heads * head_dim, dim] twice
  Weight q_bias, k_bias, v_bias;  // absent in llama and qwen3
  Weight q_norm, k_norm;          // [head_dim], in qwen3: of each head, before it is turned
  Weight attn_output;             // [dim, heads * head_dim]
  Weight attn_output_bias;        // in few files
  Weight ffn_norm;                // [dim]
  FeedForward feed_forward;
};

class Decoder final : public Model {
 public:
  // Weights have names and shapes and no rows yet: a loader or an initialiser fills them.
  explicit Decoder(ModelConfig config);

  const ModelConfig& config() const override { return config_; }
  Tensor forward(Ops& ops, const Batch& batch, KvStore& kv) override;
  KvSpec kv_spec(KvDtype dtype) const override;
  void visit(const std::function<void(Weight&)>& visitor) override;
  bool keeps_rows(const Weight& weight) const override { return &weight == &embedding_; }

 private:
  Tensor attend(Ops& ops, const DecoderLayer& layer, int64_t index, const Tensor& x,
                const Batch& batch, KvStore& kv) const;

  ModelConfig config_;
  Weight embedding_;    // [vocab_size, dim]
  Weight output_norm_;  // [dim]
  Weight output_;       // [vocab_size, dim], absent when tied to the embedding
  Weight none_;         // the bias of what has none
  std::vector<DecoderLayer> layers_;
};

}  // namespace minke
