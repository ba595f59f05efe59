// A group of one panel times 8 NT rows, by one warp: integer sums on the tensor cores, then fp32 in
// the contract's order (kernels/reference/reference.cpp: linear_runs, linear_super).
#pragma once

#include "kernels/cuda/formats.cuh"
#include "kernels/cuda/ptx/mma.h"
#include "kernels/cuda/tiles.h"

namespace minke::cuda {

// Lane l has outputs o = l / 4 and o + 8 of rows 2j and 2j + 1 of each tile, j = l % 4: values
// [0], [1] are (o, 2j), (o, 2j + 1), and [2], [3] those of o + 8.
struct Lane {
  int o;
  int j;
};
__device__ inline Lane this_lane() {
  const int lane = static_cast<int>(threadIdx.x % 32);
  return {lane / 4, lane % 4};
}

__device__ inline int2 two(const int32_t* at) { return *reinterpret_cast<const int2*>(at); }

__device__ inline int signed_byte(uint32_t word, int i) {
  return static_cast<int>(word << (24 - 8 * i)) >> 24;
}

// -(sum of the run's quants) of rows 2j and 2j + 1.
__device__ inline int2 neg_sum32(const QuantTile& x, int run, int j) {
  const int2 first = two(&x.neg_sum16[2 * run][2 * j]);
  const int2 second = two(&x.neg_sum16[2 * run + 1][2 * j]);
  return make_int2(first.x + second.x, first.y + second.y);
}

template <int kOffset>
__device__ inline void start_sum(int32_t (&dots)[4], int2 neg_sums) {
  dots[0] = dots[2] = neg_sums.x * kOffset;
  dots[1] = dots[3] = neg_sums.y * kOffset;
}

// isum += (dot scale) << shift, exact.
__device__ inline void add_scaled(int32_t (&isum)[4], const int32_t (&dots)[4], int scale0,
                                  int scale1, int2 shift) {
  isum[0] += dots[0] * (scale0 << shift.x);
  isum[1] += dots[1] * (scale0 << shift.y);
  isum[2] += dots[2] * (scale1 << shift.x);
  isum[3] += dots[3] * (scale1 << shift.y);
}

// Super-blocks. `tile(n)`: the QuantTile of this group of tile n; acc += t step.
template <typename F, int NT, typename TileAt, typename Finish>
__device__ inline void super_products(const std::byte* panel, const std::byte* group, int64_t g,
                                      TileAt tile, Finish finish) {
  const auto [o, j] = this_lane();
  const typename F::Scales s0 = F::load(panel, group, g, o);
  const typename F::Scales s1 = F::load(panel, group, g, o + 8);
  int32_t isum[NT][4] = {};
  if constexpr (F::kSubs == 8) {
    constexpr int kUnroll = NT <= 2 ? 4 : 2;  // as far as registers go
#pragma unroll kUnroll
    for (int run = 0; run < 8; ++run) {
      uint32_t a[4];
      F::unpack(group, run, o, j, a[0], a[2]);
      F::unpack(group, run, o + 8, j, a[1], a[3]);
      const int scale0 = s0.scale(run);
      const int scale1 = s1.scale(run);
#pragma unroll
      for (int n = 0; n < NT; ++n) {
        const QuantTile& x = tile(n);
        const uint2 b = *reinterpret_cast<const uint2*>(&x.q[run][o][8 * j]);
        int32_t dots[4] = {};
        ptx::mma_u8s8_k32(dots, a, b.x, b.y);
        add_scaled(isum[n], dots, scale0, scale1, two(&x.shift[run][2 * j]));
      }
    }
  } else {
#pragma unroll 1
    for (int quad = 0; quad < 4; ++quad) {
      const uint32_t scales0 = F::four_scales(group, quad, o);
      const uint32_t scales1 = F::four_scales(group, quad, o + 8);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int sub = quad * 4 + i;
        const uint32_t a0 = F::unpack16(group, sub, o, j);
        const uint32_t a1 = F::unpack16(group, sub, o + 8, j);
#pragma unroll
        for (int n = 0; n < NT; ++n) {
          const QuantTile& x = tile(n);
          const uint32_t b =
              *reinterpret_cast<const uint32_t*>(&x.q[sub / 2][o][sub % 2 * 16 + 4 * j]);
          int32_t dots[4];
          start_sum<F::kOffset>(dots, two(&x.neg_sum16[sub][2 * j]));
          ptx::mma_u8s8_k16(dots, a0, a1, b);
          add_scaled(isum[n], dots, signed_byte(scales0, i), signed_byte(scales1, i),
                     two(&x.shift[sub / 2][2 * j]));
        }
      }
    }
  }
#pragma unroll
  for (int n = 0; n < NT; ++n) {
    const QuantTile& x = tile(n);
    float t[4] = {s0.d * static_cast<float>(isum[n][0]), s0.d * static_cast<float>(isum[n][1]),
                  s1.d * static_cast<float>(isum[n][2]), s1.d * static_cast<float>(isum[n][3])};
    if constexpr (F::kMin) {
      int32_t low[4] = {};
      int32_t high[4] = {};
      const uint32_t m0 = s0.mins(j);
      const uint32_t m1 = s1.mins(j);
      ptx::mma_u8u8_k16(low, m0, m1, *reinterpret_cast<const uint32_t*>(&x.min_low[o][4 * j]));
      ptx::mma_u8s8_k16(high, m0, m1, *reinterpret_cast<const uint32_t*>(&x.min_high[o][4 * j]));
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float dmin = i < 2 ? s0.dmin : s1.dmin;
        t[i] = fmaf(-dmin, static_cast<float>(low[i] + high[i] * 256), t[i]);
      }
    }
    finish(n, t);
  }
}

