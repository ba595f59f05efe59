// minke eval MODEL TASK: how many of a task's problems a model solves. The samples are written to a
// file as they come, and the same command goes on where it was stopped.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "cli/command.h"
#include "cli/json_text.h"
#include "cli/scoring.h"
#include "cli/text_util.h"
#include "eval/evaluation.h"
#include "eval/html_view.h"
#include "eval/model_ask.h"
#include "io/file.h"
#include "tasks/registry.h"

namespace minke::cli {

namespace {

constexpr int64_t kTokensMax = 1024;
constexpr int64_t kPromptRoom = 1024;  // in the cache, of each sample that runs

nlohmann::ordered_json share_json(const Share& share) {
  return {{"value", share.value}, {"low", share.low}, {"high", share.high}};
}

std::string share_text(const Share& share) {
  return fmt::format("{:5.1f}%   ({:.1f} to {:.1f})", 100 * share.value, 100 * share.low,
                     100 * share.high);
}

// A name for files: what is no letter, digit, dot or dash is a dash.
std::string file_word(std::string_view text) {
  std::string word;
  for (const char c : text) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
    word += is_plain ? c : '-';
  }
  return word;
}

class Eval : public Command {
 public:
  CommandText text() const override {
    return {
        .name = "eval",
        .summary = "Measure how many of a task's problems a model solves",
        .description =
            "Asks a model the problems of a task, several times each, and judges the answers by "
            "rule: pass@1, pass@k and cons@k with 95% intervals, and apart from them how often "
            "the answer has the form that was asked for. TASK is a name with parameters, as in "
            "countdown:numbers=4,max=50, or a .jsonl file of your own; --tasks lists them. The "
            "samples are written to --out as they come, with a page to read them beside it; the "
            "same command goes on where it was stopped.",
        .examples = {
            {"minke eval qwen2.5-coder:0.5b gsm8k --limit 64", "64 of its test problems"},
            {"minke eval model.gguf countdown --samples 16 --limit 100", "pass@16 and cons@16"},
            {"minke eval model.gguf mine.jsonl --json", "problems of your own, for programs"}}};
  }

