// A language model as its paper has it: configuration, weights under the checkpoint's names, and
// one forward pass over an Ops. The same forward, under a Tape, is training.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "ops/ops.h"

namespace minke {

// A mixture of experts in the feed-forward part of all blocks but the first few.
struct MixtureConfig {
  RouteSpec route;           // no experts: there is none
  int64_t expert_dim = 0;    // width of one expert
  int64_t shared = 0;        // experts that every token uses
  int64_t dense_layers = 0;  // first blocks without a mixture
  bool has_bias = false;     // the router has one, for balance
};

// Latent attention (MLA).
struct LatentConfig {
  int64_t q_rank = 0;                                 // 0: queries come straight from the input
  int64_t kv_rank = 0;                                // 0: ordinary attention
  int64_t nope_dim = 0, rope_dim = 0, value_dim = 0;  // of a head
  float score_scale = 0.0F;
};

// The first layer behind the model's own, which predicts one token further (models/mtp_layer.h).
struct MtpConfig {
  bool present = false;
  // What it does not share with the model.
  bool own_embedding = false, own_norm = false, own_head = false;
};

struct ModelConfig {
  std::string architecture;  // "llama", "qwen2", "qwen3"
  std::string name;          // GgufFile::model_name
  int64_t layers = 0;
  int64_t extra_layers = 0;  // of the file, behind these: they predict further tokens
  int64_t dim = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t ffn_dim = 0;
  int64_t vocab_size = 0;
  int64_t context_max = 0;  // positions the model was trained for, after any RoPE scaling
  float norm_epsilon = 1e-5F;
  bool tied_embeddings = false;
  bool qkv_bias = false;
  bool attn_output_bias = false;
  bool qk_norm = false;  // queries and keys are normed by heads
  RopeSpec rope;
  MixtureConfig mixture;
  LatentConfig latent;
  MtpConfig mtp;

  // Whether it calls what Ops::runs_mixtures() speaks of.
  bool needs_mixtures() const { return latent.kv_rank > 0 || mixture.route.experts > 0; }
};

// What a pass makes of its rows, and the logits that come of some of them. Empty tensors when the
// batch was abandoned.
struct StatesAndLogits {
  Tensor states;  // [rows, dim], behind the last norm
  Tensor logits;  // [logit_rows, vocab_size]; empty without logit_rows
};

class Model {
 public:
  virtual ~Model() = default;

  virtual const ModelConfig& config() const = 0;
  // Logits of batch.logit_rows: [logit_rows, vocab_size]. Appends the batch's tokens to `kv`. Gives
  // up within half a layer of batch.abandoned, with an empty tensor.
  virtual Tensor forward(Ops& ops, const Batch& batch, KvStore& kv) = 0;
  // The same logits, bit for bit, and the states that they come of.
  virtual StatesAndLogits forward_with_states(Ops& ops, const Batch& batch, KvStore& kv) = 0;
  // Only where config().mtp is present. Each row's logits predict the token behind the row's own,
  // from that and `previous` [rows, dim], the state at the position before. Appends to a layer of
  // `kv` that forward() leaves alone.
  virtual StatesAndLogits predict_further(Ops& ops, const Batch& batch, const Tensor& previous,
                                          KvStore& kv) = 0;
  virtual KvSpec kv_spec(KvDtype dtype) const = 0;
  // Every weight once, in the checkpoint's order. The one traversal that loading, saving,
  // optimising, quantising and counting use.
  virtual void visit(const std::function<void(Weight&)>& visitor) = 0;
  // Which weights are read by rows as well as multiplied by (embedding tables): they keep their
  // rows.
  virtual bool keeps_rows(const Weight& weight) const = 0;

  // Memory of the weights as they are now, packed or not.
  size_t weight_bytes();
  int64_t parameter_count();
};

}  // namespace minke
