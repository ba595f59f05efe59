// minke compare A B TEXT: how far B is from A on a text, for judging a quantised model by its
// original. Windows and scored tokens are those of `minke perplexity`. One model is in memory at a
// time: A's logits wait in a temporary file of bounded size, and a text for which that is too small
// is worked through in rounds.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/divergence.h"
#include "cli/json_text.h"
#include "cli/scoring.h"
#include "cli/text_util.h"

namespace minke::cli {

namespace {

constexpr int64_t kTemporaryBytesMax = int64_t{4} << 30;

// One of the models that are compared.
struct Compared {
  std::string name;
  std::string path;
  PerplexityTally perplexity;
  DivergenceTally divergence;  // from A; empty for A
};

class Compare : public Command {
 public:
  CommandText text() const override {
    return {.name = "compare",
            .summary = "Measure how far a model is from another on a text",
            .description =
                "Scores a text as minke perplexity does with A and with B, and prints both "
                "perplexities, the Kullback-Leibler divergence of B from A (mean, and the value "
                "that 99% of the tokens do not exceed, in nats) and how often both find the same "
                "token likeliest. One model is in memory at a time.",
            .examples = {
                {"minke compare model-f16.gguf model-q4_k_m.gguf text.txt", "what 4 bits cost"},
                {"minke compare f16.gguf a.gguf text.txt --also b.gguf --also c.gguf --json",
                 "several against one"}}};
  }

  void declare(OptionList* options) override {
    options->positional("A", ValueKind::kModel, "The model that counts as right", &reference_)
        .required = true;
    options->positional("B", ValueKind::kModel, "The model that is measured", &model_).required =
        true;
    options->positional("TEXT", ValueKind::kFile, "The text; - is stdin", &file_).required = true;
    options->texts("--also", "MODEL", "Measure another one in the same run; may be repeated",
                   &more_);
    options
        ->integer("--windows", "Use only the first N windows", {1, int64_t{1} << 40}, &windows_max_)
        .default_text = "all";
    options->flag("--json",
                  "Print {\"tokens\": n, \"reference\": {...}, \"models\": [{\"path\", "
                  "\"perplexity\", \"kl_mean\", \"kl_stderr\", \"kl_p99\", \"kl_max\", "
                  "\"top1_agreement\"}]}",
                  &json_);
    engine_flags_.declare_for_reading(options);
    options->describe("--ctx", "Tokens of a window", "512");
  }

  Status run(Console* console) override {
    window_ = engine_flags_.context.value_or(512);
    if (window_ < 4) return misuse(fmt::format("--ctx must be at least 4 here, got {}", window_));
    engine_flags_.context = window_;
    std::vector<std::string> names = {*reference_, *model_};
    names.insert(names.end(), more_.begin(), more_.end());
    for (const std::string& name : names) {
      MINKE_ASSIGN(std::string path, model_path(name));
      models_.push_back({.name = name, .path = std::move(path)});
    }
    MINKE_ASSIGN(text_, input_text(file_));
    const InterruptGuard guard;
    MINKE_TRY(score_reference(0, console));
    MINKE_TRY(score_others(0, console));
    for (int64_t first = rows_windows_; first < windows_; first += rows_windows_) {
      MINKE_TRY(score_reference(first, console));
      MINKE_TRY(score_others(first, console));
    }
    print(console);
    return {};
  }

 private:
  // A's windows from `first` on, as many as a round has room for. The first call learns what the
  // text is to A.
  Status score_reference(int64_t first, Console* console) {
    MINKE_ASSIGN(const auto engine, load_local_engine(engine_flags_, models_[0].path, console));
    if (first == 0) {
      ids_ = engine->text_prompt(text_, false);
      MINKE_TRY(check_two_windows(std::ssize(ids_), window_));
      windows_ = std::ssize(ids_) / window_;
      windows_ = std::min(windows_, windows_max_.value_or(windows_));
      vocabulary_ = engine->config().vocab_size;
      const int64_t window_bytes =
          window_rows() * vocabulary_ * static_cast<int64_t>(sizeof(float));
      rows_windows_ = std::clamp<int64_t>(kTemporaryBytesMax / window_bytes, 1, windows_);
      MINKE_ASSIGN(LogitRows rows, LogitRows::create(vocabulary_, rows_windows_ * window_rows()));
      rows_.emplace(std::move(rows));
    }
    return score(
        *engine, models_[0], first, console,
        [&](int64_t row, std::span<const float> logits) { return rows_->put(row, logits); });
  }

