// minke perplexity MODEL --file F: as llama.cpp counts it. The text is cut into windows of --ctx
// tokens (what is left over at the end is not used); in each window the second half is scored, and
// its first token is replaced by the beginning-of-sequence token where the model wants one.

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/json_text.h"
#include "cli/scoring.h"
#include "cli/text_util.h"

namespace minke::cli {

namespace {

class Perplexity : public Command {
 public:
  CommandText text() const override {
    return {.name = "perplexity",
            .summary = "Measure how well a model predicts a text",
            .description =
                "Cuts a text into windows of --ctx tokens, scores the second half of each, and "
                "prints the perplexity with its standard error, counted as llama.cpp counts it.",
            .examples = {{"minke perplexity model.gguf --file text.txt", "windows of 512 tokens"},
                         {"minke perplexity model.gguf --file text.txt --ctx 2048 --json",
                          "longer windows, for programs"}}};
  }

  void declare(OptionList* options) override {
    options->positional("MODEL", ValueKind::kModel, kModelWords, &model_).default_text =
        kDefaultModelWords;
    options->file("--file", "The text; - is stdin", &file_).default_text = "stdin";
    options
        ->integer("--windows", "Use only the first N windows", {1, int64_t{1} << 40}, &windows_max_)
        .default_text = "all";
    options->flag("--json", "Print {\"perplexity\": x, \"stderr\": x, \"tokens\": n}", &json_);
    engine_flags_.declare_for_reading(options);
    options->describe("--ctx", "Tokens of a window", "512");
  }

  Status run(Console* console) override {
    const int64_t window = engine_flags_.context.value_or(512);
    if (window < 4) return misuse(fmt::format("--ctx must be at least 4 here, got {}", window));
    MINKE_ASSIGN(std::string path, model_path(model_));
    MINKE_ASSIGN(const std::string text, input_text(file_));
    engine_flags_.context = window;
    MINKE_ASSIGN(const auto engine, load_local_engine(engine_flags_, std::move(path), console));
    const std::vector<int32_t> ids = engine->text_prompt(text, false);
    MINKE_TRY(check_two_windows(std::ssize(ids), window));
    MINKE_ASSIGN(const PerplexityTally tally, score_windows(*engine, ids, window, console));
    if (json_) {
      console->out(json_line({{"perplexity", tally.perplexity()},
                              {"stderr", tally.standard_error()},
                              {"tokens", tally.count()}}));
    } else {
      console->out(fmt::format("perplexity {:.4f} ± {:.4f} ({} tokens scored)\n",
                               tally.perplexity(), tally.standard_error(),
                               with_commas(tally.count())));
    }
    return {};
  }

 private:
  Result<PerplexityTally> score_windows(LocalEngine& engine, const std::vector<int32_t>& ids,
                                        int64_t window, Console* console) const {
    int64_t windows = static_cast<int64_t>(ids.size()) / window;
    windows = std::min(windows, windows_max_.value_or(windows));
    const InterruptGuard guard;
    ProgressBar bar(console);
    PerplexityTally tally;
    for (int64_t w = 0; w < windows; ++w) {
      if (InterruptGuard::interrupted()) return fail(std::string(kInterrupted));
      MINKE_ASSIGN(const std::vector<TokenScore> scores,
                   engine.score(text_window(engine, ids, window, w), {.first = window / 2 + 1}));
      for (const TokenScore& score : scores) tally.add(-score.logprob);
      bar.update("scoring", static_cast<double>(w + 1) / static_cast<double>(windows),
                 fmt::format("perplexity so far {:.3f}", tally.perplexity()));
    }
    bar.finish();
    return tally;
  }

  std::optional<std::string> model_, file_;
  std::optional<int64_t> windows_max_;
  bool json_ = false;
  EngineFlags engine_flags_;
};

}  // namespace

std::unique_ptr<Command> make_perplexity() { return std::make_unique<Perplexity>(); }

}  // namespace minke::cli
