// One step of training a language model to predict the next token: forward under a tape, loss,
// backward, AdamW. Data order, schedule and stopping are the caller's. One thread; the model, the
// Ops and the pool outlive it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "models/adapter.h"
#include "models/model.h"
#include "ops/adapter_ops.h"
#include "train/gradients.h"
#include "train/loss.h"
#include "train/optimiser.h"
#include "train/tape.h"

namespace minke {

// Tokens to read and to predict: token i + 1 is the target of token i, from first_target on (so
// that a prompt is read and not learnt), or where is_target[i + 1] says so.
struct TrainSequence {
  std::span<const int32_t> tokens;
  int64_t first_target = 1;
  const std::vector<bool>* is_target = nullptr;  // [tokens]; lent

  bool learns(int64_t position) const {
    return is_target == nullptr ? position >= first_target
                                : (*is_target)[static_cast<size_t>(position)];
  }
};

// Sequences side by side in one forward pass, each in KV pages of its own. The batch points into
// `pages`: move it, do not copy it.
struct TrainBatch {
  Batch batch;                   // logit_rows are the rows that have a target
  std::vector<int32_t> targets;  // [logit_rows]
  std::vector<int32_t> pages;
  TrainBatch() = default;
  TrainBatch(TrainBatch&&) = default;
  TrainBatch& operator=(TrainBatch&&) = default;
  int64_t rows() const { return static_cast<int64_t>(batch.tokens.size()); }
};

// Each sequence has at least two tokens; the last of each is only a target.
TrainBatch make_train_batch(std::span<const TrainSequence> sequences);

struct TrainReport {
  double loss = 0.0;  // mean over targets, in nats, before the step
  int64_t targets = 0;
  OptimiserReport optimiser;
};

struct TrainerOptions {
  OptimiserOptions optimiser;
  // λ of the loss of the layer that predicts further (DeepSeek V3, section 2.2); where the model
  // has one and this is above 0, it is trained with the model.
  double mtp_weight = 0.0;
  // The step of a router's bias after each update, towards experts that got fewer rows than the
  // mean (DeepSeek V3, section 2.1.2); 0: it stays. And BalanceLoss::weight beside it.
  double bias_speed = 0.0;
  double balance_weight = 0.0;
  // Trained in the model's place, which stays as it is; outlives the trainer. Null: the model is.
  Adapter* adapter = nullptr;
  // Of the gradients. And the model's, where it has any; lent.
  Compute compute = Compute::kF32;
  const Masters* masters = nullptr;
};

class Trainer {
 public:
  Trainer(Model& model, Ops& ops, ThreadPool& pool, TrainerOptions options);

  // The loss of a batch and its gradient by the logits: token_loss() with weights of the caller's.
  using Loss = std::function<Result<TokenLoss>(const TrainBatch& batch, const Tensor& logits)>;
  // Forward, loss, backward: adds to the gradients. A step may be several batches: `share` is this
  // one's of the step, for the losses that the Trainer adds by itself.
  Result<TokenLoss> accumulate(std::span<const TrainSequence> sequences, const Loss& loss,
                               double share = 1.0);
  // One step down what was accumulated, which is then forgotten. Where the gradient is not finite
  // nothing has changed (OptimiserReport::applied).
  Result<OptimiserReport> update(double learning_rate);

  // Both, for the mean loss of next-token prediction.
  Result<TrainReport> step(std::span<const TrainSequence> sequences, double learning_rate);
  // The loss alone, by the plain inference forward: the bits that step() would report.
  Result<double> evaluate(std::span<const TrainSequence> sequences);
  // log p of each target of `sequences`, in the order of make_train_batch, by the inference forward
  // of `model` on `ops`: policy_ops() and the model that is trained; or other Ops, or another model
  // of the same shape.
  Result<std::vector<double>> logprobs(Model& model, Ops& ops,
                                       std::span<const TrainSequence> sequences,
                                       double temperature);
  // What the model that is trained runs on to serve: the Ops, with the adapter where there is one.
  Ops& policy_ops() { return policy_ops_ ? *policy_ops_ : ops_; }
  // The same without the adapter.
  Ops& base_ops() { return ops_; }

  BackwardContext context() { return {ops_, pool_, options_.compute}; }
  Model& model() { return model_; }
  Gradients& gradients() { return gradients_; }
  const Optimiser& optimiser() const { return optimiser_; }
  Optimiser& optimiser() { return optimiser_; }

 private:
  // Room for the batch's keys and values; pages are reused from step to step.
  Result<KvStore*> pages_for(const TrainBatch& batch);
  // The outputs of the layer that predicts further, with the gradients of its loss.
  Result<Tape::Output> further(const TrainBatch& batch, const Tensor& states, KvStore& kv,
                               double share);
  void note_loads();
  Status move_biases();
  Ops& taped() { return taped_ops_ ? static_cast<Ops&>(*taped_ops_) : tape_; }

  Model& model_;
  Ops& ops_;
  ThreadPool& pool_;
  TrainerOptions options_;
  std::optional<AdapterOps> policy_ops_;  // where there is an adapter
  Gradients gradients_;
  Tape tape_;
  std::optional<AdapterOps> taped_ops_;  // the adapter over the tape
  Optimiser optimiser_;
  std::optional<KvStore> kv_;
  std::unordered_map<const Weight*, std::vector<int64_t>> loads_;  // since the last update
};

}  // namespace minke
