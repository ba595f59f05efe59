// Moving registers between the warpgroups of a block (PTX ISA, "setmaxnreg"). All warps of a
// warpgroup do it together; it takes effect only in kernels with a bound on their threads.
#pragma once

namespace minke::ptx {

// Leaves this warpgroup `kCount` registers a thread and returns the others to the block.
template <int kCount>
__device__ inline void release_registers() {
  static_assert(kCount >= 24 && kCount <= 256 && kCount % 8 == 0);
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}

// Takes registers that others returned until this warpgroup has `kCount` a thread; waits for them.
template <int kCount>
__device__ inline void take_registers() {
  static_assert(kCount >= 24 && kCount <= 256 && kCount % 8 == 0);
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}

}  // namespace minke::ptx
