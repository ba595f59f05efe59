// gemm_bf16's tiles without tile registers, written once over a small vocabulary of vectors: V's
// lanes are columns, and a lane holds a pair of k in bf16, which V::even and V::odd widen. As with
// gemm_f32_tiles.h each instruction set instantiates it in a file of its own.
#pragma once

#include <cstdint>

#include "kernels/gemm_bf16.h"

namespace minke {

// kRows x kVectors vectors of C, which stay in registers over all steps. `left` begins at the first
// of these rows, `right` at the tile and the column.
template <typename V, int kRows, int kVectors>
inline void gemm_bf16_block(const TileProduct& p, const uint16_t* left, const uint16_t* right,
                            float* c) {
  typename V::Type sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      sum[i][j] = p.accumulate ? V::load(c + i * p.c_stride + j * kTileSide) : V::zero();
    }
  }
  for (int64_t step = 0; step < p.steps; ++step) {
    typename V::Type even[kRows][kVectors];
    typename V::Type odd[kRows][kVectors];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) even[i][j] = odd[i][j] = V::zero();
    }
    for (int64_t k = 0; k < kTileDepth; k += 2) {
      typename V::Type b_even[kVectors];
      typename V::Type b_odd[kVectors];
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) {
        const auto pairs = V::load_pairs(right + j * kTileValues + k * kTileSide);
        b_even[j] = V::even(pairs);
        b_odd[j] = V::odd(pairs);
      }
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        const auto pair = V::broadcast_pair(left + i * kTileDepth + k);
        const typename V::Type a_even = V::even(pair);
        const typename V::Type a_odd = V::odd(pair);
#pragma GCC unroll 2
        for (int j = 0; j < kVectors; ++j) {
          even[i][j] = V::fma(a_even, b_even[j], even[i][j]);
          odd[i][j] = V::fma(a_odd, b_odd[j], odd[i][j]);
        }
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) {
        sum[i][j] = V::add(sum[i][j], V::add(even[i][j], odd[i][j]));
      }
    }
    left += kPairValues;
    right += kPairValues;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) V::store(c + i * p.c_stride + j * kTileSide, sum[i][j]);
  }
}

// Vectors beside each other are in tiles of their own: kVectors is 1, or 2 where a vector is as
// wide as a tile.
template <typename V, int kRows, int kVectors>
inline void gemm_bf16_multiply(const TileProduct& p) {
  constexpr int64_t kColumns = kVectors == 2 ? kPairSide : V::kWidth;
  for (int64_t group = 0; group < p.groups; ++group) {
    for (int64_t row = 0; row < kPairSide; row += kRows) {
      for (int64_t column = 0; column < kPairSide; column += kColumns) {
        gemm_bf16_block<V, kRows, kVectors>(p, p.left + row * kTileDepth,
                                            p.right + group * p.right_stride +
                                                column / kTileSide * kTileValues +
                                                column % kTileSide * 2,
                                            p.c + row * p.c_stride + group * kPairSide + column);
      }
    }
  }
}

}  // namespace minke
