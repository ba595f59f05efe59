// out = a b^T for E4M3 matrices with scales in blocks, as DeepSeek-V3 is trained and published: a
// has one fp32 scale for 128 values of a row, b one for 128 rows of 128 values (gemm_pipeline.cuh
// has the plan).
//
// The tensor cores' own sums of fp8 products keep some 14 bits. So they sum only the 128 values
// that share scales; each such part is then scaled and added to its total in fp32 by ordinary fused
// multiply-adds, while the other warpgroup's products keep the tensor cores busy: the two take
// strict turns in starting theirs (1 to 2% against leaving it to chance).
#include "kernels/cuda/gemm_pipeline.cuh"
#include "kernels/cuda/gemm_store.cuh"
#include "kernels/cuda/ptx/wgmma.h"

namespace minke::cuda {
namespace {

constexpr int kStepBytes = 32;                 // of a row, in one product: 32 values
static_assert(kGemmRowBytes == kScaleValues);  // a stage is what shares scales
// Named barriers: 1 and 2 are the warpgroups' own.
constexpr uint32_t kTurnBarrier = 3;  // and 4: whose turn it is to start products

// The scales of a thread's rows, for the 128 values of k at hand and, under way, for the next.
template <int kWaves>
class Scales {
 public:
  // row: of the thread's first; its others are 8, and 64 per wave, further down.
  __device__ Scales(const GemmArguments& a, int32_t row, int32_t column)
      : pitch_(a.a_scales_pitch) {
#pragma unroll
    for (int i = 0; i < 2 * kWaves; ++i) {
      a_[i] = a.a_scales + min(row + i / 2 * 64 + i % 2 * 8, a.m - 1);
    }
    b_ = a.b_scales + min(column, a.n - 1) / kScaleValues * (a.k / kScaleValues);
    fetch();
  }
  // Makes the scales of the next 128 values the ones at hand, and fetches those after them unless
  // these are the last.
  __device__ void advance(bool last) {
#pragma unroll
    for (int i = 0; i < 2 * kWaves; ++i) now_[i] = next_a_[i] * next_b_;
    if (!last) fetch();
  }
  // Of the thread's rows in wave `wave`: the first, and the one 8 further down.
  __device__ float first(int wave) const { return now_[2 * wave]; }
  __device__ float second(int wave) const { return now_[2 * wave + 1]; }

 private:
  __device__ void fetch() {
#pragma unroll
    for (int i = 0; i < 2 * kWaves; ++i) {
      next_a_[i] = *a_[i];
      a_[i] += pitch_;
    }
    next_b_ = *b_++;
  }
  const float* a_[2 * kWaves];
  const float* b_;
  int64_t pitch_;
  float now_[2 * kWaves];
  float next_a_[2 * kWaves];
  float next_b_;
};

// By the 128 threads of warpgroup `group`, which has kTile.rows / 2 rows of the tile: one wave
// for 64.
template <GemmTile kTile, typename Out>
__device__ inline void multiply_tiles(const GemmArguments& a, GemmShared<kTile>& shared,
                                      uint32_t rank, int group) {
  constexpr int kWaves = kTile.rows / kGemmConsumers / 64;
  constexpr int kCount = kTile.columns / 2;
  const TileOrder<kTile> order(a, rank);
  const int group_row = group * kWaves * 64;
  const int thread_row = group_row + static_cast<int>(threadIdx.x) % 128 / 32 * 16 +
                         static_cast<int>(threadIdx.x) % 32 / 4;
  const ptx::SharedMatrix all_a(shared.a[0] + group_row * kGemmRowBytes);
  const ptx::SharedMatrix all_b(shared.b[0]);
  float part[kCount] = {};
  StageCursor<kTile.stages> at;
  if (group == 1) ptx::named_arrive<256>(kTurnBarrier);
  for (int tile = order.first(); tile < order.count(); tile += order.step()) {
    const TileOrigin origin = order.origin(tile);
    Scales<kWaves> scales(a, origin.row + thread_row, origin.column);
    float total[kWaves][kCount] = {};
    for (int32_t k = 0; k < a.k; k += kScaleValues, at.advance()) {
      scales.advance(k + kScaleValues >= a.k);
      const ptx::SharedMatrix stage_a = all_a.after(at.stage * kTile.a_bytes);
      const ptx::SharedMatrix stage_b = all_b.after(at.stage * kTile.b_bytes);
      ptx::barrier_wait(&shared.full[at.stage], at.parity);
#pragma unroll
      for (int wave = 0; wave < kWaves; ++wave) {
        ptx::named_sync<256>(kTurnBarrier + group);
        ptx::wgmma_fence();
#pragma unroll
        for (int step = 0; step < kGemmRowBytes; step += kStepBytes) {
          ptx::wgmma_e4m3_n128(part, stage_a.after(wave * 64 * kGemmRowBytes + step),
                               stage_b.after(step), step > 0);
        }
        ptx::wgmma_commit();
        ptx::named_arrive<256>(kTurnBarrier + (group ^ 1));
        ptx::wgmma_wait<0>();
        ptx::wgmma_results(part);
        if (wave == kWaves - 1) free_stage(&shared.empty[at.stage]);
        const float first = scales.first(wave);
        const float second = scales.second(wave);
#pragma unroll
        for (int i = 0; i < kCount; i += 4) {
          total[wave][i] = fmaf(part[i], first, total[wave][i]);
          total[wave][i + 1] = fmaf(part[i + 1], first, total[wave][i + 1]);
          total[wave][i + 2] = fmaf(part[i + 2], second, total[wave][i + 2]);
          total[wave][i + 3] = fmaf(part[i + 3], second, total[wave][i + 3]);
        }
      }
    }
#pragma unroll
    for (int wave = 0; wave < kWaves; ++wave) {
      store_rows<Out>(total[wave], &a.out, origin.row + group_row + wave * 64, origin.column,
                      shared.out[group], 1 + group);
    }
  }
  if (threadIdx.x % 128 == 0) ptx::store_wait_read<0>();
}

}  // namespace

// Grid: clusters of 2, at most as many blocks as there are multiprocessors.
#define MINKE_GEMM_FP8(name, out)                                                              \
  extern "C" __global__ void __launch_bounds__(kGemmThreads, 1) __cluster_dims__(kGemmCluster) \
      name(const __grid_constant__ GemmArguments a) {                                          \
    run_gemm<kFp8Tile, kScaleValues>(a, multiply_tiles<kFp8Tile, out>);                        \
  }
MINKE_GEMM_FP8(gemm_fp8_to_f32, float)
MINKE_GEMM_FP8(gemm_fp8_to_bf16, uint16_t)

}  // namespace minke::cuda
