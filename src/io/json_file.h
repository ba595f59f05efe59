// JSON files of model folders. Hostile: size and nesting are bounded, and faults name the file.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/result.h"

namespace minke {

// Fails when the file is missing, larger than `bytes_max`, or no JSON object.
Result<nlohmann::json> read_json_object(const std::string& path, size_t bytes_max = 128U << 20);
// The same of text that came from `name`.
Result<nlohmann::json> parse_json_object(std::string_view text, const std::string& name);

}  // namespace minke
