// A decoder of pre-norm blocks (Touvron et al., 2023): attention (grouped or latent) and
// feed-forward (a SwiGLU network or a mixture of experts), each behind a norm and added to what
// came in. llama, qwen2, qwen3 and DeepSeek's V2, V3 and R1 differ in the parts; V3 and R1 have a
// layer behind the last that predicts one token further (models/mtp_layer.h).
#pragma once

#include <memory>
#include <vector>

#include "models/decoder_layer.h"
#include "models/model.h"
#include "models/mtp_layer.h"

namespace minke {

class Decoder final : public Model {
 public:
  // Weights have names and shapes and no rows yet: a loader or an initialiser fills them.
  explicit Decoder(ModelConfig config);
  Decoder(const Decoder&) = delete;  // its attentions refer to its configuration
  Decoder& operator=(const Decoder&) = delete;

  const ModelConfig& config() const override { return config_; }
  Tensor forward(Ops& ops, const Batch& batch, KvStore& kv) override;
  StatesAndLogits forward_with_states(Ops& ops, const Batch& batch, KvStore& kv) override;
  StatesAndLogits predict_further(Ops& ops, const Batch& batch, const Tensor& previous,
                                  KvStore& kv) override;
  KvSpec kv_spec(KvDtype dtype) const override;
  void visit(const std::function<void(Weight&)>& visitor) override;
  bool keeps_rows(const Weight& weight) const override {
    return &weight == &embedding_ || (mtp_ && mtp_->keeps_rows(weight));
  }

 private:
  // The blocks' sum, [rows, dim]; empty when the batch was abandoned.
  Tensor blocks(Ops& ops, const Batch& batch, KvStore& kv);
  const Weight& head() const { return output_.present() ? output_ : embedding_; }

  ModelConfig config_;
  Weight embedding_;    // [vocab_size, dim]
  Weight output_norm_;  // [dim]
  Weight output_;       // [vocab_size, dim], absent when tied to the embedding
  Weight none_;         // the bias of what has none
  std::vector<DecoderLayer> layers_;
  std::unique_ptr<MtpLayer> mtp_;  // where the configuration has one
};

}  // namespace minke
