// Stores a model in other formats, as a stream: slices of rows are read, encoded on all threads and
// written, so that memory stays at some hundred MB whatever the size of the model. The bytes depend
// on the input and the plan alone, not on threads, slices or interruptions.
//
// They go to OUT.partial, and OUT.partial.state says how many of them are safely on the disk and
// what they were made of. A run that was stopped, or killed, goes on from there when input and plan
// are the same, and begins anew when they are not. OUT has its name once it is whole. A file called
// OUT.partial that no run has left is nobody's to write over: the run is refused.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/result.h"
#include "core/thread_pool.h"
#include "quantize/plan.h"

namespace minke {

struct QuantizeProgress {
  uint64_t done = 0;     // bytes of the new file
  uint64_t resumed = 0;  // of them, those of an earlier run
  uint64_t total = 0;
};

enum class QuantizeEnd : uint8_t { kFinished, kStopped };

// Misuse when one of the files that are written on the way to `out` is one that is read, under
// whatever name. Of a folder these are the files of the kinds that Hugging Face's have.
Status check_output_names(const GgufFile& from, const ImportanceMatrix* importance,
                          const std::string& out);

// `progress` is called on the calling thread; false stops the work at once, and leaves what there
// is for the next run. `importance` as in the plan. A fault of the input leaves nothing behind,
// unless some of the work was safe on the disk: that stays, and the message says so. Fails as
// check_output_names does, too.
Result<QuantizeEnd> quantize(const GgufFile& from, const QuantizePlan& plan,
                             const ImportanceMatrix* importance, const std::string& out,
                             ThreadPool& threads,
                             const std::function<bool(const QuantizeProgress&)>& progress);

}  // namespace minke
