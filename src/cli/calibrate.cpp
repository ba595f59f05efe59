// minke calibrate MODEL TEXT -o FILE: an importance matrix for minke quantize.
#include "quantize/calibrate.h"

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/json_text.h"
#include "cli/model_flags.h"
#include "cli/output_file.h"
#include "cli/prompt.h"
#include "cli/scoring.h"
#include "cli/text_util.h"
#include "models/hf_folder.h"

namespace minke::cli {

namespace {

class Calibrate : public Command {
 public:
  CommandText text() const override {
    return {.name = "calibrate",
            .summary = "Measure which weights matter, for minke quantize",
            .description =
                "Runs a model over a text and writes an importance matrix: for each matrix of the "
                "model the mean square of each of its inputs, for experts expert by expert. minke "
                "quantize --imatrix spends its bits by it. Take a text like those that the model "
                "will meet, of some ten thousand tokens or more. The file is llama.cpp's.",
            .examples = {{"minke calibrate model-f16.gguf text.txt -o model.imatrix.gguf",
                          "then minke quantize model-f16.gguf model.gguf --type Q3_K_M --imatrix "
                          "model.imatrix.gguf"}}};
  }

  void declare(OptionList* options) override {
    options
        ->positional("MODEL", ValueKind::kModel, "The model; its largest file that fits in memory",
                     &model_)
        .required = true;
    options->positional("TEXT", ValueKind::kFile, "The text; - is stdin", &file_).required = true;
    options->file("-o", "The file to write", &out_).required = true;
    options->integer("--ctx", "Tokens of a window", {16, 1 << 14}, &window_).default_text = "512";
    options
        ->integer("--windows", "Use only the first N windows", {1, int64_t{1} << 40}, &windows_max_)
        .default_text = "all";
    options->integer("--threads", "Threads that compute", {1, 1024}, &threads_).default_text =
        "one a processor";
    options
        ->size("--memory", "Budget; experts that do not fit stay in the file",
               {uint64_t{1} << 20, uint64_t{1} << 50}, &memory_)
        .default_text = "what is free";
    options->flag("--force", "Write over a file that exists", &force_);
    options->flag("--json", "Print {\"path\", \"windows\", \"matrices\", \"unseen\"}", &json_);
  }

  Status run(Console* console) override {
    MINKE_TRY(check_output_file(*out_, force_));
    MINKE_ASSIGN(const std::string path, model_path(model_));
    MINKE_ASSIGN(const std::string text, input_text(file_));
    MINKE_ASSIGN(const GgufFile file, open_checkpoint(path));
    const CalibrateOptions options = {.window_tokens = window_.value_or(512),
                                      .windows_max = windows_max_.value_or(0),
                                      .threads = static_cast<int>(threads_.value_or(0)),
                                      .memory_bytes = memory_.value_or(0)};
    const InterruptGuard guard;
    ProgressBar bar(console);
    Result<Calibration> measured = calibrate(file, text, options, [&](auto what, double done) {
      bar.update(what, done);
      return !InterruptGuard::interrupted();
    });
    bar.finish();
    if (InterruptGuard::interrupted()) return fail(std::string(kInterrupted));
    if (!measured) return std::unexpected(std::move(measured).error());
    MINKE_TRY(write_importance(*out_, measured->sums,
                               {.dataset = input_name(file_),
                                .windows = measured->windows,
                                .window_tokens = options.window_tokens}));
    if (measured->unseen > 0) {
      console->note(
          fmt::format("({} matrices of experts saw no token of this text, and are stored "
                      "as without a measure; a longer or more varied text helps)\n",
                      with_commas(measured->unseen)));
    }
    if (json_) {
      console->out(json_line({{"path", *out_},
                              {"windows", measured->windows},
                              {"matrices", measured->sums.size()},
                              {"unseen", measured->unseen}}));
    } else {
      console->out(fmt::format("{}: {} matrices, {} windows of {} tokens\n", printable(*out_, 400),
                               with_commas(static_cast<int64_t>(measured->sums.size())),
                               with_commas(measured->windows), with_commas(options.window_tokens)));
    }
    return {};
  }

 private:
  std::optional<std::string> model_, file_, out_;
  std::optional<int64_t> window_, windows_max_, threads_;
  std::optional<uint64_t> memory_;
  bool force_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_calibrate() { return std::make_unique<Calibrate>(); }

}  // namespace minke::cli
