// The first half of a decoder's block, behind its norm: each token reads those before it.
#pragma once

#include <functional>
#include <memory>

#include "models/model.h"

namespace minke {

class Attention {
 public:
  virtual ~Attention() = default;

  // h [rows, dim] -> [rows, dim]; appends the batch's tokens to layer `layer` of `kv`.
  virtual Tensor forward(Ops& ops, const Tensor& h, const Batch& batch, KvStore& kv,
                         int64_t layer) const = 0;
  // Every weight that is present, in the checkpoint's order.
  virtual void visit(const std::function<void(Weight&)>& visitor) = 0;
};

// What the configuration says, for block `layer`, with weights that have no rows yet. `config` must
// outlive it.
std::unique_ptr<Attention> make_attention(const ModelConfig& config, int64_t layer);

}  // namespace minke
