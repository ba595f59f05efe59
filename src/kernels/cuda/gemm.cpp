#include "kernels/cuda/gemm.h"

#include <cuda.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "core/check.h"

namespace minke {
namespace {

constexpr int64_t kInt32Max = std::numeric_limits<int32_t>::max();

CUtensorMapDataType map_type(int value_bytes) {
  if (value_bytes == 1) return CU_TENSOR_MAP_DATA_TYPE_UINT8;
  if (value_bytes == 2) return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
}

// Boxes of `box_rows` rows of 128 bytes, their 16-byte pieces exchanged as the tensor cores want
// them.
Result<cuda::TensorMap> make_map(CudaDevice& device, const std::byte* at, int64_t rows,
                                 int64_t row_values, int value_bytes, int box_rows) {
  const auto encode = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(
      device.driver_function("cuTensorMapEncodeTiled"));
  CHECK(encode != nullptr);  // the driver that open() asks for has it
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(row_values), static_cast<cuuint64_t>(rows)};
  const cuuint64_t pitch = static_cast<cuuint64_t>(row_values) * static_cast<unsigned>(value_bytes);
  const cuuint32_t box[] = {static_cast<cuuint32_t>(cuda::kGemmRowBytes / value_bytes),
                            static_cast<cuuint32_t>(box_rows)};
  const cuuint32_t every[] = {1, 1};
  CUtensorMap map;
  const CUresult code =
      encode(&map, map_type(value_bytes), 2, const_cast<std::byte*>(at), sizes, &pitch, box, every,
             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (code != CUDA_SUCCESS) {
    return fail(
        fmt::format("the driver refuses a map of a [{}, {}] matrix of {} bytes a value "
                    "(error {})",
                    rows, row_values, value_bytes, static_cast<int>(code)));
  }
  return std::bit_cast<cuda::TensorMap>(map);
}

int64_t tiles(int64_t size, int tile) { return (size + tile - 1) / tile; }

}  // namespace

Result<GemmPlan> GemmPlan::make(CudaDevice& device, const GemmKernel& kernel,
                                const GemmProblem& problem) {
  const cuda::GemmTile& tile = kernel.tile;
  CHECK(problem.m > 0 && problem.n > 0 && problem.k > 0);
  CHECK_LE(std::max({problem.m, problem.n, problem.k}), kInt32Max - 512);
  CHECK_EQ(problem.k * kernel.value_bytes % 16, 0);
  CHECK_EQ(problem.n * kernel.out_bytes % 16, 0);
  if (kernel.value_bytes == 1) {
    CHECK_EQ(problem.k % cuda::kScaleValues, 0);
    CHECK_GE(problem.a_scales_pitch, problem.m);
  }
  GemmPlan plan;
  cuda::GemmArguments& arguments = plan.arguments_;
  MINKE_ASSIGN(arguments.a, make_map(device, problem.a, problem.m, problem.k, kernel.value_bytes,
                                     tile.a_box_rows));
  MINKE_ASSIGN(arguments.b, make_map(device, problem.b, problem.n, problem.k, kernel.value_bytes,
                                     tile.b_box_rows));
  MINKE_ASSIGN(arguments.out, make_map(device, problem.out, problem.m, problem.n, kernel.out_bytes,
                                       cuda::kStoreRows));
  arguments.m = static_cast<int32_t>(problem.m);
  arguments.n = static_cast<int32_t>(problem.n);
  arguments.k = static_cast<int32_t>(problem.k);
  arguments.a_scales = problem.a_scales;
  arguments.a_scales_pitch = problem.a_scales_pitch;
  arguments.b_scales = problem.b_scales;

  const auto shared_bytes = static_cast<uint32_t>(tile.shared_bytes);
  const int64_t clusters = std::min<int64_t>(
      device.info().multiprocessors / cuda::kGemmCluster,
      tiles(problem.m, tile.cluster_rows) * tiles(problem.n, tile.cluster_columns));
  plan.kernel_ = device.kernel(kernel.name, shared_bytes);
  plan.launch_ = {.grid = {.x = static_cast<uint32_t>(clusters * cuda::kGemmCluster)},
                  .threads = cuda::kGemmThreads,
                  .shared_bytes = shared_bytes,
                  .cluster = cuda::kGemmCluster};
  return plan;
}

void GemmPlan::run(CudaDevice& device) const {
  void* const arguments[] = {const_cast<cuda::GemmArguments*>(&arguments_)};
  device.launch(kernel_, launch_, arguments);
}

}  // namespace minke
