// Files that verbs write.
#pragma once

#include <string>

#include "core/result.h"

namespace minke::cli {

// Misuse when `path` is empty; fails when it is a folder or a device, or when it exists and `force`
// is not given.
Status check_output_file(const std::string& path, bool force);

}  // namespace minke::cli
