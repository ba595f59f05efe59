// Learning from given texts: pre-training, where every token is a target, and fine-tuning, where
// the answers' are. A batch is a sum over its examples' tokens, whatever passes it is cut into.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/result.h"
#include "models/forward_work.h"
#include "train/data/example.h"
#include "train/teacher.h"
#include "train/trainer.h"

namespace minke {

struct SupervisedReport {
  double loss = 0.0;  // nats a target
  int64_t targets = 0;
  int64_t tokens = 0;
  double gradient_norm = 0.0;
  double divergence = 0.0;  // from the teacher, nats a target; where there is one
  PassSize passes;          // that were learnt from
};

// Learning from what a teacher thought likely at each target, instead of or beside the target.
struct Distillation {
  Teacher* teacher = nullptr;  // has the model's vocabulary (Teacher::check_vocabulary)
  int64_t top_k = 64;
  DistillationOptions options;
};

// One update down the mean loss of all targets of `examples` (there is at least one), in passes of
// at most `batch_tokens` (and of one example where that is longer). Fails where the gradient is not
// finite. With a distillation the loss is distillation_loss()'s.
Result<SupervisedReport> supervised_step(Trainer& trainer, std::span<const TokenSequence> examples,
                                         int64_t batch_tokens, double learning_rate,
                                         const Distillation* distillation = nullptr);

}  // namespace minke
