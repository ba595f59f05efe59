// Rows to int8, a group of 256 values by one warp. See tiles.h for the form and
// kernels/reference/reference.cpp (quantise_group) for the definition.
#pragma once

#include "kernels/cuda/arithmetic.cuh"
#include "kernels/cuda/tiles.h"

namespace minke::cuda {

// Lane l holds values 8l .. 8l + 7 of the group (zeros beyond the row's end). Returns the quants,
// and the step by which (q << shift) gives the value back.
struct QuantLane {
  int32_t q[8];
  int32_t shift;
  float step;
};

__device__ inline QuantLane quantise_lane(const float (&x)[8]) {
  uint32_t run_bits = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) run_bits = max(run_bits, __float_as_uint(x[i]) & 0x7fffffffu);
  run_bits = max(run_bits, __shfl_xor_sync(~0u, run_bits, 1));
  run_bits = max(run_bits, __shfl_xor_sync(~0u, run_bits, 2));
  uint32_t amax_bits = run_bits;
#pragma unroll
  for (int mask = 4; mask < 32; mask *= 2) {
    amax_bits = max(amax_bits, __shfl_xor_sync(~0u, amax_bits, mask));
  }
  QuantLane lane{};
  if (amax_bits >= 0x7f800000u) {
    lane.step = __uint_as_float(0x7fc00000u);
    return lane;
  }
  const float amax = __uint_as_float(amax_bits);
  const float run_amax = __uint_as_float(run_bits);
  const float inverse = amax < 1e-30F ? 0.0F : 127.0F / amax;
  lane.step = amax < 1e-30F ? 0.0F : amax / 127.0F * 0.125F;
  int exponent = 0;
#pragma unroll
  for (int e = 0; e < 3; ++e) {
    if (exponent == e && run_amax * static_cast<float>(2 << e) <= amax) exponent = e + 1;
  }
  const float factor = inverse * static_cast<float>(1 << exponent);
#pragma unroll
  for (int i = 0; i < 8; ++i) lane.q[i] = __float2int_rn(x[i] * factor);
  lane.shift = 3 - exponent;
  return lane;
}

__device__ inline uint32_t four_bytes(const int32_t* q) {
  return (static_cast<uint32_t>(q[0]) & 255u) | (static_cast<uint32_t>(q[1]) & 255u) << 8 |
         (static_cast<uint32_t>(q[2]) & 255u) << 16 | static_cast<uint32_t>(q[3]) << 24;
}

__device__ inline void store_lane(const QuantLane& lane, QuantTile& tile, int row) {
  const int at = static_cast<int>(threadIdx.x % 32);
  const int run = at / 4;
  *reinterpret_cast<uint2*>(&tile.q[run][row][at % 4 * 8]) =
      make_uint2(four_bytes(lane.q), four_bytes(lane.q + 4));
  int32_t sum = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) sum += lane.q[i];
  sum += __shfl_xor_sync(~0u, sum, 1);
  if (at % 2 == 0) {
    const int half = at / 2;
    const int32_t shifted = sum << lane.shift;
    tile.neg_sum16[half][row] = -sum;
    tile.min_low[row][half] = static_cast<uint8_t>(shifted & 255);
    tile.min_high[row][half] = static_cast<int8_t>(shifted >> 8);
  }
  if (at % 4 == 0) tile.shift[run][row] = lane.shift;
  if (at == 0) tile.step[row] = lane.step;
}

// The whole of a warp: group `group` of row `row`, with what is left over.
__device__ inline void quantise_group(const float (&x)[8], const QuantRows& out, int64_t group,
                                      int64_t row) {
  const int64_t index = group * out.tiles_per_group + row / kTileRows;
  const int in_tile = static_cast<int>(row % kTileRows);
  QuantTile& tile = out.tiles[index];
  const QuantLane lane = quantise_lane(x);
  store_lane(lane, tile, in_tile);
  float peak = 0.0F;
  float energy = 0.0F;
  float rest[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    peak = fmaxf(peak, x[i] * x[i]);
    energy = fmaf(x[i], x[i], energy);
    rest[i] = fmaf(-static_cast<float>(lane.q[i] * (1 << lane.shift)), lane.step, x[i]);
  }
#pragma unroll
  for (int mask = 1; mask < 32; mask *= 2) {
    peak = fmaxf(peak, __shfl_xor_sync(~0u, peak, mask));
    energy += __shfl_xor_sync(~0u, energy, mask);
  }
  if (threadIdx.x % 32 == 0) {
    tile.peak[in_tile] = peak;
    tile.energy[in_tile] = energy;
  }
  store_lane(quantise_lane(rest), out.rest[index], in_tile);
}

// The same with the row in memory; zeros from `dim` on.
__device__ inline void quantise_group_at(const float* row_values, int64_t dim, const QuantRows& out,
                                         int64_t group, int64_t row) {
  const int64_t at = group * kGroupValues + threadIdx.x % 32 * 8;
  float x[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) x[i] = at + i < dim ? row_values[at + i] : 0.0F;
  quantise_group(x, out, group, row);
}

// The share of its energy that a row's largest element holds, as peak_share of the reference
// computes it: 16 lanes, then halved.
__device__ __noinline__ inline float peak_share_exact(const float* x, int64_t dim) {
  float lanes[16] = {};
  float peak = 0.0F;
  for (int64_t i = 0; i < dim; i += 16) {
#pragma unroll
    for (int lane = 0; lane < 16; ++lane) {
      const float v = i + lane < dim ? x[i + lane] : 0.0F;
      lanes[lane] = fmaf(v, v, lanes[lane]);
      peak = fmaxf(peak, v * v);
    }
  }
#pragma unroll
  for (int width = 8; width >= 1; width /= 2) {
#pragma unroll
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0] > 0.0F ? peak / lanes[0] : 0.0F;
}

// Which of a tile's rows are peaked (bit r: row r), by a whole warp. `x` is the tensor that was
// quantised, [rows][dim]. kPeakShare is that of ops/cpu_ops.cpp.
__device__ inline uint32_t peaked_rows(const QuantRows& in, int64_t groups, int64_t tile,
                                       const float* x, int64_t rows, int64_t dim) {
  constexpr float kPeakShare = 0.25F;
  const int row = static_cast<int>(threadIdx.x % 8);
  float peak = 0.0F;
  float energy = 0.0F;
#pragma unroll 8
  for (int64_t g = threadIdx.x % 32 / 8; g < groups; g += 4) {
    const QuantTile& at = in.tiles[g * in.tiles_per_group + tile];
    peak = fmaxf(peak, at.peak[row]);
    energy += at.energy[row];
  }
  peak = fmaxf(peak, __shfl_xor_sync(~0u, peak, 8));
  peak = fmaxf(peak, __shfl_xor_sync(~0u, peak, 16));
  energy += __shfl_xor_sync(~0u, energy, 8);
  energy += __shfl_xor_sync(~0u, energy, 16);
  const int64_t index = tile * kTileRows + row;
  bool peaked = false;
  if (index < rows && energy > 0.0F) {
    float share = peak / energy;
    // Another order of summation differs by far less than this.
    if (fabsf(share - kPeakShare) < 1e-3F) share = peak_share_exact(x + index * dim, dim);
    peaked = share > kPeakShare;
  }
  return __ballot_sync(~0u, peaked) & 255u;
}

}  // namespace minke::cuda
