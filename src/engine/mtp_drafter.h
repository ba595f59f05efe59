// Guesses by the layer that a model has for predicting further (models/mtp_layer.h).
//
// The layer's keys and values lie in the model's own pages, in a layer of their own, and are
// computed right behind each of the model's passes for the same rows: wherever the cache has a
// token, it has it for this layer too, in shared, copied and evicted pages as well. What the layer
// needs of the past besides is the state of the last token: it is kept for each page, for the last
// of its tokens, so that a sequence that begins with cached pages can guess at once.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/drafter.h"
#include "kernels/kv_store.h"
#include "models/model.h"

namespace minke {

class MtpDrafter final : public DraftModel {
 public:
  // All outlive it; `model` has the layer, and `kv` room for it. On the processor only (CHECK).
  MtpDrafter(Ops& ops, Model& model, KvStore& kv);
  // What it keeps besides, of each page.
  static uint64_t page_bytes(const ModelConfig& config);

  DraftKind kind() const override { return DraftKind::kMtp; }
  double acceptance_prior() const override { return 0.7; }
  double cost_prior() const override;
  int64_t unread(std::span<const int32_t> tokens, std::span<const int32_t> pages) const override;
  void draft(std::span<DraftRequest> requests) override;
  void settle(std::span<const int32_t> pages, int64_t computed) override;
  void apply(std::span<const PageAction> actions) override;
  bool follows() const override { return true; }
  // `states` is empty when the pass was abandoned.
  void follow(const Batch& batch, const Tensor& states) override;

 private:
  // The state of the token at `offset` of a page; none: -1.
  struct PageState {
    int64_t offset = -1;
    std::vector<float> values;  // [dim]
  };
  // A sequence's share of the last pass.
  struct Share {
    int64_t first_row = 0;
    int64_t row_count = 0;
    int64_t first_position = 0;
    std::vector<int32_t> pages;  // from the one with first_position on
  };
  // The state at `position`; nullptr when it is not known.
  const float* state_at(std::span<const int32_t> pages, int64_t position) const;
  const float* state_in_last_pass(int32_t page, int64_t position) const;

  Ops& ops_;
  Model& model_;
  KvStore& kv_;
  int64_t dim_;
  std::vector<PageState> states_;  // by page
  Tensor last_states_;             // of the last pass, [rows, dim]
  std::vector<Share> last_pass_;
  Guesser guesser_;
};

}  // namespace minke
