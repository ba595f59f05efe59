#include "ops/ops.h"

namespace minke {

Tensor Ops::slice(const Tensor& /*x*/, int64_t /*begin*/, int64_t /*count*/) {
  CHECK(runs_mixtures());
  return {};
}
Tensor Ops::concat(const Tensor& /*a*/, const Tensor& /*b*/) {
  CHECK(runs_mixtures());
  return {};
}
Tensor Ops::linear_by_heads(const Tensor& /*x*/, const Weight& /*w*/) {
  CHECK(runs_mixtures());
  return {};
}
Tensor Ops::mixture(const Tensor& /*x*/, const Tensor& /*logits*/, const Weight& /*bias*/,
                    const RouteSpec& /*spec*/, const Weight& /*gate*/, const Weight& /*up*/,
                    const Weight& /*down*/) {
  CHECK(runs_mixtures());
  return {};
}

}  // namespace minke
