// Quantised products. Two shapes of the same sums, as on the processor:
//   few rows:  a block a panel of 16 outputs, its warps share out the groups of K; weights go from
//              memory to registers once, which is what bounds a decode step;
//   many rows: a block 128 outputs x 128 or 64 rows, groups of weights and of activations come to
//   shared
//              memory by the copy engine while the ones before them are multiplied.
// What a group adds to an output is a function of the group alone; the additions are made in the
// order of the groups. So both shapes, and the processor, give the same bits.
#include "kernels/cuda/arguments.h"
#include "kernels/cuda/products.cuh"
#include "kernels/cuda/ptx/grid.h"
#include "kernels/cuda/ptx/memory.h"
#include "kernels/cuda/quantise.cuh"

namespace minke::cuda {
namespace {

struct PanelPlace {
  const MatrixShare* matrix;
  int panel;
};

// Panels of all matrices of a launch are numbered through.
__device__ PanelPlace panel_at(const LinearArguments& a, int index) {
  int m = 0;
  while (m + 1 < a.matrix_count && index >= a.matrices[m].panel_count) {
    index -= a.matrices[m].panel_count;
    ++m;
  }
  return {&a.matrices[m], index};
}

__device__ int runs_of(int64_t dim, int64_t group) {
  return static_cast<int>(min(dim - group * kGroupValues, int64_t{kGroupValues}) / kRunValues);
}

// Where group g of a panel begins: all groups before it are full.
template <typename F>
__device__ const std::byte* group_at(const std::byte* panel, int64_t groups, int64_t g) {
  return panel + header_bytes_of<F>(groups) + g * group_bytes_of<F>(8);
}

__device__ void prefetch_to_l2(const std::byte* from, int64_t bytes) {
  for (int64_t at = threadIdx.x * 128; at < bytes; at += blockDim.x * 128) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(from + at));
  }
}

// What of the rows is wanted: all of them with the leftovers of peaked rows added, or only the
// leftovers that list_peaked has gathered, added to what is there.
struct FewTask {
  const QuantTile* tiles;
  int tiles_per_group;
  const QuantTile* rest;  // or nothing
  int64_t rows;
};

constexpr int kTileOutputs = kTileRows * 16;
// Of one group and tile: what it adds to each output of each row, then the rows' steps.
constexpr int kTileSums = kTileOutputs + kTileRows;

template <typename F, int NT>
__device__ void few_chunk(const std::byte* panel, int64_t groups, int64_t g, int64_t dim,
                          const FewTask& task, int64_t first_tile, const auto& rest_rows_now,
                          float* sums) {
  const auto [o, j] = this_lane();
  const std::byte* group = group_at<F>(panel, groups, g);
  const int runs = runs_of(dim, g);
  const int64_t index = g * task.tiles_per_group + first_tile;
  const int64_t last =
      task.tiles_per_group - 1 - first_tile;  // tiles beyond are the last one again
  const auto put = [&, o = o, j = j](float* to, const float(&t)[4]) {
    to[2 * j * 16 + o] = t[0];
    to[(2 * j + 1) * 16 + o] = t[1];
    to[2 * j * 16 + o + 8] = t[2];
    to[(2 * j + 1) * 16 + o + 8] = t[3];
  };
  const auto tile = [&](int n) -> const QuantTile& {
    return task.tiles[index + min(int64_t{n}, last)];
  };
  const auto put_step = [&](float* to, const QuantTile& x) {
    if (threadIdx.x % 32 < kTileRows)
      to[kTileOutputs + threadIdx.x % 32] = x.step[threadIdx.x % 32];
  };
#pragma unroll
  for (int n = 0; n < NT; ++n) put_step(sums + n * kTileSums, tile(n));
  group_products<F, NT>(panel, group, g, runs, tile,
                        [&](int n, const float(&t)[4]) { put(sums + n * kTileSums, t); });
  const uint32_t rest_rows = rest_rows_now();
  for (int n = 0; n < NT; ++n) {
    if ((rest_rows >> 8 * n & 255u) == 0) continue;
    float* to = sums + (NT + n) * kTileSums;
    put_step(to, task.rest[index + n]);
    group_products<F, 1>(
        panel, group, g, runs, [&](int) -> const QuantTile& { return task.rest[index + n]; },
        [&](int, const float(&t)[4]) { put(to, t); });
  }
}

