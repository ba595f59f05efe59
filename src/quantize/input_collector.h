// Sums up the squares of what every matrix of a model multiplies, while the model runs on the Ops
// inside: for importance matrices. Of stacks each matrix has sums of its own: a head's, or those of
// an expert, which sees the tokens that were sent to it. Routers are left out: they are not
// quantised. Same thread rules as Ops.
#pragma once

#include <map>
#include <string>

#include "ops/cpu_ops.h"
#include "ops/decorator.h"
#include "quantize/importance.h"

namespace minke {

class InputCollector final : public OpsDecorator {
 public:
  // `inner` must outlive the collector, and be used through it alone.
  explicit InputCollector(CpuOps& inner);
  ~InputCollector() override { cpu_.set_on_hidden({}); }
  InputCollector(const InputCollector&) = delete;
  InputCollector& operator=(const InputCollector&) = delete;

  // By the names of the weights.
  const std::map<std::string, InputSums>& sums() const { return sums_; }

  Tensor linear(const Tensor& x, const Weight& w, const Weight& bias) override;
  Tensor linear_by_heads(const Tensor& x, const Weight& w) override;
  Tensor mixture(const Tensor& x, const Tensor& logits, const Weight& bias, const RouteSpec& spec,
                 const Weight& gate, const Weight& up, const Weight& down) override;

 private:
  // Rows of `x`, row i for matrix matrix_of(i) of `w`.
  template <typename MatrixOf>
  void collect(const Weight& w, const Tensor& x, const MatrixOf& matrix_of);

  CpuOps& cpu_;
  std::map<std::string, InputSums> sums_;
};

}  // namespace minke
