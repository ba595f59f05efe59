// Another program, run to its end: given its standard input, read, and bounded in time and output.
// Whatever it leaves in its process group is killed with it. Safe from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace minke {

// What the kernel holds a program to before it reads its first byte; 0: no bound.
struct ChildBounds {
  uint64_t memory_bytes_max = 0;  // of address space
  uint64_t cpu_seconds_max = 0;
  bool may_write_files = true;
};

struct ChildRequest {
  std::vector<std::string> command;      // the program, found on the PATH, and its arguments
  std::vector<std::string> environment;  // "NAME=value"; nothing else is handed on
  std::string_view input;                // its standard input
  int64_t time_ms_max = 10'000;
  size_t output_bytes_max = size_t{64} << 10;  // of each stream; the rest is read and dropped
  bool ends_when_full = false;                 // killed instead, as soon as it says more than that
  ChildBounds bounds;
  int descriptor = -1;  // it gets this open file as its number 3
};

struct ChildOutcome {
  int exit_status = -1;    // -1: ended by a signal
  int signal = 0;          // that ended it
  bool timed_out = false;  // and was killed
  bool is_full = false;    // it said more than the request's bound
  std::string output;
  std::string errors;
};

// Fails when the program cannot be started.
Result<ChildOutcome> run_child(const ChildRequest& request);

}  // namespace minke
