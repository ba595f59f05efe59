// Runs the loop's steps on a model: carries out what the scheduler decided about pages, then one
// forward pass. Owns the memory of keys and values; the model and the Ops are its owner's and
// outlive it. Used by the loop's thread alone.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "engine/loop.h"
#include "kernels/kv_store.h"
#include "models/model.h"
#include "ops/ops.h"

namespace minke {

class ModelRunner final : public StepRunner {
 public:
  // `check_weights`, called after each pass, fails when what the model reads in place (the table of
  // embeddings, in a mapped file) is not what it was. May be empty.
  using CheckWeights = std::function<Status()>;
  // `drafter` guesses for the model; without one, the model's own layer for it does, where the
  // model has it.
  ModelRunner(Ops& ops, Model& model, KvStore kv, CheckWeights check_weights,
              std::unique_ptr<DraftModel> drafter = nullptr);

  void apply(std::span<const PageAction> actions) override;
  Result<std::span<float>> run(const Batch& batch) override;
  Result<std::span<const float>> states(const Batch& batch) override;
  size_t page_bytes() const override { return kv_.spec().page_bytes(); }
  void read_page(int32_t page, std::span<std::byte> bytes) override;
  void write_page(int32_t page, std::span<const std::byte> bytes) override;
  DraftModel* draft_model() override { return drafter_.get(); }

 private:
  Ops& ops_;
  Model& model_;
  KvStore kv_;
  CheckWeights check_weights_;
  std::unique_ptr<DraftModel> drafter_;  // null: none
  Tensor logits_;                        // of the last step, [logit_rows, vocab_size]
  Tensor states_;                        // of the last states(), [rows, dim]
};

}  // namespace minke
