// Training's decorator of Ops: it forwards every call to the Ops that inference uses, so that the
// forward pass has inference's very bits, and records how to turn the gradient of each result into
// gradients of its inputs.
//
//   Gradients gradients(model);
//   Tape tape(ops, pool, gradients);
//   tape.begin_step();
//   Tensor logits = model.forward(tape, batch, kv);
//   TokenLoss loss = softmax_cross_entropy(...);        // train/loss.h
//   tape.backward(logits, loss.dlogits);                // gradients += d loss / d weights
//
// A tape keeps what backward() will read of the forward pass, until it has: a tensor of which only
// the gradient matters (a term of a sum, what a frozen weight is multiplied by) is not kept.
// Weights that it multiplies by keep their rows (Ops::prepare with keep_rows) and their places, and
// must not change between forward and backward; those that are trained are fp32 or have a master.
// Sequences start at position 0: attention to keys that an earlier forward pass cached has no
// gradient here, and is refused. One thread, the one that owns the Ops.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/thread_pool.h"
#include "ops/decorator.h"
#include "train/backward.h"
#include "train/gradients.h"

namespace minke {

class Tape : public OpsDecorator {
 public:
  // All three outlive the tape; `pool` is the one whose threads `inner` uses.
  Tape(Ops& inner, ThreadPool& pool, Gradients& gradients, Compute compute = Compute::kF32)
      : OpsDecorator(inner), gradients_(gradients), context_{inner, pool, compute} {}

  // A result of the step, and the loss's gradient by it.
  struct Output {
    Tensor result;
    Tensor gradient;
  };
  // Adds to the Gradients of every weight that the outputs depend on. Consumes the record:
  // activations go back to their pool on the way.
  void backward(std::span<const Output> outputs);
  void backward(const Tensor& output, const Tensor& gradient) {
    const Output outputs[] = {{output, gradient}};
    backward(outputs);
  }
  // The next forward pass belongs to the step under way: what it computes may depend on what the
  // step has recorded so far (the layer that predicts further reads the model's states).
  void continue_step() { continues_ = true; }
  // Of the balance loss (BalanceLoss::weight) in each mixture's gradient from now on.
  void set_balance_weight(float weight) { balance_weight_ = weight; }
  // How many rows each expert got in the mixtures that backward() went through since the last
  // begin_step(), by the router's bias.
  const std::unordered_map<const Weight*, std::vector<int64_t>>& loads() const { return loads_; }
  // After backward(): the gradient by a tensor that was an input of a recorded op and not a result
  // of one; empty when the output does not depend on it.
  Tensor input_gradient(const Tensor& input) const;
  size_t recorded_ops() const { return nodes_.size(); }

  void begin_step() override;
  Tensor embed(std::span<const int32_t> tokens, const Weight& table) override;
  Tensor linear(const Tensor& x, const Weight& w, const Weight& bias) override;
  Tensor rms_norm(const Tensor& x, const Weight& w, float epsilon) override;
  Tensor rope(const Tensor& x, std::span<const int32_t> positions, const RopeSpec& spec) override;
  Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Batch& batch,
                   KvStore& kv, int64_t layer, const AttentionSpec& spec) override;
  Tensor swiglu(const Tensor& gate, const Tensor& up) override;
  Tensor add(const Tensor& a, const Tensor& b) override;
  Tensor gather_rows(const Tensor& x, std::span<const int32_t> indices) override;
  Tensor slice(const Tensor& x, int64_t begin, int64_t count) override;
  Tensor concat(const Tensor& a, const Tensor& b) override;
  Tensor linear_by_heads(const Tensor& x, const Weight& w) override;
  Tensor mixture(const Tensor& x, const Tensor& logits, const Weight& bias, const RouteSpec& spec,
                 const Weight& gate, const Weight& up, const Weight& down) override;

 private:
  // A tensor of the step, after its memory may have gone to another.
  struct Name {
    int64_t id = 0;
    Shape shape;
  };
  // The op's result and what to do with its gradient.
  struct Node {
    Name output;
    std::function<void(const Tensor& dy)> backward;
  };
  // Rope's angles, made once for the layers of a step that share positions and spec.
  struct SharedRopeTable {
    std::vector<int32_t> positions;
    std::vector<float> frequencies;
    float magnitude = 1.0F;
    std::shared_ptr<const RopeTable> table;
  };

  void record(const Tensor& output, std::initializer_list<const Tensor*> inputs,
              std::function<void(const Tensor&)> backward);
  // Of a tensor that is alive.
  Name name_of(const Tensor& tensor);
  // Of a result, whose memory may have been another's before.
  Name begin_name(const Tensor& tensor);
  void add_gradient(const Name& input, Tensor gradient);
  std::shared_ptr<const RopeTable> rope_table(std::span<const int32_t> positions,
                                              const RopeSpec& spec);

  Gradients& gradients_;
  BackwardContext context_;
  std::vector<Node> nodes_;
  std::unordered_map<const TensorStorage*, int64_t> ids_;  // of who had a storage last
  int64_t ids_given_ = 0;
  std::unordered_map<int64_t, Tensor> tensor_gradients_;  // by id
  std::vector<SharedRopeTable> rope_tables_;
  std::vector<SequenceRows> sequences_;  // of the step's batch
  float balance_weight_ = 0.0F;
  std::unordered_map<const Weight*, std::vector<int64_t>> loads_;
  bool continues_ = false;
};

}  // namespace minke