// All rows of one panel. `add_to`: rows by list, added to the output instead of stored.
template <typename F, int NT>
__device__ void few_panel(const MatrixShare& matrix, int panel_index, int64_t dim,
                          const FewTask& task, const float* x, const int32_t* add_to,
                          float* shared) {
  const std::byte* panel = matrix.panels + panel_index * matrix.panel_bytes;
  const int64_t groups = (dim + kGroupValues - 1) / kGroupValues;
  const int warps = static_cast<int>(blockDim.x / 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  constexpr int kSums = 2 * NT * kTileSums;  // of one group: the rows, then their leftovers
  // A thread adds up one output of one row.
  constexpr int kItems = NT * kTileOutputs;
  const int item = static_cast<int>(threadIdx.x);
  const int n = item / kTileOutputs;
  const int in_tile = item % kTileOutputs / 16;
  for (int64_t first_tile = 0; first_tile * kTileRows < task.rows; first_tile += NT) {
    // Bit 8 n + r: row r of tile n is peaked. Found out behind the first products, whose loads
    // hide those that it takes.
    uint32_t rest_rows = 0;
    bool known = task.rest == nullptr;
    const auto rest_rows_now = [&] {
      if (known) return rest_rows;
      known = true;
      for (int t = 0; t < NT && (first_tile + t) * kTileRows < task.rows; ++t) {
        const QuantRows in = {const_cast<QuantTile*>(task.tiles), nullptr, task.tiles_per_group};
        rest_rows |= peaked_rows(in, groups, first_tile + t, x, task.rows, dim) << 8 * t;
      }
      return rest_rows;
    };
    float acc = 0.0F;
    float rest_acc = 0.0F;
    for (int64_t chunk = 0; chunk * warps < groups; ++chunk) {
      // Two sets of sums, so that one is added up while the next is made.
      float* sums = shared + (chunk % 2) * warps * kSums;
      const int64_t mine = chunk * warps + warp;
      if (mine < groups) {
        few_chunk<F, NT>(panel, groups, mine, dim, task, first_tile, rest_rows_now,
                         sums + warp * kSums);
      }
      __syncthreads();
      const int here = static_cast<int>(min(groups - chunk * warps, int64_t{warps}));
      rest_rows_now();  // a warp may have had no group
      if (item >= kItems) continue;
      const bool peaked = (rest_rows >> item / 16 & 1u) != 0;
      const float* t = sums + n * kTileSums + item % kTileOutputs;
      const float* step = sums + n * kTileSums + kTileOutputs + in_tile;
#pragma unroll 8
      for (int i = 0; i < here; ++i) acc = fmaf(t[i * kSums], step[i * kSums], acc);
      if (!peaked) continue;
      for (int i = 0; i < here; ++i) {
        rest_acc = fmaf(t[i * kSums + NT * kTileSums], step[i * kSums + NT * kTileSums], rest_acc);
      }
    }
    const int64_t row = (first_tile + n) * kTileRows + in_tile;
    const int64_t out = static_cast<int64_t>(panel_index) * 16 + item % 16;
    if (item < kItems && row < task.rows && out < matrix.out_dim) {
      if (add_to != nullptr) {
        matrix.out[add_to[row] * matrix.out_dim + out] += acc;
      } else {
        float y = matrix.bias != nullptr ? acc + matrix.bias[out] : acc;
        if ((rest_rows >> item / 16 & 1u) != 0) y += rest_acc;
        matrix.out[row * matrix.out_dim + out] = y;
      }
    }
    __syncthreads();  // before the next tiles' sums overwrite these
  }
}

template <typename F, int NT>
__device__ void few_rows(const LinearArguments& a) {
  extern __shared__ float shared[];
  const PanelPlace place = panel_at(a, static_cast<int>(blockIdx.x));
  prefetch_to_l2(place.matrix->panels + place.panel * place.matrix->panel_bytes,
                 min(place.matrix->panel_bytes, int64_t{48} << 10));
  ptx::wait_for_previous_grid();
  ptx::let_next_grid_start();
  const FewTask task = {a.quant.tiles, a.quant.tiles_per_group, a.quant.rest, a.rows};
  few_panel<F, NT>(*place.matrix, place.panel, a.dim, task, a.x, nullptr, shared);
}

// The leftovers of peaked rows, gathered by list_peaked, added to what is there.
template <typename F>
__device__ void rest_rows(const LinearArguments& a, const int32_t* count, const int32_t* rows) {
  extern __shared__ float shared[];
  ptx::wait_for_previous_grid();
  ptx::let_next_grid_start();
  const PanelPlace place = panel_at(a, static_cast<int>(blockIdx.x));
  const FewTask task = {a.quant.tiles, a.quant.tiles_per_group, nullptr, *count};
  few_panel<F, 1>(*place.matrix, place.panel, a.dim, task, a.x, rows, shared);
}

constexpr int kBlockPanels = 8;

// A ring of stages in shared memory: tiles of activations, then a group of each panel.
struct Ring {
  std::byte* stages;
  uint64_t* full;  // [stages]
  int stage_bytes;
  int stages_count;
};

template <typename F, int kWarpTiles>
__device__ void fetch_group(const LinearArguments& a, const MatrixShare& matrix, int first_panel,
                            int64_t first_tile, int64_t groups, int64_t g, const Ring& ring) {
  constexpr int kBlockTiles = 2 * kWarpTiles;
  const int stage = static_cast<int>(g % ring.stages_count);
  std::byte* to = ring.stages + stage * ring.stage_bytes;
  const int tiles =
      static_cast<int>(min(int64_t{kBlockTiles}, a.quant.tiles_per_group - first_tile));
  const int panels = min(kBlockPanels, matrix.panel_count - first_panel);
  const auto tile_bytes = static_cast<uint32_t>(tiles * sizeof(QuantTile));
  const auto bytes = static_cast<uint32_t>(group_bytes_of<F>(runs_of(a.dim, g)));
  ptx::barrier_arrive_expect(&ring.full[stage], tile_bytes + panels * bytes);
  ptx::copy_bulk(to, a.quant.tiles + g * a.quant.tiles_per_group + first_tile, tile_bytes,
                 &ring.full[stage]);
  for (int p = 0; p < panels; ++p) {
    const std::byte* panel = matrix.panels + (first_panel + p) * matrix.panel_bytes;
    ptx::copy_bulk(to + kBlockTiles * sizeof(QuantTile) + p * group_bytes_of<F>(8),
                   group_at<F>(panel, groups, g), bytes, &ring.full[stage]);
  }
}

template <typename F, int kWarpTiles>
__device__ void many_rows(const LinearArguments& a, const MatrixShare& matrix, int first_panel,
                          int64_t first_tile, const Ring& ring) {
  constexpr int kBlockTiles = 2 * kWarpTiles;
  const auto [o, j] = this_lane();
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int my_panel = warp % kBlockPanels;
  const int my_tile = warp / kBlockPanels * kWarpTiles;
  const int64_t groups = (a.dim + kGroupValues - 1) / kGroupValues;
  const bool works = first_panel + my_panel < matrix.panel_count;
  const std::byte* panel = matrix.panels + (first_panel + my_panel) * matrix.panel_bytes;
  if (threadIdx.x == 0) {
    for (int64_t g = 0; g < min(groups, int64_t{ring.stages_count}); ++g) {
      fetch_group<F, kWarpTiles>(a, matrix, first_panel, first_tile, groups, g, ring);
    }
  }
  float acc[kWarpTiles][4] = {};
  for (int64_t g = 0; g < groups; ++g) {
    const int stage = static_cast<int>(g % ring.stages_count);
    ptx::barrier_wait(&ring.full[stage], static_cast<uint32_t>(g / ring.stages_count % 2));
    const std::byte* at = ring.stages + stage * ring.stage_bytes;
    const auto* tiles = reinterpret_cast<const QuantTile*>(at) + my_tile;
    if (works) {
      group_products<F, kWarpTiles>(
          panel, at + kBlockTiles * sizeof(QuantTile) + my_panel * group_bytes_of<F>(8), g,
          runs_of(a.dim, g), [&](int n) -> const QuantTile& { return tiles[n]; },
          [&, j = j](int n, const float(&t)[4]) {
            const float step0 = tiles[n].step[2 * j];
            const float step1 = tiles[n].step[2 * j + 1];
            acc[n][0] = fmaf(t[0], step0, acc[n][0]);
            acc[n][1] = fmaf(t[1], step1, acc[n][1]);
            acc[n][2] = fmaf(t[2], step0, acc[n][2]);
            acc[n][3] = fmaf(t[3], step1, acc[n][3]);
          });
    }
    __syncthreads();
    if (threadIdx.x == 0 && g + ring.stages_count < groups) {
      fetch_group<F, kWarpTiles>(a, matrix, first_panel, first_tile, groups, g + ring.stages_count,
                                 ring);
    }
  }
  if (!works) return;
#pragma unroll
  for (int n = 0; n < kWarpTiles; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t row = (first_tile + my_tile + n) * kTileRows + 2 * j + i % 2;
      const int64_t out = static_cast<int64_t>(first_panel + my_panel) * 16 + o + i / 2 * 8;
      if (row >= a.rows || out >= matrix.out_dim) continue;
      matrix.out[row * matrix.out_dim + out] =
          matrix.bias != nullptr ? acc[n][i] + matrix.bias[out] : acc[n][i];
    }
  }
}

