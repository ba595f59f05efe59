// An Ops that hands every call to another: what a decorator does not override. run_step() stays
// Ops' own, so that each step passes through op by op even where the inner one could repeat a
// recorded one.
#pragma once

#include "ops/ops.h"

namespace minke {

class OpsDecorator : public Ops {
 public:
  // `inner` outlives the decorator.
  explicit OpsDecorator(Ops& inner) : inner_(inner) {}

  void begin_step() override { inner_.begin_step(); }
  MemorySpace& memory() override { return inner_.memory(); }
  Result<std::span<float>> read(const Tensor& x) override { return inner_.read(x); }
  Tensor empty(Shape shape) override { return inner_.empty(shape); }
  Status prepare(Weight& weight, bool keep_rows) override {
    return inner_.prepare(weight, keep_rows);
  }
  Tensor embed(std::span<const int32_t> tokens, const Weight& table) override {
    return inner_.embed(tokens, table);
  }
  Tensor linear(const Tensor& x, const Weight& w, const Weight& bias) override {
    return inner_.linear(x, w, bias);
  }
  Tensor rms_norm(const Tensor& x, const Weight& w, float epsilon) override {
    return inner_.rms_norm(x, w, epsilon);
  }
  Tensor rope(const Tensor& x, std::span<const int32_t> positions, const RopeSpec& spec) override {
    return inner_.rope(x, positions, spec);
  }
  Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Batch& batch,
                   KvStore& kv, int64_t layer, const AttentionSpec& spec) override {
    return inner_.attention(q, k, v, batch, kv, layer, spec);
  }
  Tensor swiglu(const Tensor& gate, const Tensor& up) override { return inner_.swiglu(gate, up); }
  Tensor add(const Tensor& a, const Tensor& b) override { return inner_.add(a, b); }
  Tensor gather_rows(const Tensor& x, std::span<const int32_t> indices) override {
    return inner_.gather_rows(x, indices);
  }
  bool runs_mixtures() const override { return inner_.runs_mixtures(); }
  Tensor slice(const Tensor& x, int64_t begin, int64_t count) override {
    return inner_.slice(x, begin, count);
  }
  Tensor concat(const Tensor& a, const Tensor& b) override { return inner_.concat(a, b); }
  Tensor linear_by_heads(const Tensor& x, const Weight& w) override {
    return inner_.linear_by_heads(x, w);
  }
  Tensor mixture(const Tensor& x, const Tensor& logits, const Weight& bias, const RouteSpec& spec,
                 const Weight& gate, const Weight& up, const Weight& down) override {
    return inner_.mixture(x, logits, bias, spec, gate, up, down);
  }
  void expect_mixture(const Tensor& x, const Weight& router, const Weight& bias,
                      const RouteSpec& spec, const Weight& gate) override {
    inner_.expect_mixture(x, router, bias, spec, gate);
  }

 protected:
  Ops& inner_;
};

}  // namespace minke
