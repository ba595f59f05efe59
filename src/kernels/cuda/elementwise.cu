// Norms, the gated unit, sums and rotary positions. Each kernel that makes the input of a product
// leaves its int8 form beside it.
#include "kernels/cuda/arguments.h"
#include "kernels/cuda/arithmetic.cuh"
#include "kernels/cuda/ptx/grid.h"
#include "kernels/cuda/quantise.cuh"

namespace minke::cuda {
namespace {

// One pair of a head turned by its row's angle.
__device__ void turn(const RopeArguments& a, int64_t row, int head, int pair, float& y0, float& y1,
                     int64_t& at0, int64_t& at1) {
  const int64_t start = (row * a.heads + head) * a.head_dim;
  at0 = a.adjacent ? start + 2 * pair : start + pair;
  at1 = a.adjacent ? at0 + 1 : start + a.pairs + pair;
  const int64_t angle = static_cast<int64_t>(a.positions[row]) * a.pairs + pair;
  const float cos = a.cos[angle];
  const float sin = a.sin[angle];
  const float x0 = a.x[at0];
  const float x1 = a.x[at1];
  y0 = fmaf(x0, cos, -(x1 * sin));
  y1 = fmaf(x0, sin, x1 * cos);
}

// Sum of 16 lanes as the contract halves them; valid in lane 0 of each 16.
__device__ float halved(float lane_sum) {
#pragma unroll
  for (int width = 8; width >= 1; width /= 2) {
    lane_sum += __shfl_down_sync(0xffffu, lane_sum, width, 16);
  }
  return lane_sum;
}

// Element d of a head's K and V to their places in a page (kernels/kv_page.h).
__device__ uint16_t* key_place(uint16_t* page, int token, int d) {
  return page + (d / 2 * 64 + token) * 2 + d % 2;
}
__device__ uint16_t* value_place(uint16_t* page, int head_dim, int token, int d) {
  return page + head_dim * 64 + (token / 2 * head_dim + d) * 2 + token % 2;
}

}  // namespace

namespace {

// Each thread holds kEach values from the start, so that the row is one wait for memory.
template <int kEach>
__device__ void norm_row(const NormArguments& a) {
  extern __shared__ float values[];
  __shared__ float scale;
  const int64_t row = blockIdx.x;
  float w[kEach];
  float x[kEach];
  // Weights do not wait for the kernel before.
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const int64_t i = threadIdx.x + static_cast<int64_t>(e) * blockDim.x;
    w[e] = i < a.dim ? a.w[i] : 0.0F;
  }
  ptx::wait_for_previous_grid();
  ptx::let_next_grid_start();
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const int64_t i = threadIdx.x + static_cast<int64_t>(e) * blockDim.x;
    x[e] = i < a.dim ? a.a[row * a.dim + i] : 0.0F;
    if (a.b != nullptr && i < a.dim) x[e] += a.b[row * a.dim + i];
  }
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const int64_t i = threadIdx.x + static_cast<int64_t>(e) * blockDim.x;
    if (i >= a.dim) continue;
    if (a.b != nullptr) a.sum[row * a.dim + i] = x[e];
    values[i] = x[e];
  }
  __syncthreads();
  if (threadIdx.x < 16) {
    float sum = 0.0F;
#pragma unroll 16
    for (int i = static_cast<int>(threadIdx.x); i < a.dim; i += 16) {
      sum = fmaf(values[i], values[i], sum);
    }
    sum = halved(sum);
    if (threadIdx.x == 0) {
      const float mean = sum / static_cast<float>(a.dim);
      scale = 1.0F / sqrtf(mean + a.epsilon);
    }
  }
  __syncthreads();
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const int64_t i = threadIdx.x + static_cast<int64_t>(e) * blockDim.x;
    if (i >= a.dim) continue;
    const float y = x[e] * scale * w[e];
    values[i] = y;
    a.out[row * a.dim + i] = y;
  }
  if (a.quant.tiles == nullptr) return;
  __syncthreads();
  const int64_t groups = (a.dim + kGroupValues - 1) / kGroupValues;
  for (int64_t g = threadIdx.x / 32; g < groups; g += blockDim.x / 32) {
    quantise_group_at(values, a.dim, a.quant, g, row);
  }
}

