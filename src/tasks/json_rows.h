// The rows of a data file: JSON objects, one a line, or one array of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "text/value.h"

namespace minke {

struct JsonRow {
  std::string where;  // "gsm8k_test.jsonl:17", for errors
  Value value;

  // A member that is a string. Fails with where it is missing.
  Result<std::string> text(std::string_view member) const;
  // The same of a string or a number, as text.
  Result<std::string> text_or_number(std::string_view member) const;
};

// Fails when the file cannot be read, is larger than 1 GiB, or a row is no JSON object; empty lines
// are none.
Result<std::vector<JsonRow>> read_json_rows(const std::string& path);

}  // namespace minke
