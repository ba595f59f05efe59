// Grouped-query attention with rotary positions (Ainslie et al., 2023), as llama, qwen2 and qwen3
// have it. They differ in which elements the rotary embedding pairs, in biases on q, k and v, and
// in norms of queries and keys: data, not code.
#pragma once

#include "models/attention.h"

namespace minke {

class GroupedAttention final : public Attention {
 public:
  GroupedAttention(const ModelConfig& config, int64_t layer);
  Tensor forward(Ops& ops, const Tensor& h, const Batch& batch, KvStore& kv,
                 int64_t layer) const override;
  void visit(const std::function<void(Weight&)>& visitor) override;

 private:
  const ModelConfig& config_;
  Weight q_, k_, v_;                 // [heads * head_dim, dim], [kv_heads * head_dim, dim] twice
  Weight q_bias_, k_bias_, v_bias_;  // absent in llama and qwen3
  Weight q_norm_, k_norm_;           // [head_dim], in qwen3: of each head, before it is turned
  Weight output_;                    // [dim, heads * head_dim]
  Weight output_bias_;               // in few files
};

}  // namespace minke