// A tile's rows by the warps of a block, one group: make(row, x) gives a lane its 8 values of a
// row. The tile is put together in shared memory and stored in whole lines.
template <typename Make>
__device__ void quantise_tile(const QuantRows& quant, int64_t rows, Make make) {
  __shared__ QuantTile tiles[2];
  const int in_tile = static_cast<int>(threadIdx.x / 32);
  const int64_t group = blockIdx.x;
  const int64_t row = static_cast<int64_t>(blockIdx.y) * kTileRows + in_tile;
  if (row < rows) {
    float x[8];
    make(row, group * kGroupValues + threadIdx.x % 32 * 8, x);
    quantise_group(x, {&tiles[0], &tiles[1], 1}, 0, in_tile);
  }
  __syncthreads();
  constexpr int kLines = sizeof(QuantTile) / sizeof(uint4);
  const int64_t index = group * quant.tiles_per_group + blockIdx.y;
  for (int i = static_cast<int>(threadIdx.x); i < 2 * kLines; i += static_cast<int>(blockDim.x)) {
    QuantTile* to = i < kLines ? quant.tiles + index : quant.rest + index;
    reinterpret_cast<uint4*>(to)[i % kLines] =
        reinterpret_cast<const uint4*>(&tiles[i / kLines])[i % kLines];
  }
}

__device__ void gated(const SwigluArguments& a, int64_t row, int64_t in_row, float (&y)[8]) {
  float gate[8];
  float up[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const bool inside = in_row + i < a.dim;
    gate[i] = inside ? a.gate[row * a.dim + in_row + i] : 0.0F;
    up[i] = inside ? a.up[row * a.dim + in_row + i] : 0.0F;
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    y[i] = silu_exact(gate[i]) * up[i];
    if (in_row + i < a.dim) a.out[row * a.dim + in_row + i] = y[i];
  }
}

}  // namespace

// A block a row; dynamic shared memory: dim floats. 4: up to 2,048 values, 512 threads; 16: up to
// 16,384 values, 1,024 threads.
extern "C" __global__ void __launch_bounds__(512) norm_rows_4(const NormArguments a) {
  norm_row<4>(a);
}
extern "C" __global__ void __launch_bounds__(1024) norm_rows_16(const NormArguments a) {
  norm_row<16>(a);
}

// A warp a group; grid: (groups / 4, rows), 128 threads.
extern "C" __global__ void swiglu_rows(const SwigluArguments a) {
  ptx::wait_for_previous_grid();
  ptx::let_next_grid_start();
  const int64_t group = blockIdx.x * 4 + threadIdx.x / 32;
  const int64_t row = blockIdx.y;
  const int64_t in_row = group * kGroupValues + threadIdx.x % 32 * 8;
  if (group * kGroupValues >= a.dim) return;
  float y[8];
  gated(a, row, in_row, y);
  if (a.quant.tiles != nullptr) quantise_group(y, a.quant, group, row);
}

// The same shape of grid.
extern "C" __global__ void quantise_rows(const QuantiseArguments a) {
  ptx::wait_for_previous_grid();
  ptx::let_next_grid_start();
  const int64_t group = blockIdx.x * 4 + threadIdx.x / 32;
  const int64_t row = blockIdx.y;
  if (group * kGroupValues >= a.dim) return;
  quantise_group_at(a.x + row * a.dim, a.dim, a.quant, group, row);
}

// Many rows: grid (groups, tiles), 256 threads.
extern "C" __global__ void __launch_bounds__(256) swiglu_tiles(const SwigluArguments a) {
  ptx::wait_for_previous_grid();
  ptx::let_next_grid_start();
  quantise_tile(a.quant, a.rows,
                [&](int64_t row, int64_t in_row, float(&y)[8]) { gated(a, row, in_row, y); });
}
extern "C" __global__ void __launch_bounds__(256) quantise_tiles(const QuantiseArguments a) {
  ptx::wait_for_previous_grid();
  ptx::let_next_grid_start();
  quantise_tile(a.quant, a.rows, [&](int64_t row, int64_t in_row, float(&x)[8]) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      x[i] = in_row + i < a.dim ? a.x[row * a.dim + in_row + i] : 0.0F;
    }
  });
}

