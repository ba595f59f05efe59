// Runs every op twice, by the Ops under suspicion and by one that is trusted, and remembers the
// first op whose results differ in a bit: for finding which kernel departs from the reference.
//
//   CpuOps fast(*kernels, 2), reference(reference_kernels(), 2);
//   Shadow shadow(fast, reference);
//   model.forward(shadow, batch, kv);
//   if (shadow.departure()) ... shadow.departure()->str()
//
// The caller gets the fast results, so that one fault does not hide behind another's. Both read the
// same packed weights (two CpuOps do). The trusted Ops works on copies of its inputs, so that it
// finds nothing that the fast one has derived from them. Same thread rules as Ops.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ops/decorator.h"

namespace minke {

struct Departure {
  int64_t step = 0;  // begin_step() calls before it, from 1
  int64_t call = 0;  // ops of that step before it
  std::string op;    // "linear blk.3.ffn_down.weight"
  int64_t row = 0;
  int64_t column = 0;
  float got = 0.0F;
  float want = 0.0F;
  int64_t differing = 0;
  int64_t count = 0;
  // "step 1, op 12, linear blk.0.attn_q.weight: first at [3, 17]: got 0.4127, want 0.4131; 5 of
  // 4096 differ"
  std::string str() const;
};

class Shadow final : public OpsDecorator {
 public:
  Shadow(Ops& fast, Ops& trusted) : OpsDecorator(fast), trusted_(trusted) {}

  const std::optional<Departure>& departure() const { return departure_; }

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
  Tensor copy(const Tensor& tensor);
  // Returns `got`, having compared it with `want`.
  Tensor compare(std::string op, Tensor got, const Tensor& want);

  Ops& trusted_;
  int64_t step_ = 0;
  int64_t call_ = 0;
  std::optional<Departure> departure_;
};

}  // namespace minke
