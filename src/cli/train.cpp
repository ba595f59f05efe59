// minke train RECIPE: a training run, shown as it goes on.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

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
    const std::string stage = entry.value("stage", "");
    const auto done = entry.value("stage_step", int64_t{0});
    const auto all = std::max(entry.value("stage_steps", int64_t{1}), int64_t{1});
    if (stage != stage_) {
      bar_.finish();
      stage_ = stage;
      next_line_ = 0.0;
      stage_seconds_ = 0.0;
      steps_seen_ = 0;
    }
    stage_seconds_ += entry.value("step_seconds", 0.0);
    ++steps_seen_;
    const double left =
        stage_seconds_ / static_cast<double>(steps_seen_) * static_cast<double>(all - done);
    const double share = static_cast<double>(done) / static_cast<double>(all);
    constexpr int kColumns = 80;
    if (share >= next_line_ || done == all) {
      bar_.finish();
      const std::string begin =
          fmt::format("{:>6}  {:<8.10}", with_commas(entry.value("step", int64_t{0})), stage);
      console_->out(begin + fitting(parts_of(entry, left), kColumns - text_width(begin)) + "\n");
      (void)console_->flush();
      next_line_ = share + 0.05;
    }
    // The bar says itself how long it takes.
    const int room = console_->width() - text_width(stage) - kBarColumns;
    bar_.update(stage, share, fitting(parts_of(entry, std::nullopt), room));
  }

  // What there is to say of a step, what matters most first.
  std::vector<std::string> parts_of(const Json& entry, std::optional<double> left) const {
    std::vector<std::string> parts;
    const std::string kind = entry.value("kind", "");
    if (kind == "grpo") {
      parts.push_back(fmt::format("reward {:.3f}", entry.value("reward", 0.0)));
    } else if (kind == "reject") {
      parts.push_back(fmt::format("kept {}", with_commas(entry.value("kept", int64_t{0}))));
      parts.push_back(fmt::format("{:.0f}% right", 100.0 * entry.value("accuracy", 0.0)));
    } else {
      parts.push_back(fmt::format("loss {:.4f}", entry.value("loss", 0.0)));
    }
    const double tokens = entry.value("tokens", 0.0) + entry.value("sampled_tokens", 0.0);
    if (const double seconds = entry.value("step_seconds", 0.0); seconds > 0.0) {
      parts.push_back(fmt::format("{} tok/s", with_commas(static_cast<int64_t>(tokens / seconds))));
    }
    if (entry.contains("peak_share")) {
      parts.push_back(fmt::format("{:.0f}% of peak", 100.0 * entry.value("peak_share", 0.0)));
    }
    if (left) parts.push_back(short_time(*left) + " left");
    const double hours = entry.value("seconds", 0.0) / 3600.0;
    if (plan_.price_per_hour > 0.0) parts.push_back(money(hours));
    if (plan_.watts > 0.0) parts.push_back(energy(hours));
    if (kind == "grpo") {
      parts.push_back(fmt::format("{:.0f}% right", 100.0 * entry.value("accuracy", 0.0)));
      parts.push_back(fmt::format("{:.0f} each", entry.value("answer_tokens", 0.0)));
    }
    return parts;
  }
  // Those that have room, two spaces before each.
  static std::string fitting(const std::vector<std::string>& parts, int columns) {
    std::string line;
    for (const std::string& part : parts) {
      if (text_width(line) + 2 + text_width(part) <= columns) line += "  " + part;
    }
    return line;
  }
  static std::string short_time(double seconds) {
    const auto whole = static_cast<int64_t>(std::llround(seconds));
    if (whole < 100) return fmt::format("{}s", whole);
    if (whole < 6000) return fmt::format("{}m", (whole + 30) / 60);
    return fmt::format("{}h{:02}m", whole / 3600, whole % 3600 / 60);
  }
  std::string money(double hours) const {
    return fmt::format("{:.2f} {}", hours * plan_.price_per_hour,
                       plan_.currency.empty() ? "of money" : plan_.currency);
  }
  std::string energy(double hours) const {
    const double watt_hours = hours * plan_.watts;
    return watt_hours < 1000.0 ? fmt::format("{:.1f} Wh", watt_hours)
                               : fmt::format("{:.2f} kWh", watt_hours / 1000.0);
  }

  void show_evaluation(const Json& entry) {
    bar_.finish();
    const auto each = entry.value("samples_each", int64_t{1});
    console_->out(fmt::format("        {}: right {:.1f}% ({:.1f} to {:.1f})",
                              entry.value("task", ""), 100.0 * entry.value("pass_1", 0.0),
                              100.0 * entry.value("pass_1_low", 0.0),
                              100.0 * entry.value("pass_1_high", 0.0)));
    if (each > 1) {
      console_->out(
          fmt::format(", {:.1f}% at least once of {}", 100.0 * entry.value("pass_k", 0.0), each));
      if (entry.contains("cons_k")) {
        console_->out(fmt::format(", {:.1f}% by vote", 100.0 * entry.value("cons_k", 0.0)));
      }
    }
    console_->out(fmt::format(
        "\n        form {:.1f}%, {:.0f} tokens an answer, {} problems not seen before\n",
        100.0 * entry.value("format", 0.0), entry.value("answer_tokens", 0.0),
        with_commas(entry.value("problems", int64_t{0}))));
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
    if (plan_.price_per_hour > 0.0) cost += ", " + money(hours);
    if (plan_.watts > 0.0) cost += ", " + energy(hours);
    const std::string path = entry.value("model", "");
    console_->out(fmt::format("{}: trained in {}{}; ", path, duration(seconds), cost));
    console_->out(plan_.adapter_rank > 0
                      ? fmt::format("minke chat {} --adapter {} talks to it\n", plan_.model, path)
                      : fmt::format("minke chat {} talks to it\n", path));
    if (const std::string report = entry.value("report", ""); !report.empty()) {
      console_->out(fmt::format("{}: what it can do, and what it took\n", report));
    }
  }

  static constexpr int kBarColumns = 40;  // of the bar, its share and its time
  Console* console_;
  ProgressBar bar_;
  const RunPlan& plan_;
  bool json_;
  int64_t steps_;
  std::string stage_;
  double next_line_ = 0.0;
  double stage_seconds_ = 0.0;  // of the steps seen in this stage
  int64_t steps_seen_ = 0;
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
            "model.gguf (or adapter.gguf) and report.html. Ctrl-C stops behind the step under way "
            "with a checkpoint; --resume goes "
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