  void declare(OptionList* options) override {
    options->positional("MODEL", ValueKind::kModel, kModelWords, &model_);
    options->positional("TASK", ValueKind::kText, "A task, or a .jsonl file", &task_);
    options->flag("--tasks", "List the tasks with their parameters", &lists_tasks_);
    options->integer("--samples", "Ask each problem N times", {1, 10'000}, &samples_).default_text =
        "1";
    options->integer("--limit", "Use only N problems", {1, int64_t{1} << 30}, &limit_)
        .default_text = "all of a file's, 200 of a generator's";
    options
        ->choice("--split", "Problems to test on, or those to train on", {"test", "train"}, &split_)
        .default_text = "test";
    options->integer("--parallel", "Samples that run together", {1, 256}, &parallel_).default_text =
        "16";
    options->file("--out", "The file of samples; a page beside it has its name and .html", &out_)
        .default_text = "eval-MODEL-TASK.jsonl";
    options->flag("--json", "Print the figures as one JSON value", &json_);
    sampling_flags_.declare(options);
    options->describe("--temp", "Temperature", "0.6");
    options->describe("--top-p", "Choose among the likeliest that make up this share", "0.95");
    options->describe("--seed", "Chooses the problems and the samples", "0");
    options->describe("--max-tokens", "Cut the answer off after N tokens", "1024");
    engine_flags_.declare(options);
  }

  Status run(Console* console) override {
    if (lists_tasks_) {
      console->out(describe_tasks());
      return {};
    }
    if (!model_ || !task_) return misuse("name a model and a task; minke eval --tasks lists tasks");
    MINKE_ASSIGN(std::string path, model_path(model_));
    MINKE_ASSIGN(const auto task, find_task(*task_));
    sampling_ = sampling_flags_.sampling({});
    if (sampling_.tokens_max < 0) sampling_.tokens_max = kTokensMax;
    request_ = {.split = split_ == "train" ? Split::kTrain : Split::kTest,
                .samples = samples_.value_or(1),
                .problems_max = limit_.value_or(0),
                .running_max = parallel_.value_or(16),
                .seed = sampling_.seed.value_or(0)};
    const std::vector<Problem> problems = choose_problems(*task, request_);
    if (problems.empty()) {
      return misuse(fmt::format("task '{}' has no problems to {} on", task->name(), split_name()));
    }
    const std::string model_name = std::filesystem::path(path).filename().string();
    const std::string out = out_.value_or(
        fmt::format("eval-{}-{}.jsonl", file_word(std::filesystem::path(path).stem().string()),
                    file_word(task->name())));
    MINKE_ASSIGN(SampleFile file, SampleFile::open(out, heading(*task, model_name)));
    MINKE_TRY(ask_all(std::move(path), *task, problems, file, console));
    const EvalSummary summary = summarise(file.samples(), request_.samples);
    std::string page = std::filesystem::path(out).replace_extension(".html").string();
    MINKE_TRY(write_page(page, html_view({.model = model_name,
                                          .task = std::string(task->name()),
                                          .settings = settings_text()},
                                         summary, file.samples())));
    report(model_name, *task, summary, out, page, console);
    return {};
  }

 private:
  std::string_view split_name() const { return request_.split == Split::kTrain ? "train" : "test"; }

  std::string settings_text() const {
    return fmt::format(
        "{} split, {} sample{} each, temperature {}, top-p {}, at most {} tokens, seed {}",
        split_name(), request_.samples, request_.samples == 1 ? "" : "s", sampling_.temperature,
        sampling_.top_p, sampling_.tokens_max, request_.seed);
  }

  // All that changes a sample: a file with another heading is of another evaluation. How many
  // problems and samples there are is not in it, so that there may be more of them later.
  Value::Object heading(const Task& task, const std::string& model_name) const {
    return {{"eval", std::string(task.name())},
            {"model", model_name},
            {"split", std::string(split_name())},
            {"temperature", sampling_.temperature},
            {"top_p", sampling_.top_p},
            {"top_k", sampling_.top_k},
            {"min_p", sampling_.min_p},
            {"repeat_penalty", sampling_.repeat_penalty},
            {"presence_penalty", sampling_.presence_penalty},
            {"frequency_penalty", sampling_.frequency_penalty},
            {"max_tokens", sampling_.tokens_max},
            {"think_budget", sampling_.think_budget},
            {"form", sampling_.form.text},
            {"seed", std::to_string(request_.seed)}};
  }

  Status ask_all(std::string path, const Task& task, const std::vector<Problem>& problems,
                 SampleFile& file, Console* console) {
    const auto wanted = std::ssize(problems) * request_.samples;
    const auto there = std::ssize(file.samples());
    if (there >= wanted) return {};
    if (there > 0) {
      console->note(fmt::format("(going on: {} of {} samples are there)\n", with_commas(there),
                                with_commas(wanted)));
    }
    engine_flags_.cache_tokens = request_.running_max * (sampling_.tokens_max + kPromptRoom);
    MINKE_ASSIGN(const auto engine, load_local_engine(engine_flags_, std::move(path), console));
    const InterruptGuard guard;
    ProgressBar bar(console);
    const auto progress = [&](std::span<const EvalSample> samples) {
      const auto right = std::ranges::count_if(samples, &EvalSample::correct);
      bar.update("evaluating", static_cast<double>(samples.size()) / static_cast<double>(wanted),
                 fmt::format("{} of {} right", right, samples.size()));
      return !InterruptGuard::interrupted();
    };
    MINKE_TRY(evaluate(task, problems, request_, model_ask(*engine, sampling_), file, progress));
    bar.finish();
    if (InterruptGuard::interrupted()) {
      console->note("(stopped; the same command goes on from here)\n");
      return fail(std::string(kInterrupted));
    }
    return {};
  }

  static Status write_page(const std::string& path, const std::string& page) {
    MINKE_ASSIGN(OutputFile file, OutputFile::create(path));
    MINKE_TRY(file.write(std::as_bytes(std::span(page))));
    return file.commit();
  }

  void report(const std::string& model_name, const Task& task, const EvalSummary& summary,
              const std::string& out, const std::string& page, Console* console) const {
    if (json_) {
      nlohmann::ordered_json passed = nlohmann::ordered_json::object();
      for (const auto& [k, share] : summary.pass_at_k) {
        passed[std::to_string(k)] = share_json(share);
      }
      console->out(json_line({{"model", model_name},
                              {"task", task.name()},
                              {"problems", summary.problems},
                              {"samples", summary.samples},
                              {"pass_at_1", share_json(summary.pass_at_1)},
                              {"pass_at_k", passed},
                              {"cons_at_k", summary.cons_at_k ? share_json(*summary.cons_at_k)
                                                              : nlohmann::ordered_json(nullptr)},
                              {"format", share_json(summary.well_formed)},
                              {"truncated", share_json(summary.truncated)},
                              {"tokens_mean", summary.tokens_mean},
                              {"file", out},
                              {"page", page}}));
      return;
    }
    std::string text = fmt::format("{} on {}: {} problems, {}\n", model_name, task.name(),
                                   with_commas(summary.problems), settings_text());
    text += fmt::format("pass@1    {}\n", share_text(summary.pass_at_1));
    for (const auto& [k, share] : summary.pass_at_k) {
      text += fmt::format("{:<10}{}\n", fmt::format("pass@{}", k), share_text(share));
    }
    if (summary.cons_at_k) {
      text += fmt::format("{:<10}{}\n", fmt::format("cons@{}", request_.samples),
                          share_text(*summary.cons_at_k));
    }
    text += fmt::format("format    {}\ncut off   {}\ntokens    {:5.0f} a sample\n",
                        share_text(summary.well_formed), share_text(summary.truncated),
                        summary.tokens_mean);
    console->out(text);
    console->note(fmt::format("(samples: {}, to be read: {})\n", out, page));
  }

  std::optional<std::string> model_, task_, split_, out_;
  std::optional<int64_t> samples_, limit_, parallel_;
  bool lists_tasks_ = false;
  bool json_ = false;
  SamplingFlags sampling_flags_;
  EngineFlags engine_flags_;
  SamplingOptions sampling_;
  EvalRequest request_;
};

}  // namespace

std::unique_ptr<Command> make_eval() { return std::make_unique<Eval>(); }

}  // namespace minke::cli
