// Where a run stands in its data: what a checkpoint keeps so that it goes on with the very next
// example.
#pragma once

#include <cstdint>

namespace minke {

struct DataPosition {
  int64_t epoch = 0;
  int64_t example = 0;  // in the epoch's order, from 0: the next to be used
  int64_t token = 0;    // of that example: where its next piece begins, if it was cut
  bool operator==(const DataPosition&) const = default;
};

}  // namespace minke
