// What the matrix products of kernels/cuda/gemm_*.cu have in common. A block is one warpgroup that
// loads and two that multiply, one block a multiprocessor, in clusters of two. It stays until all
// tiles are done:
//
//   the loader    waits until a stage is free in both blocks, then has the copy engine fill it with
//                 128 bytes of k of the tile's rows of a and b
//   a multiplier  waits until a stage is full, multiplies, and frees it in both blocks
//
// and the loader runs ahead, into the next tile while the results of the last are on their way out.
// The sums run over k in ascending order, whatever the tile: a row's bits depend on nothing else.
#pragma once

#include "kernels/cuda/gemm_tile.h"
#include "kernels/cuda/ptx/barrier.h"
#include "kernels/cuda/ptx/grid.h"
#include "kernels/cuda/ptx/memory.h"
#include "kernels/cuda/ptx/registers.h"
#include "kernels/cuda/ptx/tma.h"

namespace minke::cuda {

// Registers a thread: 128 x (40 + 2 x 232) is all that a multiprocessor has for 384 threads.
inline constexpr int kLoaderRegisters = 40;
inline constexpr int kMultiplierRegisters = 232;

// Where things lie in shared memory, aligned to 1,024 bytes.
template <GemmTile kTile>
struct GemmShared {
  std::byte a[kTile.stages][kTile.a_bytes];
  std::byte b[kTile.stages][kTile.b_bytes];
  std::byte out[kGemmConsumers][2][kStoreBytes];
  uint64_t full[kTile.stages];
  uint64_t empty[kTile.stages];
};

// Which stage is next, and the parity of its barriers' phase.
template <int kStages>
struct StageCursor {
  int stage = 0;
  uint32_t parity = 0;
  __device__ void advance() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

struct TileOrigin {
  int32_t row;
  int32_t column;
};

// The tiles that a cluster computes, one after the other: those of kBand rows of tiles down and
// then across, so that the tiles under way at one time share their operands in the L2 cache.
template <GemmTile kTile>
class TileOrder {
 public:
  __device__ TileOrder(const GemmArguments& a, uint32_t rank)
      : rows_((a.m + kTile.cluster_rows - 1) / kTile.cluster_rows),
        columns_((a.n + kTile.cluster_columns - 1) / kTile.cluster_columns),
        rank_(static_cast<int>(rank)) {}
  __device__ int first() const { return static_cast<int>(blockIdx.x) / kGemmCluster; }
  __device__ int step() const { return static_cast<int>(gridDim.x) / kGemmCluster; }
  __device__ int count() const { return rows_ * columns_; }
  // Of the tile of this block.
  __device__ TileOrigin origin(int tile) const {
    const int band = tile / (kBand * columns_);
    const int height = min(kBand, rows_ - band * kBand);
    const int within = tile - band * kBand * columns_;
    const int row = band * kBand + within % height;
    const int column = within / height;
    return {row * kTile.cluster_rows + (kTile.shares_a ? 0 : rank_ * kTile.rows),
            column * kTile.cluster_columns + (kTile.shares_a ? rank_ * kTile.columns : 0)};
  }

 private:
  static constexpr int kBand = 8;
  int rows_;
  int columns_;
  int rank_;
};

template <GemmTile kTile>
__device__ inline void init_barriers(GemmShared<kTile>& shared) {
  for (int i = 0; i < kTile.stages; ++i) {
    ptx::barrier_init(&shared.full[i], 1);
    ptx::barrier_init(&shared.empty[i], kGemmCluster * kGemmConsumers * 4);  // each warp
  }
  ptx::barrier_init_fence();
}

// By one thread of the block. kValues: of k in a stage.
template <GemmTile kTile, int kValues>
__device__ inline void load_tiles(const GemmArguments& a, GemmShared<kTile>& shared,
                                  uint32_t rank) {
  constexpr uint16_t kBoth = (1 << kGemmCluster) - 1;
  const TileOrder<kTile> order(a, rank);
  StageCursor<kTile.stages> at;
  for (int tile = order.first(); tile < order.count(); tile += order.step()) {
    const TileOrigin origin = order.origin(tile);
    for (int32_t k = 0; k < a.k; k += kValues, at.advance()) {
      ptx::barrier_wait(&shared.empty[at.stage], at.parity ^ 1);
      uint64_t* full = &shared.full[at.stage];
      ptx::barrier_arrive_expect(full, kTile.stage_bytes);
      std::byte* to_a = shared.a[at.stage];
      std::byte* to_b = shared.b[at.stage];
      if constexpr (kTile.shares_a) {
        const int skip = static_cast<int>(rank) * kTile.a_box_rows;
        ptx::load_box_multicast(to_a + skip * kGemmRowBytes, &a.a, origin.row + skip, k, full,
                                kBoth);
        ptx::load_box(to_b, &a.b, origin.column, k, full);
      } else {
        const int skip = static_cast<int>(rank) * kTile.b_box_rows;
        ptx::load_box(to_a, &a.a, origin.row, k, full);
        ptx::load_box_multicast(to_b + skip * kGemmRowBytes, &a.b, origin.column + skip, k, full,
                                kBoth);
      }
    }
  }
}

// Frees a stage in both blocks: by each warp, once its products have read it.
__device__ inline void free_stage(uint64_t* empty) {
  const uint32_t lane = threadIdx.x % 32;
  if (lane < kGemmCluster) ptx::barrier_arrive_at(empty, lane);
}

// The frame of a block. kValues: of k in a stage; multiply(a, shared, rank, group): what warpgroup
// `group` of the two that multiply does.
template <GemmTile kTile, int kValues, typename Multiply>
__device__ inline void run_gemm(const GemmArguments& a, Multiply multiply) {
  static_assert(sizeof(GemmShared<kTile>) == kTile.shared_bytes);
  extern __shared__ __align__(1024) std::byte memory[];
  auto& shared = *reinterpret_cast<GemmShared<kTile>*>(memory);
  const int warpgroup = __shfl_sync(~0U, static_cast<int>(threadIdx.x) / 128, 0);
  const uint32_t rank = ptx::rank_in_cluster();
  if (threadIdx.x == 0) {
    ptx::prefetch_map(&a.a);
    ptx::prefetch_map(&a.b);
    ptx::prefetch_map(&a.out);
    init_barriers<kTile>(shared);
  }
  ptx::cluster_sync();
  ptx::wait_for_previous_grid();
  ptx::let_next_grid_start();
  if (warpgroup == 0) {
    ptx::release_registers<kLoaderRegisters>();
    if (threadIdx.x == 0) load_tiles<kTile, kValues>(a, shared, rank);
  } else {
    ptx::take_registers<kMultiplierRegisters>();
    multiply(a, shared, rank, warpgroup - 1);
  }
  __syncwarp();
  // The other block may still arrive at this one's barriers.
  ptx::cluster_sync();
}

}  // namespace minke::cuda
