// Counts and times every op that passes through: where a step's time goes. Same thread rules as
// Ops.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "ops/decorator.h"

namespace minke {

class Traced final : public OpsDecorator {
 public:
  struct Total {
    int64_t calls = 0;
    double seconds = 0.0;
  };

  using OpsDecorator::OpsDecorator;

  // By op; products also by what they multiply by, layers together: "linear blk.*.ffn_up.weight".
  const std::map<std::string, Total, std::less<>>& totals() const { return totals_; }
  // One line an op, the longest first: calls, milliseconds, share of all.
  std::string table() const;
  void clear() { totals_.clear(); }

  Status prepare(Weight& weight, bool keep_rows) override;
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
  template <typename Call>
  auto timed(std::string_view op, const Call& call);

  std::map<std::string, Total, std::less<>> totals_;
};

}  // namespace minke
