// out = a b^T for bf16 matrices with sums in fp32 (gemm_pipeline.cuh has the plan). A block's tile
// is 128 x 256: each warpgroup multiplies 64 rows of a by all 256 of b, so that what a product
// reads from shared memory (10 KiB in 128 cycles) and what the copy engine writes there leave both
// some air.
#include "kernels/cuda/arithmetic.cuh"
#include "kernels/cuda/gemm_pipeline.cuh"
#include "kernels/cuda/gemm_store.cuh"
#include "kernels/cuda/ptx/wgmma.h"

namespace minke::cuda {
namespace {

constexpr GemmTile kTile = kBf16Tile;
constexpr int kStageValues = kGemmRowBytes / 2;  // of k
constexpr int kStepBytes = 32;                   // of a row, in one product: 16 values

// By the 128 threads of warpgroup `group`.
template <typename Out>
__device__ inline void multiply_tiles(const GemmArguments& a, GemmShared<kTile>& shared,
                                      uint32_t rank, int group) {
  const TileOrder<kTile> order(a, rank);
  const ptx::SharedMatrix all_a(shared.a[0] + group * 64 * kGemmRowBytes);
  const ptx::SharedMatrix all_b(shared.b[0]);
  float sum[kTile.columns / 2] = {};
  StageCursor<kTile.stages> at;
  for (int tile = order.first(); tile < order.count(); tile += order.step()) {
    int under_way = -1;  // the stage that the products before these may still read
    for (int32_t k = 0; k < a.k; k += kStageValues, at.advance()) {
      const ptx::SharedMatrix stage_a = all_a.after(at.stage * kTile.a_bytes);
      const ptx::SharedMatrix stage_b = all_b.after(at.stage * kTile.b_bytes);
      ptx::barrier_wait(&shared.full[at.stage], at.parity);
      ptx::wgmma_fence();
#pragma unroll
      for (int step = 0; step < kGemmRowBytes; step += kStepBytes) {
        ptx::wgmma_bf16_n256(sum, stage_a.after(step), stage_b.after(step), k + step > 0);
      }
      ptx::wgmma_commit();
      ptx::wgmma_wait<1>();
      if (under_way >= 0) free_stage(&shared.empty[under_way]);
      under_way = at.stage;
    }
    ptx::wgmma_wait<0>();
    ptx::wgmma_results(sum);
    free_stage(&shared.empty[under_way]);
    const TileOrigin origin = order.origin(tile);
    store_rows<Out>(sum, &a.out, origin.row + group * 64, origin.column, shared.out[group],
                    1 + group);
  }
  if (threadIdx.x % 128 == 0) ptx::store_wait_read<0>();
}

}  // namespace

// Grid: clusters of 2, at most as many blocks as there are multiprocessors.
extern "C" __global__ void __launch_bounds__(kGemmThreads, 1) __cluster_dims__(kGemmCluster)
    gemm_bf16_to_bf16(const __grid_constant__ GemmArguments a) {
  run_gemm<kTile, kStageValues>(a, multiply_tiles<uint16_t>);
}

extern "C" __global__ void __launch_bounds__(kGemmThreads, 1) __cluster_dims__(kGemmCluster)
    gemm_bf16_to_f32(const __grid_constant__ GemmArguments a) {
  run_gemm<kTile, kStageValues>(a, multiply_tiles<float>);
}

}  // namespace minke::cuda