template <typename F, int kWarpTiles>
__device__ void many_block(const LinearArguments& a, int stage_bytes, int stages) {
  extern __shared__ __align__(128) std::byte many_shared[];
  __shared__ uint64_t full[4];
  if (threadIdx.x == 0) {
    for (int s = 0; s < stages; ++s) ptx::barrier_init(&full[s], 1);
    ptx::barrier_init_fence();
  }
  __syncthreads();
  ptx::wait_for_previous_grid();
  ptx::let_next_grid_start();
  int index = static_cast<int>(blockIdx.x);
  int m = 0;
  const auto blocks = [&](int i) {
    return (a.matrices[i].panel_count + kBlockPanels - 1) / kBlockPanels;
  };
  while (m + 1 < a.matrix_count && index >= blocks(m)) index -= blocks(m++);
  const Ring ring = {many_shared, full, stage_bytes, stages};
  many_rows<F, kWarpTiles>(a, a.matrices[m], index * kBlockPanels,
                           static_cast<int64_t>(blockIdx.y) * 2 * kWarpTiles, ring);
}

}  // namespace

// For each format, matrices of which share a launch:
//   linear_few_N: up to 8 N rows. Grid: a block a panel. Shared memory: warps x 2 sets x 2 N x 136
//     floats; at least 4 N warps.
//   linear_rest: likewise, N = 1; the leftovers that list_peaked has gathered, added to what
//     linear_many has stored.
//   linear_many: grid: (blocks of 8 panels of all matrices, blocks of 128 rows), 512 threads.
//   Blocks
//     of panels are numbered through: a matrix has ceil(panels / 8).
//   linear_half: likewise with blocks of 64 rows, where there would be too few blocks.
#define MINKE_LINEAR(name)                                                                         \
  extern "C" __global__ void __launch_bounds__(512, 2)                                             \
      linear_few_1_##name(const __grid_constant__ LinearArguments a) {                             \
    few_rows<name<true>, 1>(a);                                                                    \
  }                                                                                                \
  extern "C" __global__ void __launch_bounds__(512)                                                \
      linear_few_2_##name(const __grid_constant__ LinearArguments a) {                             \
    few_rows<name<true>, 2>(a);                                                                    \
  }                                                                                                \
  extern "C" __global__ void __launch_bounds__(512)                                                \
      linear_few_4_##name(const __grid_constant__ LinearArguments a) {                             \
    few_rows<name<true>, 4>(a);                                                                    \
  }                                                                                                \
  extern "C" __global__ void __launch_bounds__(512) linear_rest_##name(                            \
      const __grid_constant__ LinearArguments a, const int32_t* count, const int32_t* rows) {      \
    rest_rows<name<true>>(a, count, rows);                                                         \
  }                                                                                                \
  extern "C" __global__ void __launch_bounds__(512)                                                \
      linear_many_##name(const __grid_constant__ LinearArguments a, int stage_bytes, int stages) { \
    many_block<name<false>, 8>(a, stage_bytes, stages);                                            \
  }                                                                                                \
  extern "C" __global__ void __launch_bounds__(512)                                                \
      linear_half_##name(const __grid_constant__ LinearArguments a, int stage_bytes, int stages) { \
    many_block<name<false>, 4>(a, stage_bytes, stages);                                            \
  }

