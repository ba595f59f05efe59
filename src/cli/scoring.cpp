#include "cli/scoring.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include "cli/prompt.h"
#include "cli/text_util.h"
#include "core/thread_pool.h"
#include "io/catalogue.h"

namespace minke::cli {

Result<std::string> input_text(const std::optional<std::string>& file) {
  MINKE_ASSIGN(const std::string text, read_input_bytes(file));
  const std::string name = input_name(file);
  if (text.empty()) return misuse(fmt::format("{} is empty; there is nothing to score", name));
  if (!is_utf8(text)) {
    return misuse(
        fmt::format("{} is not UTF-8 text; convert it first, e.g. with iconv -t UTF-8", name));
  }
  return text;
}

double PerplexityTally::perplexity() const { return std::exp(sum_ / static_cast<double>(count_)); }

// By the first derivative of exp at the mean.
double PerplexityTally::standard_error() const {
  if (count_ < 2) return 0;
  const auto n = static_cast<double>(count_);
  const double mean = sum_ / n;
  const double variance = std::max(0.0, sum_of_squares_ / n - mean * mean);
  return std::sqrt(variance / (n - 1)) * perplexity();
}

Status check_two_windows(int64_t tokens, int64_t window) {
  if (tokens >= 2 * window) return {};
  return misuse(
      fmt::format("the text has {} tokens, and two windows of {} are the least that says "
                  "anything; give a longer text or a smaller --ctx",
                  with_commas(tokens), with_commas(window)));
}

std::vector<int32_t> text_window(const LocalEngine& engine, const std::vector<int32_t>& ids,
                                 int64_t window, int64_t index) {
  std::vector<int32_t> tokens(ids.begin() + index * window, ids.begin() + (index + 1) * window);
  const std::vector<int32_t> nothing = engine.text_prompt("", false);
  if (!nothing.empty()) tokens[0] = nothing[0];
  return tokens;
}

namespace {

// What was asked of guessing, and cannot be had of this model.
void note_what_guesses(const EngineFlags& flags, const EngineOptions& options,
                       const LocalEngine& engine, Console* console) {
  const DraftKind kind = engine.draft_kind();
  if (flags.mtp == "on" && kind == DraftKind::kModel) {
    console->note("(--mtp on: the draft model guesses, not the model's own layer)\n");
  } else if (flags.mtp == "on" && kind == DraftKind::kNone) {
    console->note(
        "(--mtp on: the model has no layer that guesses ahead, or memory has no room for it)\n");
  }
  if (flags.draft_tokens && kind == DraftKind::kNone) {
    console->note("(--draft-tokens: no model guesses here, so it changes nothing)\n");
  }
  std::error_code error;
  const auto bytes = [&](const std::string& path) {
    return std::filesystem::is_regular_file(path, error) ? std::filesystem::file_size(path, error)
                                                         : 0;
  };
  if (const auto size = bytes(options.model);
      kind == DraftKind::kModel && size > 0 && bytes(options.draft_model) >= size) {
    console->note("(the draft model is no smaller than the model, and will not make it faster)\n");
  }
}

}  // namespace

Result<std::shared_ptr<LocalEngine>> load_local_engine(const EngineFlags& flags, std::string path,
                                                       Console* console) {
  const int processors = available_processors();
  if (flags.threads && *flags.threads > 2 * int64_t{processors}) {
    console->note(
        fmt::format("(--threads {} on {} processor{}: threads that wait for each other "
                    "make it slower)\n",
                    *flags.threads, processors, processors == 1 ? "" : "s"));
  }
  EngineOptions options = flags.engine_options(std::move(path));
  if (flags.draft_model) {
    MINKE_ASSIGN(options.draft_model, model_path(flags.draft_model));
  }
  ProgressBar bar(console);
  options.progress = [&bar](std::string_view what, double fraction) { bar.update(what, fraction); };
  Result<std::shared_ptr<LocalEngine>> engine = LocalEngine::load(options);
  bar.finish();
  if (engine) {
    note_what_guesses(flags, options, **engine, console);
    const MemoryReport memory = (*engine)->memory();
    if (memory.expert_cache > 0) {
      console->note(fmt::format(
          "(larger than memory: {} of {} experts are kept, in {}, and the others come from the "
          "disk as they are needed)\n",
          with_commas(memory.experts_cached), with_commas(memory.experts),
          human_bytes(static_cast<int64_t>(memory.expert_cache))));
    }
  }
  return engine;
}

}  // namespace minke::cli