// Rows by index, or all rows where there is no index, with b added where it is given.
// Grid: (dim / 1024, rows), 256 threads.
extern "C" __global__ void gather_rows(const GatherArguments a) {
  ptx::wait_for_previous_grid();
  ptx::let_next_grid_start();
  const int64_t row = blockIdx.y;
  const int64_t from = a.indices == nullptr ? row : a.indices[row];
#pragma unroll
  for (int part = 0; part < 4; ++part) {
    const int64_t i = blockIdx.x * 1024 + part * 256 + threadIdx.x;
    if (i >= a.dim) return;
    float x = a.x[from * a.dim + i];
    if (a.b != nullptr) x += a.b[from * a.dim + i];
    a.out[row * a.dim + i] = x;
  }
}

// Grid: (heads, rows), a thread a pair and then the elements that do not turn.
extern "C" __global__ void rope_rows(const RopeArguments a) {
  ptx::wait_for_previous_grid();
  ptx::let_next_grid_start();
  const int head = static_cast<int>(blockIdx.x);
  const int64_t row = blockIdx.y;
  for (int pair = static_cast<int>(threadIdx.x); pair < a.pairs;
       pair += static_cast<int>(blockDim.x)) {
    float y0, y1;
    int64_t at0, at1;
    turn(a, row, head, pair, y0, y1, at0, at1);
    a.out[at0] = y0;
    a.out[at1] = y1;
  }
  for (int d = 2 * a.pairs + static_cast<int>(threadIdx.x); d < a.head_dim;
       d += static_cast<int>(blockDim.x)) {
    const int64_t at = (row * a.heads + head) * a.head_dim + d;
    a.out[at] = a.x[at];
  }
}

// Grid: (heads + kv_heads, rows): first the heads of q, then those of k with their v.
extern "C" __global__ void rope_store_rows(const __grid_constant__ RopeStoreArguments a) {
  ptx::wait_for_previous_grid();
  ptx::let_next_grid_start();
  const int64_t row = blockIdx.y;
  const bool is_query = static_cast<int>(blockIdx.x) < a.q.heads;
  const RopeArguments& rope = is_query ? a.q : a.k;
  const int head = static_cast<int>(blockIdx.x) - (is_query ? 0 : a.q.heads);
  uint16_t* page = nullptr;
  int token = 0;
  if (!is_query) {
    const SequenceShare& sequence = a.batch.sequences[a.batch.row_sequences[row]];
    const int position = sequence.first_position + static_cast<int>(row) - sequence.first_row;
    const int64_t index = a.batch.pages[sequence.first_page + position / 64];
    page = a.kv.base + index * a.kv.page_halves + head * a.kv.head_page_halves;
    token = position % 64;
  }
  const int64_t start = (row * rope.heads + head) * rope.head_dim;
  const auto put = [&](int64_t at, float value) {
    if (is_query) {
      rope.out[at] = value;
    } else {
      *key_place(page, token, static_cast<int>(at - start)) =
          static_cast<uint16_t>(bf16_bits(value));
    }
  };
  const int turned = a.turn ? rope.pairs : 0;
  for (int pair = static_cast<int>(threadIdx.x); pair < turned;
       pair += static_cast<int>(blockDim.x)) {
    float y0, y1;
    int64_t at0, at1;
    turn(rope, row, head, pair, y0, y1, at0, at1);
    put(at0, y0);
    put(at1, y1);
  }
  if (!is_query || a.turn) {
    for (int d = 2 * turned + static_cast<int>(threadIdx.x); d < rope.head_dim;
         d += static_cast<int>(blockDim.x)) {
      put(start + d, rope.x[start + d]);
    }
  }
  if (is_query) return;
  for (int d = static_cast<int>(threadIdx.x); d < rope.head_dim;
       d += static_cast<int>(blockDim.x)) {
    *value_place(page, rope.head_dim, token, d) = static_cast<uint16_t>(bf16_bits(a.v[start + d]));
  }
}

}  // namespace minke::cuda
