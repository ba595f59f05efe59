#include "engine/model_runner.h"

#include <cstring>
#include <utility>

#include "engine/mtp_drafter.h"

namespace minke {

ModelRunner::ModelRunner(Ops& ops, Model& model, KvStore kv, CheckWeights check_weights,
                         std::unique_ptr<DraftModel> drafter)
    : ops_(ops),
      model_(model),
      kv_(std::move(kv)),
      check_weights_(std::move(check_weights)),
      drafter_(std::move(drafter)) {
  if (drafter_ == nullptr && model_.config().mtp.present) {
    drafter_ = std::make_unique<MtpDrafter>(ops_, model_, kv_);
  }
}

void ModelRunner::apply(std::span<const PageAction> actions) {
  for (const PageAction& action : actions) {
    if (action.kind == PageAction::Kind::kCopy) {
      kv_.copy_page(action.from, action.to);
    } else {
      kv_.clear_page(action.to);
    }
  }
  if (drafter_ != nullptr) drafter_->apply(actions);
}

Result<std::span<const float>> ModelRunner::states(const Batch& batch) {
  states_ = model_.forward_with_states(ops_, batch, kv_).states;
  if (states_.empty()) return std::span<const float>();  // the batch was abandoned
  if (check_weights_) MINKE_TRY(check_weights_());
  return ops_.read(states_);
}

void ModelRunner::read_page(int32_t page, std::span<std::byte> bytes) {
  const size_t head_bytes = kv_.spec().head_page_bytes();
  size_t at = 0;
  for (int64_t layer = 0; layer < kv_.spec().layers; ++layer) {
    for (int64_t head = 0; head < kv_.spec().kv_heads; ++head, at += head_bytes) {
      std::memcpy(bytes.data() + at, kv_.head_page(layer, page, head), head_bytes);
    }
  }
}

void ModelRunner::write_page(int32_t page, std::span<const std::byte> bytes) {
  const size_t head_bytes = kv_.spec().head_page_bytes();
  size_t at = 0;
  for (int64_t layer = 0; layer < kv_.spec().layers; ++layer) {
    for (int64_t head = 0; head < kv_.spec().kv_heads; ++head, at += head_bytes) {
      std::memcpy(kv_.head_page(layer, page, head), bytes.data() + at, head_bytes);
    }
  }
  // What guesses beside the model has read none of it.
  const PageAction cleared = {.kind = PageAction::Kind::kClear, .to = page};
  if (drafter_ != nullptr) drafter_->apply(std::span(&cleared, 1));
}

Result<std::span<float>> ModelRunner::run(const Batch& batch) {
  logits_ = {};  // its memory serves this step
  if (drafter_ != nullptr && drafter_->follows()) {
    StatesAndLogits made = model_.forward_with_states(ops_, batch, kv_);
    drafter_->follow(batch, made.states);
    logits_ = std::move(made.logits);
  } else {
    logits_ = ops_.run_step(batch, [&] { return model_.forward(ops_, batch, kv_); });
  }
  if (check_weights_) MINKE_TRY(check_weights_());
  if (logits_.empty()) return std::span<float>();
  return ops_.read(logits_);
}

}  // namespace minke
