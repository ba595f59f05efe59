// Carries out a plan: stages one after the other, with checkpoints, metrics and evaluations, into a
// folder of its own:
//
//   RUN/recipe.toml      the recipe with its overrides, as it was begun
//   RUN/start.gguf       a new model before its first step
//   RUN/metrics.jsonl    a line a step
//   RUN/checkpoints/     see train/checkpoint.h
//   RUN/data/            answers that stages have sampled and kept (train/run/reject_stage.h)
//   RUN/report.html      the run for people to read, at its end (train/run/report.h)
//   RUN/model.gguf       the model behind the last stage; of an adapter, adapter.gguf
//
// A run that was stopped or killed goes on from its newest checkpoint bit for bit as if it had not
// been: everything random is a function of the seed and the step. One thread; Ops has its own.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "core/result.h"
#include "train/run/plan.h"

namespace minke {

struct RunOptions {
  std::string folder;
  bool resume = false;
  // Resolves RunPlan::model to a file: names of the catalogue are the caller's affair.
  std::function<Result<std::string>(const std::string& model)> find_model;
  // A line of metrics as it is written, or another event ("event": "evaluation", "saved", ...).
  std::function<void(const nlohmann::ordered_json& entry)> on_entry;
  // Asked between steps: true ends the run behind a checkpoint.
  std::function<bool()> is_stopped;
};

enum class RunEnd : uint8_t { kFinished, kStopped };

Result<RunEnd> run_plan(const RecipeFile& recipe, const RunPlan& plan, const RunOptions& options);

}  // namespace minke
