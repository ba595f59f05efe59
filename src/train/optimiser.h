// AdamW (Loshchilov and Hutter): Adam with bias correction and decay apart from the gradient, after
// clipping all gradients together by their norm. And Muon (train/muon.h) for the matrices inside a
// model, if that is wanted: AdamW then has the others. And learning rates over a run. One thread;
// the model, the Ops and the pool outlive it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/memory.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "ops/ops.h"
#include "train/gradients.h"

namespace minke {

struct OptimiserOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
  double clip_norm = 1.0;  // 0 for no clipping
  // Which weights Muon moves, none by default. Their learning rate is AdamW's: its steps are made
  // as long (Liu et al., 2025).
  std::function<bool(const Weight&)> uses_muon;
  double muon_momentum = 0.95;
  // Which weights decay: matrices by default, and neither norms nor biases.
  std::function<bool(const Weight&)> decays = [](const Weight& weight) {
    return weight.shape.rank() > 1;
  };
};

struct OptimiserReport {
  double gradient_norm = 0.0;  // before clipping
  bool applied = false;        // false when the norm was not finite: nothing has changed
};

// Matrices inside the blocks, but for the routers: what Muon is for.
bool is_inner_matrix(const Weight& weight);

class Optimiser {
 public:
  // The state of each weight in `gradients`, from zero.
  Optimiser(const Gradients& gradients, Ops& ops, ThreadPool& pool, OptimiserOptions options);

  // One step down `gradients` (the same object as before), and the weights prepared again for the
  // forward pass. Fails only when preparing does. The bits do not depend on the number of threads.
  Result<OptimiserReport> step(const Gradients& gradients, double learning_rate);
  int64_t steps() const { return steps_; }
  // For a run that goes on: the state is then what visit_state() filled in.
  void set_steps(int64_t steps) { steps_ = steps; }
  // "WEIGHT.first" and, where AdamW moves the weight, "WEIGHT.second": for checkpoints.
  void visit_state(const std::function<void(const std::string& name, const Shape& shape,
                                            std::span<float> values)>& visitor);

 private:
  struct State {
    Weight* weight = nullptr;
    bool uses_muon = false;
    Buffer first;   // fp32 running mean of the gradient; of Muon, its momentum
    Buffer second;  // of its square; empty for Muon
  };
  double gradient_norm(const Gradients& gradients) const;
  void step_adamw(const Gradients::Entry& entry, State& state, double learning_rate, float factor);

  Ops& ops_;
  ThreadPool& pool_;
  OptimiserOptions options_;
  std::vector<State> states_;
  int64_t steps_ = 0;
};

// How the learning rate falls once it is warm: along half a cosine to the end; not at all; or not
// until the last `decay_share` of the run and then linearly (warm-up, stable, decay).
enum class Decay : uint8_t { kCosine, kConstant, kWsd };

// Rises linearly over the first warmup_steps, and falls from then on to final_share of the peak at
// total_steps, where it stays.
struct LearningRate {
  double peak = 1e-3;
  double final_share = 0.1;
  int64_t warmup_steps = 0;
  int64_t total_steps = 1;
  Decay decay = Decay::kCosine;
  double decay_share = 0.2;       // kWsd
  double at(int64_t step) const;  // step counts from 0
};

}  // namespace minke
