#include "kernels/gemm_f32.h"

#include <algorithm>
#include <cmath>

#include "kernels/kernels.h"

namespace minke {

void gemm_f32_reference(const GemmF32& g) {
  for (int64_t i = 0; i < g.rows; ++i) {
    for (int64_t j = 0; j < g.columns; ++j) {
      float sum = g.accumulate ? g.c[i * g.c_stride + j] : 0.0F;
      for (int64_t k = 0; k < g.depth; ++k) {
        sum = std::fma(g.a[i * g.a_row_stride + k * g.a_k_stride], g.b[k * g.b_stride + j], sum);
      }
      g.c[i * g.c_stride + j] = sum;
    }
  }
}

void gemm_f32(const GemmF32& gemm) { chosen_kernels().gemm_f32(gemm); }

void gemm_f32(ThreadPool& pool, const GemmF32& gemm) {
  constexpr int64_t kTileRows = 12;  // no tile is cut in two
  const int64_t tiles = (gemm.rows + kTileRows - 1) / kTileRows;
  pool.parallel_for(tiles, 1, [&](int64_t begin, int64_t end) {
    GemmF32 part = gemm;
    part.rows = std::min(gemm.rows, end * kTileRows) - begin * kTileRows;
    part.a += begin * kTileRows * gemm.a_row_stride;
    part.c += begin * kTileRows * gemm.c_stride;
    gemm_f32(part);
  });
}

}  // namespace minke
