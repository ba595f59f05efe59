// The tiles of gemm_f32, written once over a small vocabulary of vectors (V::load, V::fma, ...).
// Each instruction set instantiates it in a file of its own, which alone is compiled for that set.
// Everything here depends on V, which is local to that file: a function that two files shared could
// be linked in the form that only the newer processor runs.
#pragma once

#include <cstdint>

#include "kernels/gemm_f32.h"

namespace minke {

// How many k a tile runs over before the next tile: a strip of B (two vectors wide) stays in L1.
inline constexpr int64_t kGemmDepthBlock = 256;

// kRows x kVectors vectors of C over k in [k_begin, k_end), all in registers.
template <typename V, int kRows, int kVectors>
inline void gemm_f32_tile(const GemmF32& g, int64_t row, int64_t column, int64_t k_begin,
                          int64_t k_end) {
  typename V::Type sum[kRows][kVectors];
  const bool start_from_c = g.accumulate || k_begin > 0;
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      const float* c = g.c + (row + i) * g.c_stride + column + j * V::kWidth;
      sum[i][j] = start_from_c ? V::load(c) : V::zero();
    }
  }
  for (int64_t k = k_begin; k < k_end; ++k) {
    const float* a = g.a + row * g.a_row_stride + k * g.a_k_stride;
    const float* b = g.b + k * g.b_stride + column;
    typename V::Type right[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) right[j] = V::load(b + j * V::kWidth);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const typename V::Type left = V::broadcast(a + i * g.a_row_stride);
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) sum[i][j] = V::fma(left, right[j], sum[i][j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      V::store(g.c + (row + i) * g.c_stride + column + j * V::kWidth, sum[i][j]);
    }
  }
}

// All rows of a strip of C that is kVectors wide. Rows that do not fill a tile go in halves.
template <typename V, int kRows, int kVectors>
inline void gemm_f32_strip(const GemmF32& g, int64_t row, int64_t column, int64_t k_begin,
                           int64_t k_end) {
  for (; row + kRows <= g.rows; row += kRows) {
    gemm_f32_tile<V, kRows, kVectors>(g, row, column, k_begin, k_end);
  }
  if constexpr (kRows > 1) {
    if (row < g.rows) gemm_f32_strip<V, kRows / 2, kVectors>(g, row, column, k_begin, k_end);
  }
}

// Columns that do not fill a vector, one value at a time: the same chain.
template <typename V>
inline void gemm_f32_edge(const GemmF32& g, int64_t column, int64_t k_begin, int64_t k_end) {
  for (int64_t i = 0; i < g.rows; ++i) {
    for (int64_t j = column; j < g.columns; ++j) {
      float* c = g.c + i * g.c_stride + j;
      float sum = g.accumulate || k_begin > 0 ? *c : 0.0F;
      for (int64_t k = k_begin; k < k_end; ++k) {
        sum = __builtin_fmaf(g.a[i * g.a_row_stride + k * g.a_k_stride], g.b[k * g.b_stride + j],
                             sum);
      }
      *c = sum;
    }
  }
}

template <typename V, int kRows>
inline void gemm_f32_tiled(const GemmF32& g) {
  int64_t k_begin = 0;
  do {  // Once even for a depth of zero, which writes the zeros.
    const int64_t k_rest = g.depth - k_begin;
    const int64_t k_end = k_begin + (k_rest < kGemmDepthBlock ? k_rest : kGemmDepthBlock);
    int64_t column = 0;
    for (; column + 2 * V::kWidth <= g.columns; column += 2 * V::kWidth) {
      gemm_f32_strip<V, kRows, 2>(g, 0, column, k_begin, k_end);
    }
    if (column + V::kWidth <= g.columns) {
      gemm_f32_strip<V, kRows, 1>(g, 0, column, k_begin, k_end);
      column += V::kWidth;
    }
    if (column < g.columns) gemm_f32_edge<V>(g, column, k_begin, k_end);
    k_begin = k_end;
  } while (k_begin < g.depth);
}

}  // namespace minke