MINKE_LINEAR(Q4_0)
MINKE_LINEAR(Q4_1)
MINKE_LINEAR(Q5_0)
MINKE_LINEAR(Q8_0)
MINKE_LINEAR(Run8)
MINKE_LINEAR(Q4_K)
MINKE_LINEAR(Q5_K)
MINKE_LINEAR(Q6_K)
MINKE_LINEAR(Super8)

// Peaked rows of a tensor: their number, their indices ascending, and their leftovers side by side
// in `gathered`. One block of 1,024 threads.
extern "C" __global__ void __launch_bounds__(1024)
    list_peaked(const QuantiseArguments a, QuantRows gathered, int32_t* count, int32_t* list,
                uint8_t* masks) {
  __shared__ int32_t before[32];
  __shared__ int32_t total;
  ptx::wait_for_previous_grid();
  ptx::let_next_grid_start();
  const int64_t tiles = (a.rows + kTileRows - 1) / kTileRows;
  const int64_t groups = (a.dim + kGroupValues - 1) / kGroupValues;
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (int64_t tile = warp; tile < tiles; tile += 32) {
    const uint32_t mask = peaked_rows(a.quant, groups, tile, a.x, a.rows, a.dim);
    if (lane == 0) masks[tile] = static_cast<uint8_t>(mask);
  }
  if (threadIdx.x == 0) total = 0;
  __syncthreads();
  for (int64_t first = 0; first < tiles; first += 1024) {
    const int64_t tile = first + threadIdx.x;
    const uint32_t mask = tile < tiles ? masks[tile] : 0u;
    const int32_t mine = __popc(mask);
    int32_t through = mine;  // sum over this warp's tiles up to mine
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      const int32_t other = __shfl_up_sync(~0u, through, step);
      if (lane >= step) through += other;
    }
    if (lane == 31) before[warp] = through;
    __syncthreads();
    int32_t at = total + through - mine;
    for (int w = 0; w < warp; ++w) at += before[w];
    for (int row = 0; row < kTileRows; ++row) {
      if ((mask >> row & 1u) != 0) list[at++] = static_cast<int32_t>(tile * kTileRows + row);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      for (int w = 0; w < 32; ++w) total += before[w];
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) *count = total;
  // A warp a row and group: the row's part of its tile, in words.
  for (int64_t work = warp; work < total * groups; work += 32) {
    const int64_t i = work / groups;
    const int64_t g = work % groups;
    const int row = list[i] % kTileRows;
    const QuantTile& from = a.quant.rest[g * a.quant.tiles_per_group + list[i] / kTileRows];
    QuantTile& to = gathered.tiles[g * gathered.tiles_per_group + i / kTileRows];
    const int to_row = static_cast<int>(i % kTileRows);
    *reinterpret_cast<uint2*>(&to.q[lane / 4][to_row][lane % 4 * 8]) =
        *reinterpret_cast<const uint2*>(&from.q[lane / 4][row][lane % 4 * 8]);
    if (lane < 16) {
      to.neg_sum16[lane][to_row] = from.neg_sum16[lane][row];
      to.min_low[to_row][lane] = from.min_low[row][lane];
      to.min_high[to_row][lane] = from.min_high[row][lane];
    }
    if (lane < 8) to.shift[lane][to_row] = from.shift[lane][row];
    if (lane == 0) to.step[to_row] = from.step[row];
  }
}

