// How often a model that is being trained solves problems it has never seen.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "eval/evaluation.h"
#include "train/chat_text.h"
#include "train/run/plan.h"

namespace minke {

struct EvaluationReport {
  EvalSummary summary;
  int64_t samples_each = 0;
  PassSize passes;
  double seconds = 0.0;
  std::vector<GrpoSample> shown;
};

// The first problems of the test split, by the engine that serves, under a seed of its own. Nothing
// where it was stopped on the way.
Result<std::optional<EvaluationReport>> evaluate_model(Model& model, Ops& ops, const ChatText& text,
                                                       const EvaluationPlan& plan,
                                                       const std::function<bool()>& is_stopped);

}  // namespace minke