template <typename F, int NT, typename TileAt, typename Finish>
__device__ inline void run_products(const std::byte* group, int runs, TileAt tile, Finish finish) {
  const auto [o, j] = this_lane();
  const int scales = (runs * 32 + 63) / 64 * 64;
  const std::byte* run_bytes = group + F::payload(scales);
  float t[NT][4] = {};
#pragma unroll 2
  for (int run = 0; run < runs; ++run, run_bytes += F::kRunBytes) {
    uint32_t a[4];
    F::unpack(run_bytes, o, j, a[0], a[2]);
    F::unpack(run_bytes, o + 8, j, a[1], a[3]);
    const float d0 = F::scale(group, run_bytes, run, o);
    const float d1 = F::scale(group, run_bytes, run, o + 8);
    float m0 = 0.0F;
    float m1 = 0.0F;
    if constexpr (F::kMin) {
      m0 = F::min(group, run_bytes, scales, run, o);
      m1 = F::min(group, run_bytes, scales, run, o + 8);
    }
#pragma unroll
    for (int n = 0; n < NT; ++n) {
      const QuantTile& x = tile(n);
      const uint2 b = *reinterpret_cast<const uint2*>(&x.q[run][o][8 * j]);
      const int2 shift = two(&x.shift[run][2 * j]);
      int2 neg_sums = make_int2(0, 0);
      if constexpr (F::kOffset != 0 || F::kMin) neg_sums = neg_sum32(x, run, j);
      int32_t dots[4];
      start_sum<F::kOffset>(dots, neg_sums);
      ptx::mma_u8s8_k32(dots, a, b.x, b.y);
      t[n][0] = fmaf(static_cast<float>(dots[0] * (1 << shift.x)), d0, t[n][0]);
      t[n][1] = fmaf(static_cast<float>(dots[1] * (1 << shift.y)), d0, t[n][1]);
      t[n][2] = fmaf(static_cast<float>(dots[2] * (1 << shift.x)), d1, t[n][2]);
      t[n][3] = fmaf(static_cast<float>(dots[3] * (1 << shift.y)), d1, t[n][3]);
      if constexpr (F::kMin) {
        const float sum0 = static_cast<float>(-neg_sums.x * (1 << shift.x));
        const float sum1 = static_cast<float>(-neg_sums.y * (1 << shift.y));
        t[n][0] = fmaf(m0, sum0, t[n][0]);
        t[n][1] = fmaf(m0, sum1, t[n][1]);
        t[n][2] = fmaf(m1, sum0, t[n][2]);
        t[n][3] = fmaf(m1, sum1, t[n][3]);
      }
    }
  }
#pragma unroll
  for (int n = 0; n < NT; ++n) finish(n, t[n]);
}

// finish(n, t): t[4] of tile n, to be multiplied by each row's step and added in the order of
// groups.
template <typename F, int NT, typename TileAt, typename Finish>
__device__ inline void group_products(const std::byte* panel, const std::byte* group, int64_t g,
                                      int runs, TileAt tile, Finish finish) {
  if constexpr (kIsSuper<F>) {
    super_products<F, NT>(panel, group, g, tile, finish);
  } else {
    run_products<F, NT>(group, runs, tile, finish);
  }
}

}  // namespace minke::cuda