// --- fp32, fp16 and bf16 weights: one chain of fused multiply-adds an output, K ascending
// ---------

namespace {

constexpr int kFloatRows = 8;
constexpr int kFloatDepth = 128;  // values of K in shared memory at a time

}  // namespace

// Grid: (outputs of all matrices / 128, rows / 8), 128 threads.
extern "C" __global__ void __launch_bounds__(128)
    linear_float(const __grid_constant__ LinearArguments a) {
  __shared__ float x[kFloatRows][kFloatDepth];
  ptx::wait_for_previous_grid();
  ptx::let_next_grid_start();
  int index = static_cast<int>(blockIdx.x);
  int m = 0;
  const auto blocks = [&](int i) { return static_cast<int>((a.matrices[i].out_dim + 127) / 128); };
  while (m + 1 < a.matrix_count && index >= blocks(m)) index -= blocks(m++);
  const MatrixShare& matrix = a.matrices[m];
  const auto format = static_cast<PanelFormat>(matrix.format);
  const int64_t out = static_cast<int64_t>(index) * 128 + threadIdx.x;
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kFloatRows;
  const std::byte* panel = matrix.panels + out / 16 * matrix.panel_bytes;
  const int lane = static_cast<int>(out % 16);
  float acc[kFloatRows] = {};
  for (int64_t begin = 0; begin < a.dim; begin += kFloatDepth) {
    __syncthreads();
#pragma unroll
    for (int r = 0; r < kFloatRows; ++r) {
      const int64_t k = begin + threadIdx.x;
      float value = 0.0F;
      if (k < a.dim && first_row + r < a.rows) value = a.x[(first_row + r) * a.dim + k];
      x[r][threadIdx.x] = format == PanelFormat::kBF16 ? rounded_to_bf16(value) : value;
    }
    __syncthreads();
    if (out >= matrix.out_dim) continue;
    const int depth = static_cast<int>(min(a.dim - begin, int64_t{kFloatDepth}));
    if (format == PanelFormat::kBF16) {
      for (int k = 0; k < depth; k += 2) {  // an odd end is padded with zeros
        const uint32_t pair =
            *reinterpret_cast<const uint32_t*>(panel + ((begin + k) / 2 * 16 + lane) * 4);
#pragma unroll
        for (int r = 0; r < kFloatRows; ++r) {
          acc[r] = add_pair(acc[r], bf16_low(pair), x[r][k], bf16_high(pair), x[r][k + 1]);
        }
      }
      continue;
    }
#pragma unroll 4
    for (int k = 0; k < depth; ++k) {
      const int64_t at = (begin + k) * 16 + lane;
      const float w = format == PanelFormat::kF32
                          ? reinterpret_cast<const float*>(panel)[at]
                          : half_bits_to_float(reinterpret_cast<const unsigned short*>(panel)[at]);
#pragma unroll
      for (int r = 0; r < kFloatRows; ++r) acc[r] = fmaf(w, x[r][k], acc[r]);
    }
  }
  if (out >= matrix.out_dim) return;
  for (int r = 0; r < kFloatRows && first_row + r < a.rows; ++r) {
    const int64_t at = (first_row + r) * matrix.out_dim + out;
    matrix.out[at] = matrix.bias != nullptr ? acc[r] + matrix.bias[out] : acc[r];
  }
}

}  // namespace minke::cuda
