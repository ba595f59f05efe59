// What the system lets this process have of the machine's memory and processors, the limits of
// control groups included: of version 1 and 2, at every level above the process. Plain functions,
// safe from any thread. `root` stands before /proc and /sys (for tests).
#pragma once

#include <cstdint>
#include <string>

namespace minke {

// Bytes that this process may still take without swapping: what the system calls available, or less
// where a control group leaves less. The largest int64_t when the system does not tell.
int64_t available_memory_bytes(const std::string& root = "");

// How many processors' time the control groups allow, rounded up; 0 when they set no limit.
int cgroup_processors(const std::string& root = "");

}  // namespace minke
