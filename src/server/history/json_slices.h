// A large JSON document taken apart without reading it into memory a second time: the elements of
// an array, or the members of an object, as slices of its text. Only brackets and quotes are looked
// at; whoever reads a slice (parse_json) finds out whether it is JSON. Hostile text: depth, counts
// and sizes are bounded. Slices live as long as the text. Pure functions, any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace minke::history {

struct JsonSliceLimits {
  int depth_max = 100;
  size_t slices_max = 100'000;
};

struct JsonSlice {
  std::string key;        // of a member; empty in arrays
  std::string_view text;  // the value
  size_t values = 0;      // about as many values as it has, for bounding what reading it takes
};

// The parts of the array or object that is the whole of `text`.
Result<std::vector<JsonSlice>> json_slices(std::string_view text,
                                           const JsonSliceLimits& limits = {});

}  // namespace minke::history
