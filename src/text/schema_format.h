// The formats of strings that JSON Schema names, as regular expressions (grammar_regex.h) for what
// is written: a part of what the standards allow, and nothing that they do not.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace minke {

// nullopt: not one of schema_format_names().
std::optional<std::string> schema_format_pattern(std::string_view name);
// "date, time, ...".
std::string schema_format_names();

}  // namespace minke
