// Copies of boxes of a matrix by the copy engine (PTX ISA, "cp.async.bulk.tensor"). A box outside
// of the matrix reads as zero and is not written. Each is started by one thread.
#pragma once

#include <cstdint>

#include "kernels/cuda/ptx/memory.h"
#include "kernels/cuda/tensor_map.h"

namespace minke::ptx {

// Fetches the map itself ("prefetch").
__device__ inline void prefetch_map(const cuda::TensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

// The box that starts at (row, column), into this block's shared memory; its bytes count towards
// `barrier`.
__device__ inline void load_box(void* to, const cuda::TensorMap* map, int32_t row, int32_t column,
                                uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3}], [%4];" ::"r"(shared_address(to)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier))
      : "memory");
}

// The same into the shared memory of each block of the cluster whose rank's bit is set in `ranks`,
// at the same place; its bytes count towards the same barrier of each.
__device__ inline void load_box_multicast(void* to, const cuda::TensorMap* map, int32_t row,
                                          int32_t column, uint64_t* barrier, uint16_t ranks) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(shared_address(to)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier)), "h"(ranks)
      : "memory");
}

// From shared memory to the box that starts at (row, column).
__device__ inline void store_box(const cuda::TensorMap* map, int32_t row, int32_t column,
                                 const void* from) {
  asm volatile(
      "cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%1, %2}], [%3];" ::"l"(map),
      "r"(column), "r"(row), "r"(shared_address(from))
      : "memory");
}
// Closes a group of this thread's stores ("cp.async.bulk.commit_group").
__device__ inline void store_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
// Until all but kPending of this thread's groups have been read from shared memory
// ("cp.async.bulk.wait_group").
template <int kPending>
__device__ inline void store_wait_read() {
  static_assert(kPending >= 0);
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kPending) : "memory");
}

// Makes this thread's ordinary writes to shared memory visible to the copy engine and the tensor
// cores ("fence.proxy.async").
__device__ inline void fence_shared_writes() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

}  // namespace minke::ptx
