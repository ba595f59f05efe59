// Order between grids of one stream (PTX ISA, "griddepcontrol").
#pragma once

namespace minke::ptx {

// Waits until the grids before this one are complete and what they wrote can be seen. Without the
// launch attribute it does nothing.
__device__ inline void wait_for_previous_grid() {
  asm volatile("griddepcontrol.wait;" ::: "memory");
}

// Lets the next grid start, as far as it can before it waits for this one.
__device__ inline void let_next_grid_start() {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

}  // namespace minke::ptx
