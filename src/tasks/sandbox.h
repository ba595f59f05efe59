// Runs Python that nobody has looked at, in a sandbox of bubblewrap's: no network, a file system
// that is /usr and nothing else, read-only but for a small /tmp of its own, one process (threads,
// but no children: the kernel refuses them), bounded time, memory, file sizes and output, and none
// of what the kernel offers to programs that manage others. There is no way to run it outside of
// one. Safe from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.h"

namespace minke {

struct SandboxLimits {
  int64_t time_ms = 10'000;
  uint64_t memory_bytes = uint64_t{1} << 30;  // address space
  uint64_t files_bytes = uint64_t{16} << 20;  // all that lies in /tmp
  size_t output_bytes = size_t{64} << 10;
};

struct SandboxOutcome {
  bool succeeded = false;  // the program ran to its end
  bool timed_out = false;
  std::string output;
  std::string errors;
};

// Whether programs can be run here; else why not, and what helps. Looks once.
Status sandbox_ready();

// Runs the program and then says whether it came to its end: an exit() on the way, with whatever
// status, is no success.
Result<SandboxOutcome> run_python(std::string_view program, const SandboxLimits& limits = {});

}  // namespace minke
