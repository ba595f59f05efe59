#include "train/run/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "core/random.h"
#include "io/file.h"
#include "ops/cpu_ops.h"
#include "train/checkpoint.h"
#include "train/data/batcher.h"
#include "train/run/evaluate.h"
#include "train/run_log.h"
#include "train/supervised.h"

namespace minke {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kTextStream = 0x74657874;
const std::string kReferencePrefix = "reference/";

// Texts of a supervised stage: the counter-th is a function of the seed and the counter.
class TaskTexts {
 public:
  TaskTexts(const StagePlan& stage, const ChatText& text) : stage_(stage), text_(text) {}

  Result<TokenSequence> example(uint64_t counter, double progress) const {
    const TextPart* part = draw(counter, progress);
    if (part == nullptr) {
      return misuse(fmt::format("stage '{}': no [[stage.text]] is on at {:.0f}% of its steps",
                                stage_.name, 100.0 * progress));
    }
    const uint64_t index = shuffled(part->task->size(Split::kTrain), stage_.seed, counter);
    const Problem problem = part->task->problem(Split::kTrain, index);
    MINKE_ASSIGN(const SolvedProblem solved, part->task->solve(problem, stage_.seed + counter));
    MINKE_ASSIGN(const ChatPrompt prompt, text_.prompt(stage_.system, problem.prompt));
    const std::vector<int32_t> answer = text_.answer_tokens(prompt, solved.thinking, solved.answer);
    TokenSequence example = {.tokens = prompt.tokens, .is_target = {}};
    example.tokens.insert(example.tokens.end(), answer.begin(), answer.end());
    example.is_target.assign(prompt.tokens.size(), false);
    example.is_target.resize(example.tokens.size(), true);
    return example;
  }

 private:
  const TextPart* draw(uint64_t counter, double progress) const {
    double total = 0.0;
    const auto is_on = [&](const TextPart& part) {
      return progress >= part.from && progress < part.to;
    };
    for (const TextPart& part : stage_.texts) total += is_on(part) ? part.weight : 0.0;
    double left = uniform(stage_.seed, kTextStream, counter) * total;
    const TextPart* last = nullptr;
    for (const TextPart& part : stage_.texts) {
      if (!is_on(part) || part.weight <= 0.0) continue;
      last = &part;
      if (left < part.weight) break;
      left -= part.weight;
    }
    return last;
  }

  const StagePlan& stage_;
  const ChatText& text_;
};

Json sample_json(const GrpoSample& sample) {
  return {{"prompt", sample.prompt},
          {"answer", sample.text},
          {"reward", sample.reward},
          {"correct", sample.correct}};
}

class Run {
 public:
  Run(const RecipeFile& recipe, const RunPlan& plan, const RunOptions& options)
      : recipe_(recipe), plan_(plan), options_(options), folder_(options.folder) {}

  Result<RunEnd> carry_out() {
    MINKE_TRY(begin());
    MINKE_TRY(load());
    for (; stage_ < plan_.stages.size(); ++stage_, step_in_stage_ = 0, examples_ = 0, data_ = {}) {
      MINKE_ASSIGN(const RunEnd end, run_stage());
      if (end == RunEnd::kStopped) return end;
    }
    const std::string path = (folder_ / (adapter_ ? "adapter.gguf" : "model.gguf")).string();
    if (adapter_) {
      MINKE_TRY(adapter_->write(path, plan_.name));
    } else {
      MINKE_TRY(save_model(loaded_, plan_.output, plan_.name, path));
    }
    tell({{"event", "finished"}, {"model", path}, {"seconds", seconds_}});
    return RunEnd::kFinished;
  }

