// What the copy engine must know of a matrix: made by the driver on the host (gemm.cpp), followed
// by kernels (ptx/tma.h). Seen by host and device code (C++20).
#pragma once

#include <cstdint>

namespace minke::cuda {

struct alignas(64) TensorMap {
  uint64_t words[16] = {};
};

}  // namespace minke::cuda
