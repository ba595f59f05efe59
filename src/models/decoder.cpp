#include "models/decoder.h"

#include "core/check.h"
#include "models/named_weight.h"

namespace minke {

Decoder::Decoder(ModelConfig config) : config_(std::move(config)) {
  const ModelConfig& c = config_;
  embedding_ = named_matrix("token_embd.weight", c.vocab_size, c.dim);
  embedding_.multiplied = c.tied_embeddings;
  output_norm_ = named_vector("output_norm.weight", c.dim);
  if (!c.tied_embeddings) output_ = named_matrix("output.weight", c.vocab_size, c.dim);
  for (int64_t i = 0; i < c.layers; ++i) layers_.emplace_back(c, i);
  if (c.mtp.present) mtp_ = std::make_unique<MtpLayer>(c);
}

Tensor Decoder::blocks(Ops& ops, const Batch& batch, KvStore& kv) {
  ops.begin_step();
  Tensor x = ops.embed(batch.tokens, embedding_);  // [rows, dim]
  for (size_t i = 0; i < layers_.size(); ++i) {
    x = layers_[i].forward(ops, x, batch, kv, i + 1 < layers_.size() ? &layers_[i + 1] : nullptr);
    if (x.empty()) return {};
  }
  if (batch.is_abandoned()) return {};
  return x;
}

Tensor Decoder::forward(Ops& ops, const Batch& batch, KvStore& kv) {
  const Tensor x = blocks(ops, batch, kv);
  if (x.empty() || batch.logit_rows.empty()) return {};
  const Tensor last = ops.gather_rows(x, batch.logit_rows);  // [logit_rows, dim]
  const Tensor h = ops.rms_norm(last, output_norm_, config_.norm_epsilon);
  return ops.linear(h, head(), none_);  // [logit_rows, vocab]
}

StatesAndLogits Decoder::forward_with_states(Ops& ops, const Batch& batch, KvStore& kv) {
  const Tensor x = blocks(ops, batch, kv);
  if (x.empty()) return {};
  StatesAndLogits out;
  out.states = ops.rms_norm(x, output_norm_, config_.norm_epsilon);
  if (batch.logit_rows.empty()) return out;
  out.logits = ops.linear(ops.gather_rows(out.states, batch.logit_rows), head(), none_);
  return out;
}

StatesAndLogits Decoder::predict_further(Ops& ops, const Batch& batch, const Tensor& previous,
                                         KvStore& kv) {
  CHECK(mtp_ != nullptr);
  ops.begin_step();
  return mtp_->forward(ops, batch, previous, kv,
                       {.embedding = embedding_, .norm = output_norm_, .head = head()});
}

KvSpec Decoder::kv_spec(KvDtype dtype) const {
  return {.layers = config_.layers + (mtp_ ? 1 : 0),
          .kv_heads = config_.kv_heads,
          .head_dim = config_.head_dim,
          .dtype = dtype,
          .shared_values = config_.latent.kv_rank};
}

void Decoder::visit(const std::function<void(Weight&)>& visitor) {
  visitor(embedding_);
  for (DecoderLayer& layer : layers_) layer.visit(visitor);
  if (mtp_) mtp_->visit(visitor);
  visitor(output_norm_);
  if (output_.present()) visitor(output_);
}

}  // namespace minke
