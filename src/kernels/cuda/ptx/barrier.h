// Barriers beyond those of one block's copies, which are in ptx/memory.h: between the blocks of a
// cluster, and among some of a block's warps.
#pragma once

#include <cstdint>

#include "kernels/cuda/ptx/memory.h"

namespace minke::ptx {

// This block's place in its cluster (PTX ISA, "Special Registers: %cluster_ctarank").
__device__ inline uint32_t rank_in_cluster() {
  uint32_t rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

// All threads of the cluster ("barrier.cluster"): what they wrote before can be seen after.
__device__ inline void cluster_sync() {
  asm volatile(
      "barrier.cluster.arrive.release;\n"
      "barrier.cluster.wait.acquire;" ::
          : "memory");
}

// Arrives at the barrier that lies at the same place in the block of this rank ("mapa",
// "mbarrier.arrive"). It orders no ordinary accesses of this thread for the other block: it is for
// saying that copies or products have ended, and a release would wait for the whole GPU's memory.
__device__ inline void barrier_arrive_at(uint64_t* barrier, uint32_t rank) {
  asm volatile(
      "{\n"
      ".reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.relaxed.cluster.shared::cluster.b64 _, [remote];\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(rank)
      : "memory");
}

// Until kThreads threads of the block have come to this barrier or arrived at it ("bar").
// Barrier 0 is __syncthreads().
template <int kThreads>
__device__ inline void named_sync(uint32_t barrier) {
  static_assert(kThreads > 0 && kThreads <= 1024 && kThreads % 32 == 0);
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "n"(kThreads) : "memory");
}
// Counts as having come, without waiting.
template <int kThreads>
__device__ inline void named_arrive(uint32_t barrier) {
  static_assert(kThreads > 0 && kThreads <= 1024 && kThreads % 32 == 0);
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "n"(kThreads) : "memory");
}

}  // namespace minke::ptx
