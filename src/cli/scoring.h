// What logprobs, perplexity and bench share: the text that is read, and the engine with its inner
// doors.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cli/console.h"
#include "cli/model_flags.h"
#include "core/result.h"
#include "engine/local_engine.h"

namespace minke::cli {

// The file (a pipe may be one), or stdin where none is named or it is called "-". UTF-8 and not
// empty.
Result<std::string> input_text(const std::optional<std::string>& file);

// With a progress bar.
Result<std::shared_ptr<LocalEngine>> load_local_engine(const EngineFlags& flags, std::string path,
                                                       Console* console);

}  // namespace minke::cli
