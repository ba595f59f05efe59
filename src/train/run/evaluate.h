// How often a model that is being trained solves problems it has never seen.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"
#include "train/chat_text.h"
#include "train/run/plan.h"

namespace minke {

struct EvaluationReport {
  int64_t problems = 0;
  int64_t samples = 0;        // of each
  double pass_1 = 0.0;        // share of answers that are right (and whole)
  double pass_1_error = 0.0;  // its standard error, over problems
  double pass_k = 0.0;        // share of problems with a right answer among the samples
  double format = 0.0;
  double tokens_mean = 0.0;
  double truncated = 0.0;
  double seconds = 0.0;
  std::vector<GrpoSample> shown;
};

// The first problems of the test split, by the engine that serves, under a seed of its own.
Result<EvaluationReport> evaluate_model(Model& model, Ops& ops, const ChatText& text,
                                        const EvaluationPlan& plan, const std::string& system);

}  // namespace minke
