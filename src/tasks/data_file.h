// Where the files of public data sets are.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"

namespace minke {

// The path of `file` ("math/gsm8k_test.jsonl") of the data set `name` ("gsm8k"): in the folder that
// MINKE_DATA names. Fails with the command that fetches the set.
Result<std::string> data_file(std::string_view name, std::string_view file);

}  // namespace minke
