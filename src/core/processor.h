// The few things that the core asks of a processor by its own instructions: processor_x86.cpp,
// processor_arm.cpp, or processor_other.cpp, which does without. Any thread, about itself.
#pragma once

#include <cstdint>

namespace minke {

// In a loop that waits for another thread.
void pause_briefly();

// The register that says how this thread rounds and what it takes denormals for.
uint64_t float_control();
void set_float_control(uint64_t control);
// The same register's value with denormals as zero, as inputs and as results.
uint64_t with_denormals_as_zero(uint64_t control);

}  // namespace minke
