// What cuda_ops.cpp and cuda_ops_products.cpp share, and nobody else sees.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/panels.h"
#include "ops/cuda_ops.h"

namespace minke {

// Dynamic shared memory that a block of any of our kernels may have.
inline constexpr uint32_t kCudaSharedMax = 226 * 1024;

inline uint32_t cuda_blocks(int64_t count, int64_t each) {
  return static_cast<uint32_t>((count + each - 1) / each);
}
inline uint32_t unsigned_of(int64_t value) { return static_cast<uint32_t>(value); }
// A kernel's argument: where its value is.
template <typename T>
const void* argument(const T& value) {
  return static_cast<const void*>(&value);
}

struct CudaOps::Node {
  // What is still to be done before the values are there. Products are in put_off_.
  enum class Waits : uint8_t { kNothing, kSum, kRope };
  Waits waits = Waits::kNothing;
  Tensor a;
  Tensor b;
  const RopeSpec* rope = nullptr;
  const int32_t* positions = nullptr;

  Tensor tiles;  // the int8 form
  Tensor rest;
  // Of more than a few rows: the peaked ones.
  Tensor peaked_tiles;
  Tensor peaked_rows;  // count, then indices

  void settled() {
    waits = Waits::kNothing;
    a = {};
    b = {};
  }
};

struct CudaOps::Matrix final : PackedWeight {
  PanelFormat format = PanelFormat::kF32;
  int64_t panel_count = 0;
  int64_t panel_bytes = 0;
  Buffer data;
  size_t bytes() const override { return data.size(); }
};

struct CudaOps::RopeTable {
  int64_t positions = 0;
  Buffer cos;
  Buffer sin;
};

// A batch's integers, in one piece of memory: positions, the sequence of each row, the sequences,
// the rows whose logits are wanted, and all pages.
struct CudaOps::StepInputs {
  Buffer device;
  std::unique_ptr<PinnedBuffer> host;
  const Batch* batch = nullptr;  // whose integers these are, in this step
  cuda::BatchLayout layout;
  const int32_t* logit_rows = nullptr;
};

// Steps of one make-up. Its tensors come from a pool of its own, so that they lie at the same
// places every time.
struct CudaOps::Recorded {
  explicit Recorded(MemorySpace& space) : pool(space) {}
  StoragePool pool;
  Tensor embedded;  // [rows, dim], filled before the graph runs
  Tensor logits;
  const Weight* table = nullptr;
  std::unique_ptr<CudaGraph> graph;
  uint64_t last_used = 0;
};

}  // namespace minke
