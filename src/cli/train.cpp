// minke train RECIPE: a training run, shown as it goes on.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/model_flags.h"
#include "cli/prompt.h"
#include "cli/text_util.h"
#include "train/run/run.h"

namespace minke::cli {

namespace {

using Json = nlohmann::ordered_json;

// What a run writes about itself, for a person who watches it.
class RunView {
 public:
  RunView(Console* console, const RunPlan& plan, bool json)
      : console_(console), bar_(console), plan_(plan), json_(json), steps_(plan.steps()) {}

  void show(const Json& entry) {
    if (json_) {
      console_->out(entry.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
      return;
    }
    const std::string event = entry.value("event", "");
    if (event.empty()) return show_step(entry);
    bar_.finish();
    if (event == "begun" || event == "resumed") return show_begin(entry, event);
    if (event == "evaluation") return show_evaluation(entry);
    if (event == "warning") console_->note(entry.value("message", "") + "\n");
    if (event == "finished") show_end(entry);
  }
  void finish() { bar_.finish(); }

 private:
  void show_begin(const Json& entry, const std::string& event) {
    console_->out(fmt::format(
        "{}: {} parameters, {} steps{}\n", entry.value("name", ""),
        with_commas(entry.value("parameters", int64_t{0})), with_commas(steps_),
        event == "resumed"
            ? fmt::format("; going on behind step {}", with_commas(entry.value("step", int64_t{0})))
            : ""));
  }

  // A line now and then, and the bar always: a curve that one can read while it grows.
  void show_step(const Json& entry) {
    const auto step = entry.value("step", int64_t{0});
    const std::string stage = entry.value("stage", "");
    const double seconds = entry.value("step_seconds", 0.0);
    const bool learns_by_trial = entry.contains("reward");
    const double rate =
        seconds > 0.0 ? static_cast<double>(entry.value("tokens", int64_t{0})) / seconds : 0.0;
    std::string now =
        learns_by_trial
            ? fmt::format("reward {:.3f}  right {:.1f}%  {:.0f} tokens an answer",
                          entry.value("reward", 0.0), 100.0 * entry.value("accuracy", 0.0),
                          entry.value("answer_tokens", 0.0))
            : fmt::format("loss {:.4f}  {} tokens/s", entry.value("loss", 0.0),
                          with_commas(static_cast<int64_t>(rate)));
    if (stage != stage_) {
      bar_.finish();
      stage_ = stage;
      next_line_ = 0.0;
    }
    const double share = static_cast<double>(entry.value("stage_step", int64_t{0})) /
                         static_cast<double>(entry.value("stage_steps", int64_t{1}));
    if (share >= next_line_) {
      bar_.finish();
      console_->out(fmt::format("{:>6}  {:<10} {}\n", with_commas(step), stage, now));
      (void)console_->flush();
      next_line_ = share + 0.05;
    }
    bar_.update(stage, share, now);
  }

  void show_evaluation(const Json& entry) {
    console_->out(fmt::format(
        "        {}: right {:.1f}% ± {:.1f} (once), {:.1f}% (at least one of {}), form {:.1f}%, "
        "{:.0f} "
        "tokens an answer, {} problems not seen before\n",
        entry.value("task", ""), 100.0 * entry.value("pass_1", 0.0),
        196.0 * entry.value("pass_1_error", 0.0), 100.0 * entry.value("pass_k", 0.0),
        entry.value("samples_each", int64_t{0}), 100.0 * entry.value("format", 0.0),
        entry.value("answer_tokens", 0.0), with_commas(entry.value("problems", int64_t{0}))));
    if (entry.contains("samples") && !entry["samples"].empty()) {
      const Json& sample = entry["samples"].front();
      console_->out(indented(sample.value("prompt", "") + "\n" + sample.value("answer", "") +
                             (sample.value("correct", false) ? "   (right)" : "   (wrong)")));
    }
    (void)console_->flush();
  }

  static std::string indented(const std::string& text) {
    std::string out;
    size_t begin = 0;
    while (begin < text.size()) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      const std::string line = text.substr(begin, end - begin);
      if (!line.empty()) out += "          " + printable(line, 100) + "\n";
      begin = end + 1;
    }
    return out;
  }

  void show_end(const Json& entry) {
    const double seconds = entry.value("seconds", 0.0);
    const double hours = seconds / 3600.0;
    std::string cost;
    if (plan_.price_per_hour > 0.0)
      cost += fmt::format(", {:.2f} of money", hours * plan_.price_per_hour);
    if (plan_.watts > 0.0) cost += fmt::format(", {:.3f} kWh", hours * plan_.watts / 1000.0);
    console_->out(fmt::format("{}: trained in {}{}; minke chat {} talks to it\n",
                              entry.value("model", ""), duration(seconds), cost,
                              entry.value("model", "")));
  }

  Console* console_;
  ProgressBar bar_;
  const RunPlan& plan_;
  bool json_;
  int64_t steps_;
  std::string stage_;
  double next_line_ = 0.0;
};

class Train : public Command {
 public:
  CommandText text() const override {
    return {
        .name = "train",
        .summary = "Train a model by a recipe",
        .description =
            "Carries out a recipe: learning from texts, then by trial, with rules that say what "
            "was right. The run's folder gets metrics.jsonl, checkpoints and, at the end, "
            "model.gguf. Ctrl-C stops behind the step under way with a checkpoint; --resume goes "
            "on as if nothing had been. docs/train.md has the whole story.",
        .examples = {{"minke train recipes/zero.toml", "a small R1 from nothing"},
                     {"minke train recipes/zero.toml --set seed=2 -o runs/zero-2",
                      "the same with another seed"},
                     {"minke train recipes/zero.toml --resume", "goes on after a stop"}}};
  }

  void declare(OptionList* options) override {
    options->positional("RECIPE", ValueKind::kFile, "The recipe, a TOML file", &recipe_).required =
        true;
    options->texts("--set", "KEY=VALUE",
                   "Another value for a key of the recipe: a.b=value, stage.0.steps=10",
                   &overrides_);
    options->file("-o", "The run's folder", &folder_).default_text = "runs/NAME";
    options->flag("--resume", "Go on from the newest checkpoint in the run's folder", &resume_);
    options->flag("--json", "Print the metrics, a JSON object a line", &json_);
  }

  Status run(Console* console) override {
    MINKE_ASSIGN(const RecipeFile recipe, RecipeFile::read(*recipe_, overrides_));
    MINKE_ASSIGN(const RunPlan plan, RunPlan::read(recipe));
    const std::string folder = folder_.value_or("runs/" + plan.name);
    const InterruptGuard guard;
    RunView view(console, plan, json_);
    Result<RunEnd> end =
        run_plan(recipe, plan,
                 {.folder = folder,
                  .resume = resume_,
                  .find_model = [](const std::string& name) { return model_path(name); },
                  .on_entry = [&](const Json& entry) { view.show(entry); },
                  .is_stopped = [] { return InterruptGuard::interrupted(); }});
    view.finish();
    if (!end) return std::unexpected(std::move(end).error());
    if (*end == RunEnd::kStopped) {
      console->note(
          fmt::format("(stopped behind a checkpoint; the same command with --resume goes "
                      "on: {})\n",
                      folder));
      return fail(std::string(kInterrupted));
    }
    return console->flush();
  }

 private:
  std::optional<std::string> recipe_, folder_;
  std::vector<std::string> overrides_;
  bool resume_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_train() { return std::make_unique<Train>(); }

}  // namespace minke::cli
