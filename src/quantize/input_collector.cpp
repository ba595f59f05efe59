#include "quantize/input_collector.h"

#include <utility>

#include "core/check.h"
#include "ops/routing.h"

namespace minke {

InputCollector::InputCollector(CpuOps& inner) : OpsDecorator(inner), cpu_(inner) {
  cpu_.set_on_hidden(
      [this](const Weight& down, std::span<const int32_t> experts, const Tensor& hidden) {
        collect(down, hidden, [&](int64_t row) { return experts[static_cast<size_t>(row)]; });
      });
}

template <typename MatrixOf>
void InputCollector::collect(const Weight& w, const Tensor& x, const MatrixOf& matrix_of) {
  const int64_t dim = w.in_dim();
  CHECK_EQ(x.dim(), dim);
  InputSums& sums = sums_[w.name];
  if (sums.counts.empty()) {
    sums.in_dim = dim;
    sums.squares.resize(static_cast<size_t>(w.matrices() * dim));
    sums.counts.resize(static_cast<size_t>(w.matrices()));
  }
  for (int64_t row = 0; row < x.rows(); ++row) {
    const auto matrix = static_cast<int64_t>(matrix_of(row));
    float* to = sums.squares.data() + matrix * dim;
    const float* from = x.row(row);
    for (int64_t i = 0; i < dim; ++i) to[i] += from[i] * from[i];
    ++sums.counts[static_cast<size_t>(matrix)];
  }
}

Tensor InputCollector::linear(const Tensor& x, const Weight& w, const Weight& bias) {
  if (!w.name.ends_with("ffn_gate_inp.weight")) {
    collect(w, x, [](int64_t) { return 0; });
  }
  return inner_.linear(x, w, bias);
}

Tensor InputCollector::linear_by_heads(const Tensor& x, const Weight& w) {
  const int64_t heads = w.matrices();
  collect(w, x, [&](int64_t row) { return row % heads; });
  return inner_.linear_by_heads(x, w);
}

Tensor InputCollector::mixture(const Tensor& x, const Tensor& logits, const Weight& bias,
                               const RouteSpec& spec, const Weight& gate, const Weight& up,
                               const Weight& down) {
  std::span<const float> biases;
  if (bias.present()) biases = {bias.f32(), static_cast<size_t>(spec.experts)};
  const Routes routes = route(logits.values(), biases, spec);
  std::vector<int32_t> rows(routes.experts.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i] = static_cast<int32_t>(static_cast<int64_t>(i) / spec.used);
  }
  const Tensor inputs = inner_.gather_rows(x, rows);
  for (const Weight* w : {&gate, &up}) {
    collect(*w, inputs, [&](int64_t row) { return routes.experts[static_cast<size_t>(row)]; });
  }
  return inner_.mixture(x, logits, bias, spec, gate, up, down);
}

}  // namespace minke
