// Products of matrices on the GPU's tensor cores: out = a b^T, rows of all three one after the
// other, sums in fp32. A row's bits depend on the row of a and on b alone: not on m, and not on
// which of the kernels for its format computes it.
//
// A plan is made once for a problem's shape and addresses and may be run any number of times, by
// the thread that owns the device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/result.h"
#include "kernels/cuda/driver.h"
#include "kernels/cuda/gemm_tile.h"

namespace minke {

struct GemmProblem {
  const std::byte* a = nullptr;  // [m, k]
  const std::byte* b = nullptr;  // [n, k]
  std::byte* out = nullptr;      // [m, n]
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  // For fp8: one for 128 values of a row of a, and one for 128 rows of 128 values of b.
  const float* a_scales = nullptr;  // [k / 128, a_scales_pitch], m of each row in use
  int64_t a_scales_pitch = 0;
  const float* b_scales = nullptr;  // [ceil(n / 128), k / 128]
};

struct GemmKernel {
  const char* name = nullptr;  // as the image exports it
  cuda::GemmTile tile;
  int value_bytes = 0;  // of a and b: 2 is bf16, 1 is E4M3 with scales
  int out_bytes = 0;    // 4 is fp32, 2 is bf16
};
inline constexpr GemmKernel kGemmBf16ToBf16{"gemm_bf16_to_bf16", cuda::kBf16Tile, 2, 2};
inline constexpr GemmKernel kGemmBf16ToF32{"gemm_bf16_to_f32", cuda::kBf16Tile, 2, 4};
inline constexpr GemmKernel kGemmFp8ToBf16{"gemm_fp8_to_bf16", cuda::kFp8Tile, 1, 2};
inline constexpr GemmKernel kGemmFp8ToF32{"gemm_fp8_to_f32", cuda::kFp8Tile, 1, 4};

class GemmPlan {
 public:
  // Rows of a, b and out begin at multiples of 16 bytes, and k of fp8 is a multiple of 128.
  static Result<GemmPlan> make(CudaDevice& device, const GemmKernel& kernel,
                               const GemmProblem& problem);
  void run(CudaDevice& device) const;

 private:
  cuda::GemmArguments arguments_;
  CudaKernel kernel_;
  CudaLaunch launch_;
};

}  // namespace minke