  Status score_others(int64_t first, Console* console) {
    for (size_t i = 1; i < models_.size(); ++i) {
      Compared& model = models_[i];
      MINKE_ASSIGN(const auto engine, load_local_engine(engine_flags_, model.path, console));
      if (engine->config().vocab_size != vocabulary_ || engine->text_prompt(text_, false) != ids_) {
        return misuse(
            fmt::format("{} and {} read the text as different tokens, and can only be compared "
                        "where they read the same",
                        printable(models_[0].name, 200), printable(model.name, 200)));
      }
      MINKE_TRY(score(*engine, model, first, console,
                      [&](int64_t row, std::span<const float> logits) -> Status {
                        MINKE_ASSIGN(const std::span<const float> reference, rows_->get(row));
                        model.divergence.add(reference, logits);
                        return {};
                      }));
    }
    return {};
  }

  // A round of windows with one model; `on_row` gets the logits of each scored token.
  Status score(LocalEngine& engine, Compared& model, int64_t first, Console* console,
               const std::function<Status(int64_t row, std::span<const float> logits)>& on_row) {
    const int64_t scored_from = window_ / 2 + 1;
    const int64_t last = std::min(windows_, first + rows_windows_);
    ProgressBar bar(console);
    for (int64_t w = first; w < last; ++w) {
      if (InterruptGuard::interrupted()) return fail(std::string(kInterrupted));
      Status status;
      const auto on_logits = [&](int64_t position, std::span<const float> logits) {
        if (status) status = on_row((w - first) * window_rows() + position - scored_from, logits);
      };
      MINKE_ASSIGN(const std::vector<TokenScore> scores,
                   engine.score(text_window(engine, ids_, window_, w),
                                {.first = scored_from, .on_logits = on_logits}));
      MINKE_TRY(status);
      for (const TokenScore& one : scores) model.perplexity.add(-one.logprob);
      bar.update("scoring " + printable(model.name, 40),
                 static_cast<double>(w + 1 - first) / static_cast<double>(last - first));
    }
    return {};
  }

  int64_t window_rows() const { return window_ - window_ / 2 - 1; }

  void print(Console* console) const {
    const Compared& reference = models_[0];
    if (json_) {
      using Json = nlohmann::ordered_json;
      Json all = Json::array();
      for (size_t i = 1; i < models_.size(); ++i) {
        const Compared& model = models_[i];
        all.push_back({{"path", model.path},
                       {"perplexity", model.perplexity.perplexity()},
                       {"kl_mean", model.divergence.mean()},
                       {"kl_stderr", model.divergence.standard_error()},
                       {"kl_p99", model.divergence.quantile(0.99)},
                       {"kl_max", model.divergence.quantile(1)},
                       {"top1_agreement", model.divergence.top1_agreement()}});
      }
      console->out(json_line(
          {{"tokens", reference.perplexity.count()},
           {"reference",
            {{"path", reference.path}, {"perplexity", reference.perplexity.perplexity()}}},
           {"models", std::move(all)}}));
      return;
    }
    console->out(fmt::format("{}: perplexity {:.4f} ± {:.4f} ({} tokens scored)\n",
                             printable(reference.name, 200), reference.perplexity.perplexity(),
                             reference.perplexity.standard_error(),
                             with_commas(reference.perplexity.count())));
    for (size_t i = 1; i < models_.size(); ++i) {
      const Compared& model = models_[i];
      console->out(
          fmt::format("{}: perplexity {:.4f} ± {:.4f}\n"
                      "  KL divergence {:.6f} ± {:.6f}, 99% below {:.6f}, largest {:.4f}\n"
                      "  same likeliest token {:.2f}%\n",
                      printable(model.name, 200), model.perplexity.perplexity(),
                      model.perplexity.standard_error(), model.divergence.mean(),
                      model.divergence.standard_error(), model.divergence.quantile(0.99),
                      model.divergence.quantile(1), 100.0 * model.divergence.top1_agreement()));
    }
  }

  std::optional<std::string> reference_, model_, file_;
  std::vector<std::string> more_;
  std::optional<int64_t> windows_max_;
  bool json_ = false;
  EngineFlags engine_flags_;

  std::vector<Compared> models_;  // A first
  std::string text_;
  std::vector<int32_t> ids_;
  int64_t window_ = 0, windows_ = 0, vocabulary_ = 0;
  int64_t rows_windows_ = 0;  // windows of a round
  std::optional<LogitRows> rows_;
};

}  // namespace

std::unique_ptr<Command> make_compare() { return std::make_unique<Compare>(); }

}  // namespace minke::cli
