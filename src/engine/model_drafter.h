// Guesses by a smaller model of the same vocabulary. It has a cache of its own with as many pages
// as the model's, under the same numbers: whoever owns a page there owns it here, and shared
// prefixes are shared here as well. It reads a sequence only when its guesses are asked for, so
// each page remembers how many of its tokens have been read.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/drafter.h"
#include "kernels/kv_store.h"
#include "models/model.h"

namespace minke {

class ModelDrafter final : public DraftModel {
 public:
  // Of the draft() of one step, at most.
  static constexpr int64_t kRowsMax = 128;

  // The model that is guessed for: its vocabulary, and the time of a pass of ours in steps of its.
  struct Guessed {
    int64_t vocab_size = 0;
    double cost = 0;
  };
  // `ops` and `model` outlive it.
  ModelDrafter(Ops& ops, Model& model, KvStore kv, Guessed guessed);

  DraftKind kind() const override { return DraftKind::kModel; }
  double acceptance_prior() const override { return 0.65; }
  double cost_prior() const override { return guessed_.cost; }
  int64_t unread(std::span<const int32_t> tokens, std::span<const int32_t> pages) const override;
  void draft(std::span<DraftRequest> requests) override;
  void settle(std::span<const int32_t> pages, int64_t computed) override;
  void apply(std::span<const PageAction> actions) override;

 private:
  struct Chain {
    DraftRequest* request = nullptr;
    double confidence = 1.0;
  };
  int64_t read(std::span<const int32_t> pages, int64_t tokens) const;
  void note_read(std::span<const int32_t> pages, int64_t from, int64_t to);
  // One pass over what the requests have unread, as far as kRowsMax goes. Returns those that are
  // read to their end, with their first guess.
  std::vector<Chain> read_and_guess(std::span<DraftRequest> requests);
  std::vector<Chain> guess_again(const std::vector<Chain>& chains);
  std::vector<Chain> run(const Batch& batch, const std::vector<Chain>& chains);

  Ops& ops_;
  Model& model_;
  KvStore kv_;
  Guessed guessed_;
  std::vector<int32_t> read_;  // tokens read of each page
  Guesser guesser_;
};

}  // namespace minke
