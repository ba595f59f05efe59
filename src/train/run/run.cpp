#include "train/run/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/file.h"
#include "kernels/kernels.h"
#include "kernels/peaks.h"
#include "models/forward_work.h"
#include "ops/cpu_ops.h"
#include "train/checkpoint.h"
#include "train/data/batcher.h"
#include "train/run/evaluate.h"
#include "train/run/reject_stage.h"
#include "train/run/report.h"
#include "train/run/stage_texts.h"
#include "train/run_log.h"
#include "train/supervised.h"
#include "train/teacher.h"

namespace minke {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

const std::string kReferencePrefix = "reference/";

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
    Result<RunEnd> end = go();
    if (!end && step_ == 0 && !options_.resume) forget();
    return end;
  }

 private:
  Result<RunEnd> go() {
    MINKE_TRY(load());
    if (step_ == 0) {
      MINKE_ASSIGN(const RunEnd end, evaluate_all("start"));
      if (end == RunEnd::kStopped) return end;
    }
    for (; stage_ < plan_.stages.size(); ++stage_, step_in_stage_ = 0, examples_ = 0, data_ = {}) {
      MINKE_ASSIGN(const RunEnd end, run_stage());
      if (end == RunEnd::kStopped) return end;
    }
    const std::string path = (folder_ / (adapter_ ? "adapter.gguf" : "model.gguf")).string();
    const std::string own_template = plan_.thinks ? text_->chat_template().source() : std::string();
    if (adapter_) {
      MINKE_TRY(adapter_->write(path, plan_.name, own_template, plan_.output));
    } else {
      MINKE_TRY(save_model(loaded_, plan_.output, plan_.name, path, own_template));
    }
    // A report that cannot be written takes nothing from the run.
    const Result<std::string> report = write_run_report(folder_.string());
    if (!report) tell({{"event", "warning"}, {"message", report.error().message}});
    tell({{"event", "finished"},
          {"model", path},
          {"report", report ? *report : std::string()},
          {"seconds", seconds_}});
    return RunEnd::kFinished;
  }

  // A run that failed before its first step was none: the same command may be given again.
  void forget() {
    log_.reset();
    std::error_code ignored;
    for (const char* name : {"recipe.toml", "start.gguf", "metrics.jsonl"}) {
      fs::remove(folder_ / name, ignored);
    }
  }

  // What a run was begun with is what it goes on with.
  Status check_recipe() const {
    const std::string path = (folder_ / "recipe.toml").string();
    MINKE_ASSIGN(const RecipeFile begun, RecipeFile::read(path));
    const std::vector<std::string> keys = begun.differences(recipe_);
    if (keys.empty()) return {};
    return misuse(fmt::format(
        "{} was begun with another recipe: {} is not the same{}; go on with `minke train {} -o {} "
        "--resume`, or begin another run with -o FOLDER",
        folder_.string(), keys.front(),
        keys.size() > 1 ? fmt::format(" (one of {} keys that differ)", keys.size()) : "", path,
        folder_.string()));
  }

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
    if (used) MINKE_TRY(check_recipe());
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
      adapted_ops_.emplace(*ops_, adapter_->pairs());
    } else {
      MINKE_ASSIGN(loaded_, load_trained(path));
    }
    MINKE_ASSIGN(ChatText text, ChatText::load(*loaded_.file, plan_.thinks));
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
    return open_log();
  }

  Status open_log() {
    const std::string path = (folder_ / "metrics.jsonl").string();
    MINKE_ASSIGN(RunLog log, RunLog::open(path, step_));
    log_ = std::make_unique<RunLog>(std::move(log));
    // What was done behind the newest step is not done again by a run that goes on from there.
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
      const Json entry = Json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (entry.is_object() && entry.contains("event")) ++known_[name_of(entry)];
    }
    MINKE_TRY(measure());
    Json entry = {{"step", step_},
                  {"event", "begun"},
                  {"name", plan_.name},
                  {"parameters", trained_parameters()},
                  {"steps", plan_.steps()},
                  {"per_hour", plan_.price_per_hour},
                  {"currency", plan_.currency},
                  {"watts", plan_.watts},
                  {"compute", plan_.compute == Compute::kBF16 ? "bf16" : "fp32"},
                  {"peak_gflops", peak_flops_ / 1e9}};
    if (step_ == 0 && !known_.contains(name_of(entry))) MINKE_TRY(log_->append(entry));
    if (options_.resume) entry["event"] = "resumed";
    tell(entry);
    return {};
  }
  static std::string name_of(const Json& entry) {
    return fmt::format("{}/{}/{}/{}", entry.value("step", int64_t{0}), entry.value("event", ""),
                       entry.value("stage", ""), entry.value("task", ""));
  }

  // What the machine can do, and what a token costs: the two sides of the share of the peak.
  Status measure() {
    work_ = forward_work(loaded_.model->config());
    MINKE_ASSIGN(const Kernels* const kernels, select_kernels());
    const MachinePeaks peaks = measure_peaks(ops_->pool(), kernels->name);
    const bool in_bf16 = plan_.compute == Compute::kBF16;
    peak_flops_ = 1e9 * (in_bf16 ? peaks.bf16_tiles_gflop_per_s : peaks.fp32_gflop_per_s);
    return {};
  }
  // Of a pass there and back. Through the weights that stay behind an adapter only the inputs'
  // gradients go.
  double training_work(const PassSize& size) {
    if (!adapter_) return 3.0 * work_.of(size);
    const double pairs = 6.0 * static_cast<double>(trained_parameters());
    return 2.0 * work_.of(size) + pairs * static_cast<double>(size.rows);
  }
  void add_work(Json& entry, double flops, double training_flops, double training_seconds) const {
    entry["flops"] = flops;
    if (training_flops > 0.0 && training_seconds > 0.0) {
      entry["peak_share"] = training_flops / training_seconds / peak_flops_;
    }
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

  // What the model that is trained is served by.
  Ops& policy_ops() { return adapted_ops_ ? static_cast<Ops&>(*adapted_ops_) : *ops_; }

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
    if (stage.kind == StagePlan::Kind::kReject) return reject(stage);
    TrainerOptions options = stage.trainer;
    if (adapter_) options.adapter = &*adapter_;
    options.compute = plan_.compute;
    options.masters = &loaded_.masters;
    Trainer trainer(*loaded_.model, *ops_, ops_->pool(), std::move(options));
    MINKE_TRY(take_optimiser(trainer));
    MINKE_TRY(open_data(stage));
    std::unique_ptr<Grpo> grpo;
    if (stage.kind == StagePlan::Kind::kGrpo) {
      MINKE_TRY(begin_reference(stage));
      // The base is what an adapter's policy began as.
      Model* const reference = adapter_ ? loaded_.model.get() : reference_.get();
      grpo = std::make_unique<Grpo>(trainer, *text_, stage.task, *stage.rule, stage.grpo,
                                    stage.grpo.policy.kl > 0.0 ? reference : nullptr);
    }
    MINKE_TRY(begin_teacher(stage));
    resumed_.reset();
    MINKE_ASSIGN(RunEnd end, evaluate_due(stage));
    while (end == RunEnd::kFinished && step_in_stage_ < stage.steps) {
      const auto begin = Clock::now();
      const double rate = stage.rate.at(step_in_stage_);
      Json entry = begin_entry(stage);
      entry["learning_rate"] = rate;
      if (grpo) {
        MINKE_ASSIGN(const GrpoReport report, grpo->step(step_in_stage_, rate));
        add(entry, report);
        const double training = training_work(report.trained);
        add_work(entry, training + work_.of(report.read), training, report.train_seconds);
      } else {
        MINKE_TRY(supervise(trainer, stage, rate, entry));
      }
      const double took = std::chrono::duration<double>(Clock::now() - begin).count();
      MINKE_TRY(end_step(entry, took));
      if (reference_ && stage.reference_every > 0 && step_in_stage_ % stage.reference_every == 0) {
        MINKE_TRY(renew_reference());
      }
      // Before the evaluations, which take long: whatever stops them costs no step.
      const bool last = step_in_stage_ == stage.steps;
      const bool stops = is_stopped();
      if (last || stops || step_ % plan_.checkpoint_every == 0) MINKE_TRY(save(trainer));
      if (stops) return RunEnd::kStopped;
      MINKE_ASSIGN(end, evaluate_due(stage));
    }
    return end;
  }

  bool is_stopped() const { return options_.is_stopped && options_.is_stopped(); }

  // What is to be measured where the stage stands, unless the log has it.
  Result<RunEnd> evaluate_due(const StagePlan& stage) {
    const bool last = step_in_stage_ == stage.steps;
    const auto is_due = [&](const EvaluationPlan& plan) {
      return last || step_ == 0 ||
             (step_in_stage_ > 0 && plan.every > 0 && step_in_stage_ % plan.every == 0);
    };
    RunEnd end = RunEnd::kFinished;
    if (stage.evaluation && is_due(*stage.evaluation)) {
      MINKE_ASSIGN(end, evaluate(*stage.evaluation, stage.name));
    }
    if (last && end == RunEnd::kFinished) return evaluate_all(stage.name);
    return end;
  }

  Json begin_entry(const StagePlan& stage) const {
    return {{"step", step_ + 1},
            {"stage", stage.name},
            {"kind", stage.kind_name()},
            {"stage_step", step_in_stage_ + 1},
            {"stage_steps", stage.steps}};
  }
  // What is remembered is no step of this sitting; whoever watches is told so.
  Status end_step(Json& entry, double seconds, bool remembered = false) {
    ++step_;
    ++step_in_stage_;
    seconds_ += seconds;
    entry["step_seconds"] = seconds;
    entry["seconds"] = seconds_;
    MINKE_TRY(log_->append(entry));
    if (remembered) entry["remembered"] = true;
    tell(entry);
    return {};
  }

  // Nothing is trained here: what there is to lose is the batch under way.
  Result<RunEnd> reject(const StagePlan& stage) {
    MINKE_ASSIGN(RejectStage asking, RejectStage::open(folder_, stage, step_));
    std::optional<Teacher> teacher;
    while (step_in_stage_ < stage.steps) {
      const bool asks = !asking.knows(step_in_stage_);
      if (asks && !stage.reject.model.empty() && !teacher) {
        MINKE_ASSIGN(teacher, load_teacher(stage.reject.model));
      }
      const RejectStage::Source source = {.model = teacher ? teacher->model() : *loaded_.model,
                                          .ops = teacher ? *ops_ : policy_ops(),
                                          .text = teacher ? teacher->text() : *text_};
      Json entry = begin_entry(stage);
      MINKE_ASSIGN(const std::optional<RejectStage::Step> asked,
                   asking.step(step_in_stage_, asks ? &source : nullptr, options_.is_stopped));
      if (!asked) return RunEnd::kStopped;
      const RejectStage::Step& step = *asked;
      entry["accuracy"] = step.right;
      entry["solved"] = step.solved;
      entry["answer_tokens"] = step.tokens_mean;
      entry["truncated"] = step.truncated;
      entry["answers"] = step.answers;
      entry["kept"] = step.kept;
      entry["sampled_tokens"] = step.tokens;
      add_work(entry, step.flops, 0.0, 0.0);
      Json samples = Json::array();
      for (const GrpoSample& sample : step.samples) samples.push_back(sample_json(sample));
      entry["samples"] = std::move(samples);
      MINKE_TRY(end_step(entry, step.seconds, /*remembered=*/!asks));
      if (asks && is_stopped()) return RunEnd::kStopped;
    }
    MINKE_TRY(asking.finish());
    return RunEnd::kFinished;
  }

  Result<Teacher> load_teacher(const std::string& name) const {
    MINKE_ASSIGN(const std::string path, options_.find_model(name));
    return Teacher::load(path, *ops_);
  }
  Status begin_teacher(const StagePlan& stage) {
    teacher_.reset();
    if (stage.kind != StagePlan::Kind::kDistil) return {};
    MINKE_ASSIGN(teacher_, load_teacher(stage.distil.model));
    return teacher_->check_vocabulary(*text_);
  }

  Status supervise(Trainer& trainer, const StagePlan& stage, double rate, Json& entry) {
    const auto begin = Clock::now();
    std::vector<TokenSequence> examples;
    if (batcher_) {
      MINKE_ASSIGN(DataBatch batch, batcher_->next());
      data_ = batch.next;
      examples = std::move(batch.sequences);
      entry["epoch"] = data_.epoch;
    }
    if (!stage.texts.empty()) {
      const StageTexts texts(stage, *text_);
      const double progress =
          static_cast<double>(step_in_stage_) / static_cast<double>(stage.steps);
      for (int64_t tokens = data_tokens(stage); tokens < stage.update_tokens;) {
        MINKE_ASSIGN(TokenSequence example, texts.example(examples_++, progress));
        tokens += std::ssize(example.tokens);
        examples.push_back(std::move(example));
      }
    }
    const Distillation distillation = {.teacher = teacher_ ? &*teacher_ : nullptr,
                                       .top_k = stage.distil.top_k,
                                       .options = stage.distil.options};
    MINKE_ASSIGN(const SupervisedReport report,
                 supervised_step(trainer, examples, stage.pass_tokens, rate,
                                 teacher_ ? &distillation : nullptr));
    entry["loss"] = report.loss;
    entry["gradient_norm"] = report.gradient_norm;
    entry["tokens"] = report.passes.rows;
    entry["targets"] = report.targets;
    double flops = training_work(report.passes);
    if (teacher_) {
      entry["divergence"] = report.divergence;
      flops += forward_work(teacher_->model().config()).of(report.passes);
    }
    add_work(entry, flops, flops, std::chrono::duration<double>(Clock::now() - begin).count());
    return {};
  }

  // Of an update, those that come from files.
  static int64_t data_tokens(const StagePlan& stage) {
    if (!stage.learns_files()) return 0;
    return static_cast<int64_t>(stage.data_share * static_cast<double>(stage.update_tokens));
  }
  // The stage's files, from where the run stands in them.
  Status open_data(const StagePlan& stage) {
    batcher_.reset();
    if (!stage.learns_files()) return {};
    DataOptions options = stage.data;
    for (const std::string& name : stage.data_stages) {
      options.files.push_back(stage_data_path(folder_, name).string());
    }
    options.threads = 1;
    MINKE_ASSIGN(
        std::unique_ptr<DataSource> source,
        DataSource::open(std::move(options), text_->tokenizer(), &text_->chat_template(), data_));
    const int64_t rows = std::max<int64_t>(data_tokens(stage), 2);
    const int64_t context = std::min(loaded_.model->config().context_max, rows);
    MINKE_ASSIGN(Batcher batcher,
                 Batcher::create(std::move(source), {.rows = rows, .context = context}, data_));
    batcher_.emplace(std::move(batcher));
    return {};
  }

  static void add_share(Json& entry, const std::string& name, const Share& share) {
    entry[name] = share.value;
    entry[name + "_low"] = share.low;
    entry[name + "_high"] = share.high;
  }
  void add(Json& entry, const EvaluationReport& report) const {
    const EvalSummary& summary = report.summary;
    entry["problems"] = summary.problems;
    entry["samples_each"] = report.samples_each;
    add_share(entry, "pass_1", summary.pass_at_1);
    constexpr double kErrors = 2 * 1.959963984540054;  // standard ones, in an interval of 95%
    entry["pass_1_error"] = (summary.pass_at_1.high - summary.pass_at_1.low) / kErrors;
    add_share(
        entry, "pass_k",
        report.samples_each > 1 ? summary.pass_at_k.at(report.samples_each) : summary.pass_at_1);
    if (summary.cons_at_k) add_share(entry, "cons_k", *summary.cons_at_k);
    add_share(entry, "format", summary.well_formed);
    entry["answer_tokens"] = summary.tokens_mean;
    entry["truncated"] = summary.truncated.value;
    entry["flops"] = work_.of(report.passes);
    entry["evaluation_seconds"] = report.seconds;
    Json samples = Json::array();
    for (const GrpoSample& sample : report.shown) samples.push_back(sample_json(sample));
    entry["samples"] = std::move(samples);
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
    // Where no group differed nothing was learnt, and nothing measured on the way.
    if (report.updates > 0) {
      entry["loss"] = report.loss;
      entry["kl"] = report.kl;
      entry["entropy"] = report.entropy;
      entry["clipped"] = report.clipped;
      entry["logprob_drift"] = report.logprob_drift;
      entry["gradient_norm"] = report.gradient_norm;
    }
    entry["updates"] = report.updates;
    entry["tokens"] = report.trained_tokens;
    entry["sampled_tokens"] = report.sampled_tokens;
    entry["sample_seconds"] = report.sample_seconds;
    entry["train_seconds"] = report.train_seconds;
    Json samples = Json::array();
    for (const GrpoSample& sample : report.samples) samples.push_back(sample_json(sample));
    entry["samples"] = std::move(samples);
  }

  // The recipe's own evaluations; `stage` is the one that has ended.
  Result<RunEnd> evaluate_all(const std::string& stage) {
    for (const EvaluationPlan& plan : plan_.evaluations) {
      MINKE_ASSIGN(const RunEnd end, evaluate(plan, stage));
      if (end == RunEnd::kStopped) return end;
    }
    return RunEnd::kFinished;
  }

  Result<RunEnd> evaluate(const EvaluationPlan& plan, const std::string& stage) {
    Json entry = {
        {"step", step_}, {"event", "evaluation"}, {"stage", stage}, {"task", plan.task->name()}};
    // A stage and the recipe may both ask for a task: one after the other, in the log as here.
    int& done = done_[name_of(entry)];
    if (done++ < known_[name_of(entry)]) return RunEnd::kFinished;
    MINKE_ASSIGN(const std::optional<EvaluationReport> report,
                 evaluate_model(*loaded_.model, policy_ops(), *text_, plan, options_.is_stopped));
    if (!report) return RunEnd::kStopped;
    add(entry, *report);
    MINKE_TRY(log_->append(entry));
    tell(entry);
    return RunEnd::kFinished;
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
    CheckpointState where;
    where.step = step_;
    where.counters = {{"stage", stage_},
                      {"step_in_stage", static_cast<uint64_t>(step_in_stage_)},
                      {"examples", examples_},
                      {"optimizer_steps", static_cast<uint64_t>(trainer.optimiser().steps())}};
    where.data = data_;
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
  std::optional<AdapterOps> adapted_ops_;  // with the adapter
  std::unique_ptr<Model> reference_;       // of a stage with a KL term
  Masters reference_masters_;
  std::optional<Teacher> teacher_;  // of a stage that distils
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
  ForwardWork work_;      // of a token of the model that is trained
  double peak_flops_ = 0.0;
  std::map<std::string, int> known_;  // evaluations and the like that the log has, by name_of()
  std::map<std::string, int> done_;   // in this sitting
};

}  // namespace

Result<RunEnd> run_plan(const RecipeFile& recipe, const RunPlan& plan, const RunOptions& options) {
  return Run(recipe, plan, options).carry_out();
}

}  // namespace minke
