// Collects an importance matrix: runs a model over a text and measures what its matrices multiply.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "core/result.h"
#include "io/gguf.h"
#include "quantize/importance.h"

namespace minke {

struct CalibrateOptions {
  int64_t window_tokens = 512;
  int64_t windows_max = 0;  // 0: the whole text
  int threads = 0;
  uint64_t memory_bytes = 0;  // 0: what is free
};

struct Calibration {
  std::map<std::string, InputSums> sums;
  int64_t windows = 0;
  // Matrices of stacks that saw no token: experts that nothing was sent to.
  int64_t unseen = 0;
};

// The text is cut into windows as `minke perplexity` does it; what is left over is not used. The
// inputs of the output matrix are those of every eighth token. Experts of a GGUF file that do not
// fit in memory are read from it as they are needed. `progress` hears what is going on and how much
// of it is done; false stops it, with an error.
Result<Calibration> calibrate(
    const GgufFile& file, std::string_view text, const CalibrateOptions& options,
    const std::function<bool(std::string_view what, double done)>& progress);

}  // namespace minke