 private:
  // The folder, new or as a run before has left it.
  Status begin() {
    std::error_code error;
    const bool used = fs::exists(folder_ / "recipe.toml", error);
    if (used && !options_.resume) {
      return misuse(
          fmt::format("{} holds a run already; --resume goes on with it, and -o FOLDER "
                      "begins another one",
                      folder_.string()));
    }
    if (!used && options_.resume) {
      return misuse(fmt::format("{} holds no run that could go on (there is no recipe.toml in it)",
                                folder_.string()));
    }
    fs::create_directories(folder_, error);
    if (error) {
      return fail(fmt::format("cannot make the folder {}: {}", folder_.string(), error.message()));
    }
    MINKE_ASSIGN(CheckpointWriter writer,
                 CheckpointWriter::open(folder_, static_cast<int>(plan_.checkpoints_kept)));
    writer_ = std::make_unique<CheckpointWriter>(std::move(writer));
    return {};
  }

  Status load() {
    MINKE_ASSIGN(ops_, CpuOps::create(plan_.threads));
    std::string path = (folder_ / "start.gguf").string();
    if (!plan_.made) {
      MINKE_ASSIGN(path, options_.find_model(plan_.model));
    } else if (!fs::exists(path)) {
      MINKE_TRY(write_new_model(*plan_.made, *ops_, path));
    }
    if (plan_.adapter_rank > 0) {
      MINKE_ASSIGN(loaded_, load_frozen(path, *ops_));
      MINKE_ASSIGN(Adapter adapter, Adapter::create(*loaded_.model, plan_.adapter_rank,
                                                    is_inner_matrix, plan_.seed, *ops_));
      adapter_.emplace(std::move(adapter));
    } else {
      MINKE_ASSIGN(loaded_, load_trained(path));
    }
    MINKE_ASSIGN(ChatText text, ChatText::load(*loaded_.file));
    text_ = std::make_unique<ChatText>(std::move(text));
    MINKE_ASSIGN(std::optional<Checkpoint> checkpoint, load_latest_checkpoint(folder_));
    if (checkpoint) {
      for (const std::string& warning : checkpoint->warnings) {
        tell({{"event", "warning"}, {"message", warning}});
      }
      MINKE_TRY(take_weights(*checkpoint));
      const CheckpointState& state = checkpoint->state;
      step_ = state.step;
      stage_ = state.counters.at("stage");
      step_in_stage_ = static_cast<int64_t>(state.counters.at("step_in_stage"));
      examples_ = state.counters.at("examples");
      optimiser_steps_ = static_cast<int64_t>(state.counters.at("optimizer_steps"));
      data_ = state.data;
      seconds_ = state.notes.value("seconds", 0.0);
      resumed_ = std::move(checkpoint);
    } else {
      MINKE_TRY(write_file(folder_ / "recipe.toml", recipe_.as_toml()));
    }
    MINKE_ASSIGN(RunLog log, RunLog::open((folder_ / "metrics.jsonl").string(), step_));
    log_ = std::make_unique<RunLog>(std::move(log));
    tell({{"event", resumed_ ? "resumed" : "begun"},
          {"name", plan_.name},
          {"parameters", trained_parameters()},
          {"step", step_},
          {"steps", plan_.steps()}});
    return {};
  }

  // In what the recipe computes in.
  Result<TrainableModel> load_trained(const std::string& path) {
    return plan_.compute == Compute::kBF16 ? load_trainable_bf16(path, *ops_, ops_->pool())
                                           : load_trainable(path, *ops_);
  }

  static Status write_file(const fs::path& path, const std::string& text) {
    MINKE_ASSIGN(OutputFile file, OutputFile::create(path.string()));
    MINKE_TRY(file.write(std::as_bytes(std::span(text))));
    return file.commit();
  }

  // What is trained: the adapter, or the model.
  void visit_trained(const std::function<void(Weight&)>& visitor) {
    if (adapter_) {
      adapter_->visit(visitor);
    } else {
      loaded_.model->visit(visitor);
    }
  }
  int64_t trained_parameters() {
    int64_t count = 0;
    visit_trained([&](Weight& weight) {
      if (weight.present()) count += weight.shape.count();
    });
    return count;
  }

