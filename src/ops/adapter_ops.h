// Low-rank adapters (LoRA, arXiv 2106.09685) as a decorator: where a weight has a pair of matrices,
// its product is
//
//   y = x · wᵀ + bias  +  (x · downᵀ) · upᵀ
//
// and otherwise the inner Ops' own. The base's product is the very one that runs without an
// adapter, quantised as it is; the pair is fp32. So a tape inside (Model -> AdapterOps -> Tape ->
// CpuOps) trains what is served, bit for bit.
#pragma once

#include <unordered_map>

#include "ops/decorator.h"

namespace minke {

struct AdapterPair {
  const Weight* down = nullptr;  // [rank, in_dim]
  const Weight* up = nullptr;    // [out_dim, rank], with the adapter's scale in it
};
// By the weight that it is for.
using AdapterPairs = std::unordered_map<const Weight*, AdapterPair>;

class AdapterOps final : public OpsDecorator {
 public:
  // Both outlive it.
  AdapterOps(Ops& inner, const AdapterPairs& pairs) : OpsDecorator(inner), pairs_(pairs) {}

  Tensor linear(const Tensor& x, const Weight& w, const Weight& bias) override {
    Tensor y = inner_.linear(x, w, bias);
    const auto found = pairs_.find(&w);
    if (found == pairs_.end()) return y;
    const Tensor narrow = inner_.linear(x, *found->second.down, none_);  // [rows, rank]
    return inner_.add(y, inner_.linear(narrow, *found->second.up, none_));
  }

 private:
  const AdapterPairs& pairs_;
  Weight none_;
};

}  // namespace minke
