// Weights that are trained in bf16: the model's matrices are bf16, in every product and in
// rollouts, and beside each is a master in fp32, which the optimiser moves by steps too small for
// bf16. A matrix is its master rounded to nearest even; checkpoints and the model's file have the
// master. Routers stay fp32, as norms and biases do: their choices are sharp. One thread.
#pragma once

#include <span>
#include <unordered_map>

#include "core/memory.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "models/model.h"

namespace minke {

class Masters {
 public:
  // None at first: every weight is fp32, its rows are what is trained.
  Masters() = default;
  // Makes the matrices of a model bf16, whose weights are fp32; their values are the masters'.
  Status begin(Model& model, Ops& ops, ThreadPool& pool);

  // What training moves: the weight's master, or its own fp32 rows.
  std::span<float> values(Weight& weight) const;

 private:
  std::unordered_map<const Weight*, Buffer> memory_;
};

// Behind a change of what training moves: rounds it into the rows, unless it is they, and packs
// them for the forward pass.
Status prepare_trained(Weight& weight, std::span<const float> values, Ops& ops, ThreadPool& pool);

}  // namespace minke