  Status take_weights(const Checkpoint& checkpoint) {
    Status status;
    visit_trained([&](Weight& weight) {
      if (!status || !weight.present()) return;
      const std::span<float> values = loaded_.masters.values(weight);
      status = copy_tensor(checkpoint.weights, weight.name, weight.shape, values);
      if (status) status = prepare_trained(weight, values, *ops_, ops_->pool());
    });
    return status;
  }

  Status take_optimiser(Trainer& trainer) {
    if (!resumed_ || step_in_stage_ == 0) return {};
    Status status;
    trainer.optimiser().visit_state(
        [&](const std::string& name, const Shape& shape, std::span<float> values) {
          if (status) status = copy_tensor(resumed_->optimizer, name, shape, values);
        });
    trainer.optimiser().set_steps(optimiser_steps_);
    return status;
  }

  // The model that a stage's KL is measured from: what it is at the stage's begin, or (in a run
  // that goes on) what the checkpoint has.
  Status begin_reference(const StagePlan& stage) {
    reference_.reset();
    if (stage.grpo.policy.kl == 0.0 || adapter_) return {};
    MINKE_ASSIGN(TrainableModel copy, load_trained(loaded_.file->path()));
    reference_ = std::move(copy.model);
    reference_masters_ = std::move(copy.masters);
    if (!resumed_ || step_in_stage_ == 0) return renew_reference();
    Status status;
    reference_->visit([&](Weight& weight) {
      if (!status || !weight.present()) return;
      const std::span<float> values = reference_masters_.values(weight);
      status = copy_tensor(resumed_->weights, kReferencePrefix + weight.name, weight.shape, values);
      if (status) status = prepare_trained(weight, values, *ops_, ops_->pool());
    });
    return status;
  }

  Status renew_reference() {
    std::vector<const float*> from;
    loaded_.model->visit([&](Weight& weight) {
      if (weight.present()) from.push_back(loaded_.masters.values(weight).data());
    });
    size_t next = 0;
    Status status;
    reference_->visit([&](Weight& weight) {
      if (!status || !weight.present()) return;
      const std::span<float> values = reference_masters_.values(weight);
      std::copy_n(from[next++], values.size(), values.begin());
      status = prepare_trained(weight, values, *ops_, ops_->pool());
    });
    return status;
  }

  Result<RunEnd> run_stage() {
    const StagePlan& stage = plan_.stages[stage_];
    TrainerOptions options = stage.trainer;
    if (adapter_) options.adapter = &*adapter_;
    options.compute = plan_.compute;
    options.masters = &loaded_.masters;
    Trainer trainer(*loaded_.model, *ops_, ops_->pool(), std::move(options));
    MINKE_TRY(take_optimiser(trainer));
    const TaskTexts texts(stage, *text_);
    MINKE_TRY(open_data(stage));
    std::unique_ptr<Grpo> grpo;
    if (stage.kind == StagePlan::Kind::kGrpo) {
      MINKE_TRY(begin_reference(stage));
      // The base is what an adapter's policy began as.
      Model* const reference = adapter_ ? loaded_.model.get() : reference_.get();
      grpo = std::make_unique<Grpo>(trainer, *text_, stage.task, *stage.rule, stage.grpo,
                                    stage.grpo.policy.kl > 0.0 ? reference : nullptr);
    }
    resumed_.reset();
    if (stage.evaluation && step_ == 0) MINKE_TRY(evaluate(trainer, stage));
    while (step_in_stage_ < stage.steps) {
      const auto begin = Clock::now();
      const double rate = stage.rate.at(step_in_stage_);
      Json entry = {{"step", step_ + 1},
                    {"stage", stage.name},
                    {"stage_step", step_in_stage_ + 1},
                    {"stage_steps", stage.steps},
                    {"learning_rate", rate}};
      if (grpo) {
        MINKE_ASSIGN(const GrpoReport report, grpo->step(step_in_stage_, rate));
        add(entry, report);
      } else {
        MINKE_TRY(supervise(trainer, stage, texts, rate, entry));
      }
      ++step_;
      ++step_in_stage_;
      if (reference_ && stage.reference_every > 0 && step_in_stage_ % stage.reference_every == 0) {
        MINKE_TRY(renew_reference());
      }
      const double took = std::chrono::duration<double>(Clock::now() - begin).count();
      seconds_ += took;
      entry["step_seconds"] = took;
      entry["seconds"] = seconds_;
      MINKE_TRY(log_->append(entry));
      tell(entry);
      const bool last = step_in_stage_ == stage.steps;
      const bool stops = options_.is_stopped && options_.is_stopped();
      if (stage.evaluation && (last || (stage.evaluation->every > 0 &&
                                        step_in_stage_ % stage.evaluation->every == 0))) {
        MINKE_TRY(evaluate(trainer, stage));
      }
      if (last || stops || step_ % plan_.checkpoint_every == 0) MINKE_TRY(save(trainer));
      if (stops && !(last && stage_ + 1 == plan_.stages.size())) return RunEnd::kStopped;
    }
    return RunEnd::kFinished;
  }

