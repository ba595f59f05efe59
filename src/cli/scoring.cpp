#include "cli/scoring.h"

#include <fmt/format.h>

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
  ProgressBar bar(console);
  options.progress = [&bar](std::string_view what, double fraction) { bar.update(what, fraction); };
  Result<std::shared_ptr<LocalEngine>> engine = LocalEngine::load(std::move(options));
  bar.finish();
  if (engine) {
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
