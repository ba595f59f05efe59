// Multi-token prediction: the layer behind DeepSeek V3's and R1's own (arXiv 2412.19437, section
// 2.2) that predicts one token further, here to guess for speculation. A row is the token at a
// position t and the state that the model made of the token before it:
//
//   x = eh_proj [enorm(embedding of token t); hnorm(state at t - 1)]
//   state' = norm(block(x)),   logits of the token at t + 1 = head · state'
//
// The block keeps keys and values of its own, in a further layer of the model's cache, at the
// position of the token. So what the cache holds at a position depends on the tokens up to there
// and on nothing behind, as in all other layers: pages are shared, copied and cut off as they are.
// Nothing comes before the first token: its own state stands there.
//
// Which state: the one behind the model's last norm, and behind this layer's own norm when it reads
// its own guesses. The code that DeepSeek's checkpoints carry hands on what its forward pass
// returns, which ends in that norm, and engines that fed the state before the norm measured fewer
// guesses accepted (docs/log.md).
#pragma once

#include <functional>

#include "models/decoder_layer.h"
#include "models/model.h"

namespace minke {

class MtpLayer {
 public:
  // Weights without rows. `config`, whose mtp is present, must outlive it.
  explicit MtpLayer(const ModelConfig& config);

  // What it shares with the model where it has none of its own.
  struct Shared {
    const Weight& embedding;  // [vocab_size, dim]
    const Weight& norm;       // [dim]
    const Weight& head;       // [vocab_size, dim]
  };
  // previous [rows, dim]: the state at the position before each row's.
  StatesAndLogits forward(Ops& ops, const Batch& batch, const Tensor& previous, KvStore& kv,
                          const Shared& shared) const;
  void visit(const std::function<void(Weight&)>& visitor);
  bool keeps_rows(const Weight& weight) const { return &weight == &embedding_; }

 private:
  const ModelConfig& config_;
  Weight enorm_, hnorm_;  // [dim]
  Weight eh_proj_;        // [dim, 2 * dim]
  DecoderLayer block_;
  Weight embedding_, norm_, head_;  // as in Shared; absent when shared
  Weight none_;
};

}  // namespace minke
