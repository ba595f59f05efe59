#include "engine/model_runner.h"

#include <utility>

namespace minke {

ModelRunner::ModelRunner(Ops& ops, Model& model, KvStore kv, CheckWeights check_weights)
    : ops_(ops), model_(model), kv_(std::move(kv)), check_weights_(std::move(check_weights)) {}

void ModelRunner::apply(std::span<const PageAction> actions) {
  for (const PageAction& action : actions) {
    if (action.kind == PageAction::Kind::kCopy) {
      kv_.copy_page(action.from, action.to);
    } else {
      kv_.clear_page(action.to);
    }
  }
}

Result<std::span<float>> ModelRunner::run(const Batch& batch) {
  logits_ = {};  // its memory serves this step
  logits_ = ops_.run_step(batch, [&] { return model_.forward(ops_, batch, kv_); });
  if (check_weights_) MINKE_TRY(check_weights_());
  if (logits_.empty()) return std::span<float>();
  return ops_.read(logits_);
}

}  // namespace minke
