// minke convert MODEL OUT: a folder of Hugging Face's as one GGUF file.
#include <fmt/format.h>

#include <filesystem>

#include "cli/command.h"
#include "cli/store_model.h"
#include "cli/text_util.h"

namespace minke::cli {

namespace {

class Convert : public Command {
 public:
  CommandText text() const override {
    return {
        .name = "convert",
        .summary = "Write a Hugging Face folder as one GGUF file",
        .description =
            "Reads config.json, tokenizer.json and the safetensors of a folder and writes a GGUF "
            "file of the same weights: F32, F16 and BF16 as they are, FP8 as BF16. minke runs "
            "such a folder without this; other programs want the file. minke quantize takes such "
            "a folder too.",
        .examples = {{"minke convert ~/models/DeepSeek-V2-Lite v2-lite.gguf", "one file of it"}}};
  }

  void declare(OptionList* options) override {
    options->positional("FOLDER", ValueKind::kFile, "The folder, with config.json", &folder_)
        .required = true;
    options->positional("OUT", ValueKind::kFile, "The file to write", &out_).required = true;
    options->flag("--force", "Write over a file that exists", &force_);
    options->flag("--json", "Print {\"path\", \"bytes\", \"parameters\", ...}", &json_);
  }

  Status run(Console* console) override {
    if (!std::filesystem::is_directory(*folder_)) {
      return fail(fmt::format("{} is no folder; expected one of Hugging Face's, with config.json",
                              printable(*folder_, 400)));
    }
    return store_model({.from = *folder_, .out = *out_, .force = force_, .json = json_}, console);
  }

 private:
  std::optional<std::string> folder_, out_;
  bool force_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_convert() { return std::make_unique<Convert>(); }

}  // namespace minke::cli
