// Multi-head latent attention of DeepSeek V2, V3 and R1 (arXiv 2405.04434, 2412.19437).
//
// It caches one vector a token, the normed latent and the one rotary key that all heads share, in
// place of keys and values by heads. It runs in the absorbed form throughout: a head's query goes
// through that head's key matrix once, and is then compared with latents themselves; what comes of
// the latents goes through the head's value matrix. Prompts and single tokens run the same products
// in the same order, so that they have the same bits.
#pragma once

#include "models/attention.h"

namespace minke {

class LatentAttention final : public Attention {
 public:
  LatentAttention(const ModelConfig& config, int64_t layer);
  Tensor forward(Ops& ops, const Tensor& h, const Batch& batch, KvStore& kv,
                 int64_t layer) const override;
  void visit(const std::function<void(Weight&)>& visitor) override;

 private:
  const ModelConfig& config_;
  Weight q_;               // [heads * (nope + rope), dim], without a q rank
  Weight q_a_, q_a_norm_;  // [q_rank, dim], [q_rank], with one
  Weight q_b_;             // [heads * (nope + rope), q_rank]
  Weight kv_a_;            // [kv_rank + rope, dim]
  Weight kv_a_norm_;       // [kv_rank]
  Weight k_b_;             // [heads, kv_rank, nope]
  Weight v_b_;             // [heads, value, kv_rank]
  Weight output_;          // [dim, heads * value]
  Weight none_;            // the bias that none of them has
};

}  // namespace minke
