// Texts that a stage learns from, written by the solvers of its tasks.
#pragma once

#include <cstdint>

#include "core/result.h"
#include "train/chat_text.h"
#include "train/data/example.h"
#include "train/run/plan.h"

namespace minke {

// The counter-th text is a function of the stage's seed and the counter. Both outlive the object.
class StageTexts {
 public:
  StageTexts(const StagePlan& stage, const ChatText& text) : stage_(stage), text_(text) {}

  // `progress` in [0, 1) says which of the parts are on.
  Result<TokenSequence> example(uint64_t counter, double progress) const;

 private:
  const TextPart* draw(uint64_t counter, double progress) const;

  const StagePlan& stage_;
  const ChatText& text_;
};

}  // namespace minke
