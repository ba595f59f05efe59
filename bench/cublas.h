// NVIDIA's own matrix products, as the measure of ours: libcublas.so.13 and libcublasLt.so.13 are
// loaded where the machine has them. Nothing of minke but this benchmark calls them.
#pragma once

#include <memory>

#include "core/result.h"
#include "kernels/cuda/driver.h"
#include "kernels/cuda/gemm.h"

namespace minke::bench {

class Cublas {
 public:
  virtual ~Cublas() = default;
  // Says what is missing.
  static Result<std::unique_ptr<Cublas>> load(CudaDevice& device);
  // One product of the problem; bf16 out for fp8.
  virtual Status multiply(const GemmKernel& kernel, const GemmProblem& problem) = 0;
  // Seconds between two points of the stream that multiply() uses, which the device's own marks
  // do not see.
  virtual void mark(int which) = 0;
  virtual Result<double> seconds_between_marks() = 0;
};

}  // namespace minke::bench
