// What a training run does: a recipe, read and checked. Plain values; docs/train.md has the
// recipe's keys.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "quant/format.h"
#include "tasks/reward.h"
#include "tasks/task.h"
#include "train/data/data_source.h"
#include "train/grpo.h"
#include "train/model_file.h"
#include "train/recipe/recipe_file.h"
#include "train/reject.h"
#include "train/trainer.h"

namespace minke {

// Where a supervised stage's texts come from, and when: solver-written traces of a task.
struct TextPart {
  std::shared_ptr<const Task> task;
  double weight = 1.0;  // of drawing from it, among the parts that are on
  double from = 0.0;    // of the stage, in [0, 1]: on in [from, to)
  double to = 1.0;
};

// A look at the test split of a task.
struct EvaluationPlan {
  std::shared_ptr<const Task> task;
  std::string system;
  int64_t every = 0;  // steps; 0: at the stage's end only
  int64_t problems = 100;
  int64_t samples = 4;
  int64_t tokens_max = 256;
  double temperature = 1.0;
};

// Answers to a task's training problems that become the data of a later stage.
struct RejectPlan {
  std::string model;  // a file or a name that answers; empty: the model of the run, as it is then
  int64_t problems = 0;
  AskOptions ask;
  KeepRules keep;
};

// What a student learns of its teacher beside the texts.
struct DistilPlan {
  std::string model;  // a file or a name
  int64_t top_k = 64;
  DistillationOptions options;
};

struct StagePlan {
  enum class Kind : uint8_t { kSupervised, kDistil, kGrpo, kReject };
  Kind kind = Kind::kSupervised;
  std::string name;
  uint64_t seed = 0;  // of all that the stage draws, made of the run's
  int64_t steps = 0;
  TrainerOptions trainer;
  LearningRate rate;
  std::string system;  // message before each question
  // kSupervised and kDistil
  int64_t update_tokens = 4096;
  int64_t pass_tokens = 4096;
  std::vector<TextPart> texts;  // of tasks; and, or else, files
  DataOptions data;
  std::vector<std::string> data_stages;  // whose kept answers are files too
  double data_share = 1.0;               // of an update's tokens
  DistilPlan distil;
  // kGrpo and kReject
  std::shared_ptr<const Task> task;
  GrpoOptions grpo;
  RejectPlan reject;
  std::optional<RewardRule> rule;
  int64_t reference_every = 0;  // steps after which the reference is the model of that moment
  std::optional<EvaluationPlan> evaluation;

  bool learns_files() const { return !data.files.empty() || !data_stages.empty(); }
  bool learns_texts() const { return kind == Kind::kSupervised || kind == Kind::kDistil; }
  // "supervised", ..., as recipes write it.
  std::string_view kind_name() const;
};

struct RunPlan {
  std::string name;
  uint64_t seed = 1;
  int threads = 0;    // 0: one a processor
  std::string model;  // a file or a name; empty: a new one
  std::optional<NewModel> made;
  Compute compute = Compute::kF32;
  int64_t adapter_rank = 0;  // more: an adapter of that rank is trained, and the model stays
  // The model is asked with <think> behind its prompt, and will be when it is served.
  bool thinks = false;
  QuantType output = QuantType::kQ8_0;
  int64_t checkpoint_every = 100;  // steps
  int64_t checkpoints_kept = 2;
  double price_per_hour = 0.0;  // of the machine
  double watts = 0.0;
  std::string currency;  // of the price, for people
  std::vector<StagePlan> stages;
  std::vector<EvaluationPlan> evaluations;  // before the first stage and behind each
  int64_t steps() const;                    // of all stages

  static Result<RunPlan> read(const RecipeFile& recipe);
};

}  // namespace minke
