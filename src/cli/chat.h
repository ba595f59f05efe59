// A conversation in the terminal (or over lines of stdin), and the single answer of `minke run`.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/answer_view.h"
#include "cli/console.h"
#include "cli/model_flags.h"
#include "core/result.h"
#include "engine/local_engine.h"
#include "minke/engine.h"

namespace minke::cli {

// What run and chat share beyond EngineFlags and SamplingFlags.
struct ChatFlags {
  std::optional<std::string> system;
  std::optional<std::string> think;  // show, fold, off
  bool no_think = false;             // --think off
  std::optional<std::string> template_file;
  bool stats = false, verbose = false, json = false, no_history = false;

  void declare(OptionList* options);
  // Once they are read: --no-think is another word for --think off.
  Status settle();
};

// With a progress bar, and with the facts on stderr when verbose.
Result<std::shared_ptr<LocalEngine>> load_engine(EngineFlags flags, const ChatFlags& chat,
                                                 std::string path, Console* console);

// One answer, shown as it grows (or as JSON at the end). `raw`: no template.
struct OneAnswer {
  std::string prompt;
  bool raw = false;
  std::vector<Tool> tools = {};
};
// The tools that a file of JSON describes.
Result<std::vector<Tool>> read_tools(const std::string& path);
Status answer_once(LocalEngine& engine, const OneAnswer& what, const ChatFlags& flags,
                   const SamplingFlags& sampling, Console* console);

Status chat(LocalEngine& engine, const ChatFlags& flags, SamplingFlags sampling, Console* console);

// An answer as the JSON that docs/cli.md describes: one line.
std::string answer_json(const Answer& answer, const std::string& model);

}  // namespace minke::cli