  Status supervise(Trainer& trainer, const StagePlan& stage, const TaskTexts& texts, double rate,
                   Json& entry) {
    std::vector<TokenSequence> examples;
    if (batcher_) {
      MINKE_ASSIGN(DataBatch batch, batcher_->next());
      data_ = batch.next;
      examples = std::move(batch.sequences);
      entry["epoch"] = data_.epoch;
    } else {
      const double progress =
          static_cast<double>(step_in_stage_) / static_cast<double>(stage.steps);
      for (int64_t tokens = 0; tokens < stage.update_tokens;) {
        MINKE_ASSIGN(TokenSequence example, texts.example(examples_++, progress));
        tokens += std::ssize(example.tokens);
        examples.push_back(std::move(example));
      }
    }
    MINKE_ASSIGN(const SupervisedReport report,
                 supervised_step(trainer, examples, stage.pass_tokens, rate));
    entry["loss"] = report.loss;
    entry["gradient_norm"] = report.gradient_norm;
    entry["tokens"] = report.tokens;
    entry["targets"] = report.targets;
    return {};
  }

  // The stage's files, from where the run stands in them.
  Status open_data(const StagePlan& stage) {
    batcher_.reset();
    if (stage.data.files.empty()) return {};
    DataOptions options = stage.data;
    options.threads = 1;
    MINKE_ASSIGN(
        std::unique_ptr<DataSource> source,
        DataSource::open(std::move(options), text_->tokenizer(), &text_->chat_template(), data_));
    const int64_t context = std::min(loaded_.model->config().context_max, stage.update_tokens);
    MINKE_ASSIGN(Batcher batcher,
                 Batcher::create(std::move(source),
                                 {.rows = stage.update_tokens, .context = context}, data_));
    batcher_.emplace(std::move(batcher));
    return {};
  }

  static void add(Json& entry, const GrpoReport& report) {
    entry["reward"] = report.reward;
    entry["accuracy"] = report.accuracy;
    entry["format"] = report.format;
    entry["solved"] = report.solved;
    entry["answer_tokens"] = report.tokens_mean;
    entry["truncated"] = report.truncated;
    entry["groups"] = report.groups_used;
    entry["answers"] = report.answers;
    entry["loss"] = report.loss;
    entry["kl"] = report.kl;
    entry["entropy"] = report.entropy;
    entry["clipped"] = report.clipped;
    entry["logprob_drift"] = report.logprob_drift;
    entry["gradient_norm"] = report.gradient_norm;
    entry["updates"] = report.updates;
    entry["tokens"] = report.trained_tokens;
    entry["sampled_tokens"] = report.sampled_tokens;
    entry["sample_seconds"] = report.sample_seconds;
    entry["train_seconds"] = report.train_seconds;
    Json samples = Json::array();
    for (const GrpoSample& sample : report.samples) samples.push_back(sample_json(sample));
    entry["samples"] = std::move(samples);
  }

