// The gradient of a loss by each weight that is trained, summed over the backward passes since the
// last zero(). One thread at a time; the weights must outlive it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/memory.h"
#include "core/thread_pool.h"
#include "models/model.h"
#include "quant/weight.h"
#include "train/masters.h"

namespace minke {

class Gradients {
 public:
  struct Entry {
    Weight* weight = nullptr;
    std::span<float> trained;  // what training moves: Masters::values()
    Buffer memory;
    std::span<float> values() const {
      return {reinterpret_cast<float*>(memory.data()), static_cast<size_t>(weight->shape.count())};
    }
  };

  // A gradient for every weight of the model that `trains` accepts (all of them by default), in the
  // order of Model::visit. They are fp32, or have a master.
  explicit Gradients(Model& model, const std::function<bool(const Weight&)>& trains = {},
                     const Masters* masters = nullptr);
  // For weights that belong to no model.
  explicit Gradients(std::span<Weight* const> weights);

  std::span<const Entry> entries() const { return entries_; }
  // The sum for `weight`, or nullptr when it is not trained.
  float* find(const Weight& weight) const;
  void zero();

 private:
  void add(Weight& weight, std::span<float> trained);

  std::vector<Entry> entries_;
  std::unordered_map<const Weight*, size_t> index_;
};

// The one way in which gradients of rows become a gradient of a weight, or of a table's row:
//   target[destination(r)][i] += source[r][i], with r ascending,
// where destination(r) is destinations[r], or 0 for all rows when there are none given. Threads
// share out the columns, so the order of each sum, and its bits, do not depend on them.
void accumulate_rows(ThreadPool& pool, const float* source, int64_t rows, int64_t dim,
                     std::span<const int32_t> destinations, float* target);

}  // namespace minke
