// One block of a decoder (models/decoder.h): attention and feed-forward, each behind a norm and
// added to what came in.
#pragma once

#include <functional>
#include <memory>

#include "models/attention.h"
#include "models/feed_forward.h"
#include "models/model.h"

namespace minke {

class DecoderLayer {
 public:
  // Block `layer` of the checkpoint, without rows. `config` must outlive it.
  DecoderLayer(const ModelConfig& config, int64_t layer);

  // x [rows, dim] -> [rows, dim]; appends the batch's tokens to its own layer of `kv`. Empty when
  // the batch was abandoned. The block behind this one, where there is one, is told what its
  // experts may soon be asked.
  Tensor forward(Ops& ops, const Tensor& x, const Batch& batch, KvStore& kv,
                 const DecoderLayer* next) const;
  void visit(const std::function<void(Weight&)>& visitor);

 private:
  const ModelConfig& config_;
  int64_t layer_;
  Weight attn_norm_;  // [dim]
  std::unique_ptr<Attention> attention_;
  Weight ffn_norm_;  // [dim]
  FeedForward feed_forward_;
};

}  // namespace minke
