// Learning from given texts: pre-training, where every token is a target, and fine-tuning, where
// the answers' are. A batch is a sum over its examples' tokens, whatever passes it is cut into.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/result.h"
#include "train/trainer.h"

namespace minke {

// One text. Tokens from first_target on are learnt.
struct TrainExample {
  std::vector<int32_t> tokens;  // at least two
  int64_t first_target = 1;
};

struct SupervisedReport {
  double loss = 0.0;  // nats a target
  int64_t targets = 0;
  int64_t tokens = 0;
  double gradient_norm = 0.0;
};

// One update down the mean loss of all targets of `examples`, in passes of at most `batch_tokens`
// (and of one example where that is longer). Fails where the gradient is not finite.
Result<SupervisedReport> supervised_step(Trainer& trainer, std::span<const TrainExample> examples,
                                         int64_t batch_tokens, double learning_rate);

}  // namespace minke
