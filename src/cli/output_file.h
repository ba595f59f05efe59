// Files that verbs write.
#pragma once

#include <functional>
#include <string>

#include "cli/console.h"
#include "core/result.h"

namespace minke::cli {

// Misuse when `path` is empty; fails when it is a folder or a device, or when it exists and `force`
// is not given.
Status check_output_file(const std::string& path, bool force);

// Has `write` write a model to `path`, with a bar and until Ctrl-C, and says what came of it.
Status write_model(const std::string& path, bool json, Console* console,
                   const std::function<Status(const std::function<bool(double)>& progress)>& write);

}  // namespace minke::cli
