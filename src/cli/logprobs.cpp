// minke logprobs MODEL --file F: how likely the model finds each token of a text.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/json_text.h"
#include "cli/prompt.h"
#include "cli/scoring.h"
#include "cli/text_util.h"

namespace minke::cli {

namespace {

class Logprobs : public Command {
 public:
  CommandText text() const override {
    return {.name = "logprobs",
            .summary = "Print the log-probability of each token of a text",
            .description =
                "Reads a text as it stands (no chat template; a beginning-of-sequence token where "
                "the model wants one) and prints the natural logarithm of each token's probability "
                "given those before it, with the likeliest tokens there.",
            .examples = {{"minke logprobs model.gguf --file text.txt --top 20 --json",
                          "for programs, with every bit"},
                         {"echo 'The cat sat' | minke logprobs model.gguf", "a table"}}};
  }

  void declare(OptionList* options) override {
    options->positional("MODEL", ValueKind::kModel, kModelWords, &model_).default_text =
        kDefaultModelWords;
    options->file("--file", "The text; - is stdin", &file_).default_text = "stdin";
    options
        ->integer("--top", "How many of the likeliest tokens to print at each place",
                  {0, 1'000'000}, &top_)
        .default_text = "5";
    options->flag("--special", "Read special tokens such as <|im_start|> in the text as such",
                  &special_);
    options->flag("--json",
                  "Print {\"ids\": [...], \"logprobs\": [null, ...], \"top\": [null, [[id, "
                  "logprob], ...], ...]}",
                  &json_);
    engine_flags_.declare_for_reading(options);
  }

  Status run(Console* console) override {
    MINKE_ASSIGN(std::string path, model_path(model_));
    MINKE_ASSIGN(const std::string text, input_text(file_));
    MINKE_ASSIGN(const auto engine, load_local_engine(engine_flags_, std::move(path), console));
    const std::vector<int32_t> ids = engine->text_prompt(text, special_);
    std::vector<TokenScore> scores;
    if (ids.size() > 1) {
      MINKE_ASSIGN(
          scores,
          engine->score(ids, {.first = 1, .top = top_.value_or(5), .name = input_name(file_)}));
    }
    if (json_) {
      console->out(json_line(as_json(ids, scores)));
    } else {
      print_table(*engine, ids, scores, console);
    }
    return {};
  }

 private:
  static nlohmann::ordered_json as_json(const std::vector<int32_t>& ids,
                                        const std::vector<TokenScore>& scores) {
    using Json = nlohmann::ordered_json;
    // The first token has nothing before it.
    Json logprobs = Json::array({nullptr});
    Json top = Json::array({nullptr});
    for (const TokenScore& score : scores) {
      logprobs.push_back(score.logprob);
      Json here = Json::array();
      for (const TokenLogprob& one : score.top) {
        here.push_back(Json::array({one.token, one.logprob}));
      }
      top.push_back(std::move(here));
    }
    return {{"ids", ids}, {"logprobs", std::move(logprobs)}, {"top", std::move(top)}};
  }

  static void print_table(const LocalEngine& engine, const std::vector<int32_t>& ids,
                          const std::vector<TokenScore>& scores, Console* console) {
    const auto quoted = [&](int32_t id) {
      return fmt::format("'{}'", printable(engine.detokenize({id}), 24));
    };
    const Style& style = console->out_style();
    const auto cell = [](const std::string& text, int width) {
      const int gap = width - text_width(text);
      return text + std::string(static_cast<size_t>(gap > 0 ? gap : 0), ' ');
    };
    console->out(fmt::format("{}{:>6}  {:>7}  {:<20} {:>9}  likeliest{}\n", style.dim, "at", "id",
                             "token", "logprob", style.reset));
    console->out(fmt::format("{:>6}  {:>7}  {}\n", 0, ids[0], quoted(ids[0])));
    double sum = 0;
    for (size_t i = 0; i < scores.size(); ++i) {
      const TokenScore& score = scores[i];
      sum += score.logprob;
      std::string top;
      for (const TokenLogprob& one : score.top) {
        top += fmt::format("  {} {:.3f}", quoted(one.token), one.logprob);
      }
      console->out(fmt::format("{:>6}  {:>7}  {} {:>9.4f}{}{}{}\n", i + 1, score.token,
                               cell(quoted(score.token), 20), score.logprob, style.dim, top,
                               style.reset));
    }
    if (!scores.empty()) {
      console->out(fmt::format("{} tokens scored, mean log-probability {:.4f}\n",
                               with_commas(static_cast<int64_t>(scores.size())),
                               sum / static_cast<double>(scores.size())));
    }
  }

  std::optional<std::string> model_, file_;
  std::optional<int64_t> top_;
  bool special_ = false, json_ = false;
  EngineFlags engine_flags_;
};

}  // namespace

std::unique_ptr<Command> make_logprobs() { return std::make_unique<Logprobs>(); }

}  // namespace minke::cli
