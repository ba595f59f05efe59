// minke quantize IN OUT --type T: a model in another format.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/command.h"
#include "cli/model_flags.h"
#include "cli/store_model.h"

namespace minke::cli {

namespace {

class Quantize : public Command {
 public:
  CommandText text() const override {
    return {
        .name = "quantize",
        .summary = "Store a model in fewer bits",
        .description = fmt::format(
            "Reads a GGUF file or a Hugging Face folder and writes a GGUF file whose matrices "
            "are in another format. Memory stays small whatever the size of the model, and a "
            "run that was stopped goes on where it was when the same command is given again. "
            "An importance matrix (minke calibrate) makes the file better at the same size. "
            "Types: {}.",
            fmt::join(Recipe::names(), ", ")),
        .examples = {
            {"minke quantize model-f16.gguf model.gguf --type Q4_K_M", "the usual choice"},
            {"minke quantize ~/models/DeepSeek-R1 r1.gguf --type MOE_Q2_K --imatrix r1.imatrix",
             "experts low, all else high: 671 billion parameters in 232 GB"},
            {"minke quantize in.gguf out.gguf --type Q4_K_M --tensor 'blk.*.attn_v.weight=Q8_0'",
             "some tensors otherwise"}}};
  }

  void declare(OptionList* options) override {
    options->positional("IN", ValueKind::kModel, "A GGUF file or a Hugging Face folder", &in_)
        .required = true;
    options->positional("OUT", ValueKind::kFile, "The file to write", &out_).required = true;
    options->text("--type", "T", "What to store it in, one of those above", &type_).required = true;
    options->file("--imatrix", "An importance matrix, as minke calibrate writes it", &importance_);
    options->texts("--tensor", "PATTERN=T",
                   "Store the tensors whose names fit in another format; * stands for any "
                   "characters; may be repeated, and the first that fits counts",
                   &overrides_);
    options->flag("--pure", "Every matrix in the same format, the output matrix too", &pure_);
    options->flag("--dry-run", "Only print what each tensor would become", &dry_run_);
    options->integer("--threads", "Threads that encode", {1, 1024}, &threads_).default_text =
        "one a processor";
    options->flag("--force", "Write over a file that exists", &force_);
    options->flag("--json",
                  "Print {\"path\", \"bytes\", \"parameters\", \"bits_per_weight\", "
                  "\"bytes_by_type\", \"fallbacks\"}",
                  &json_);
  }

  Status run(Console* console) override {
    StoreRequest request = {.out = *out_,
                            .threads = static_cast<int>(threads_.value_or(0)),
                            .force = force_,
                            .json = json_,
                            .only_show = dry_run_};
    request.how.pure = pure_;
    MINKE_ASSIGN(request.how.recipe, Recipe::parse(*type_));
    for (const std::string& text : overrides_) {
      MINKE_ASSIGN(TensorOverride one, TensorOverride::parse(text));
      request.how.overrides.push_back(std::move(one));
    }
    MINKE_ASSIGN(request.from, model_path(in_));
    std::optional<ImportanceMatrix> importance;
    if (importance_) {
      MINKE_ASSIGN(importance, ImportanceMatrix::open(*importance_));
      request.how.importance = &*importance;
    }
    return store_model(request, console);
  }

 private:
  std::optional<std::string> in_, out_, type_, importance_;
  std::vector<std::string> overrides_;
  std::optional<int64_t> threads_;
  bool pure_ = false, dry_run_ = false, force_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_quantize() { return std::make_unique<Quantize>(); }

}  // namespace minke::cli
