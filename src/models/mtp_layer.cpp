#include "models/mtp_layer.h"

#include "models/named_weight.h"

namespace minke {

MtpLayer::MtpLayer(const ModelConfig& config) : config_(config), block_(config, config.layers) {
  const BlockNames name(config.layers);
  const int64_t dim = config.dim;
  enorm_ = name.vector("nextn.enorm.weight", dim);
  hnorm_ = name.vector("nextn.hnorm.weight", dim);
  eh_proj_ = name.matrix("nextn.eh_proj.weight", dim, 2 * dim);
  if (config.mtp.own_embedding) {
    embedding_ = name.matrix("nextn.embed_tokens.weight", config.vocab_size, dim);
    embedding_.multiplied = false;
  }
  if (config.mtp.own_norm) norm_ = name.vector("nextn.shared_head_norm.weight", dim);
  if (config.mtp.own_head) {
    head_ = name.matrix("nextn.shared_head_head.weight", config.vocab_size, dim);
  }
}

StatesAndLogits MtpLayer::forward(Ops& ops, const Batch& batch, const Tensor& previous, KvStore& kv,
                                  const Shared& shared) const {
  const float epsilon = config_.norm_epsilon;
  const Weight& table = embedding_.present() ? embedding_ : shared.embedding;
  const Tensor token = ops.rms_norm(ops.embed(batch.tokens, table), enorm_, epsilon);
  const Tensor state = ops.rms_norm(previous, hnorm_, epsilon);
  const Tensor x = ops.linear(ops.concat(token, state), eh_proj_, none_);  // [rows, dim]
  const Tensor y = block_.forward(ops, x, batch, kv, nullptr);
  if (y.empty()) return {};
  StatesAndLogits out;
  out.states = ops.rms_norm(y, norm_.present() ? norm_ : shared.norm, epsilon);
  if (batch.logit_rows.empty()) return out;
  out.logits = ops.linear(ops.gather_rows(out.states, batch.logit_rows),
                          head_.present() ? head_ : shared.head, none_);
  return out;
}

void MtpLayer::visit(const std::function<void(Weight&)>& visitor) {
  visitor(enorm_);
  visitor(hnorm_);
  visitor(eh_proj_);
  block_.visit(visitor);
  for (Weight* weight : {&embedding_, &norm_, &head_}) {
    if (weight->present()) visitor(*weight);
  }
}

}  // namespace minke