  Status evaluate(Trainer& trainer, const StagePlan& stage) {
    MINKE_ASSIGN(const EvaluationReport report,
                 evaluate_model(*loaded_.model, trainer.policy_ops(), *text_, *stage.evaluation,
                                stage.system));
    Json samples = Json::array();
    for (const GrpoSample& sample : report.shown) samples.push_back(sample_json(sample));
    Json entry = {{"step", step_},
                  {"event", "evaluation"},
                  {"stage", stage.name},
                  {"task", stage.evaluation->task->name()},
                  {"problems", report.problems},
                  {"samples_each", report.samples},
                  {"pass_1", report.pass_1},
                  {"pass_1_error", report.pass_1_error},
                  {"pass_k", report.pass_k},
                  {"format", report.format},
                  {"answer_tokens", report.tokens_mean},
                  {"truncated", report.truncated},
                  {"evaluation_seconds", report.seconds},
                  {"samples", std::move(samples)}};
    MINKE_TRY(log_->append(entry));
    tell(entry);
    return {};
  }

  Status save(Trainer& trainer) {
    std::vector<SafetensorView> weights;
    const auto add_as = [&weights](const std::string& prefix, const Masters& masters) {
      return [&weights, &masters, prefix](Weight& weight) {
        if (!weight.present()) return;
        weights.push_back(
            SafetensorView::f32(prefix + weight.name, weight.shape, masters.values(weight)));
      };
    };
    visit_trained(add_as("", loaded_.masters));
    if (reference_) reference_->visit(add_as(kReferencePrefix, reference_masters_));
    std::vector<SafetensorView> state;
    trainer.optimiser().visit_state(
        [&](const std::string& name, const Shape& shape, std::span<float> values) {
          state.push_back(SafetensorView::f32(name, shape, values));
        });
    const bool stage_ends = step_in_stage_ == plan_.stages[stage_].steps;
    CheckpointState where;
    where.step = step_;
    where.counters = {
        {"stage", stage_ + (stage_ends ? 1 : 0)},
        {"step_in_stage", stage_ends ? 0 : static_cast<uint64_t>(step_in_stage_)},
        {"examples", stage_ends ? 0 : examples_},
        {"optimizer_steps", stage_ends ? 0 : static_cast<uint64_t>(trainer.optimiser().steps())}};
    if (!stage_ends) where.data = data_;
    where.notes["seconds"] = seconds_;
    MINKE_TRY(writer_->save(weights, state, where));
    tell({{"event", "saved"}, {"step", step_}});
    return {};
  }

  void tell(const Json& entry) const {
    if (options_.on_entry) options_.on_entry(entry);
  }

  const RecipeFile& recipe_;
  const RunPlan& plan_;
  const RunOptions& options_;
  const fs::path folder_;
  std::unique_ptr<CpuOps> ops_;
  TrainableModel loaded_;
  std::optional<Adapter> adapter_;
  std::unique_ptr<Model> reference_;  // of a stage with a KL term
  Masters reference_masters_;
  std::unique_ptr<ChatText> text_;
  std::unique_ptr<CheckpointWriter> writer_;
  std::unique_ptr<RunLog> log_;
  std::optional<Checkpoint> resumed_;
  int64_t step_ = 0;  // done, of all stages
  size_t stage_ = 0;
  int64_t step_in_stage_ = 0;  // done
  uint64_t examples_ = 0;      // drawn in this stage
  DataPosition data_;          // in its files
  std::optional<Batcher> batcher_;
  int64_t optimiser_steps_ = 0;
  double seconds_ = 0.0;  // of computing, in all sittings
};

}  // namespace

Result<RunEnd> run_plan(const RecipeFile& recipe, const RunPlan& plan, const RunOptions& options) {
  return Run(recipe, plan, options).carry_out();
}

}  // namespace minke
