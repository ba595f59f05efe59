// The way out of a tile: from the registers of a warpgroup's products, by way of shared memory, to
// the matrix. The copy engine writes while the warpgroup goes on.
#pragma once

#include "kernels/cuda/gemm_tile.h"
#include "kernels/cuda/ptx/barrier.h"
#include "kernels/cuda/ptx/convert.h"
#include "kernels/cuda/ptx/memory.h"
#include "kernels/cuda/ptx/tma.h"

namespace minke::cuda {

// Writes 64 rows of 64 bf16, rounded to nearest even, as the copy engine wants them: pieces of 16
// bytes exchanged by piece ^= row % 8. `sum`: as ptx/wgmma.h lays out 64 columns.
__device__ inline void put_rows(const float* sum, std::byte* to, const uint16_t*) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane % 16;
#pragma unroll
  for (int i = 0; i < 8; i += 2) {
    const int piece = (i + lane / 16) ^ (row % 8);
    ptx::store_matrices(to + row * kGemmRowBytes + piece * 16,
                        ptx::bf16_pair(sum[4 * i + 0], sum[4 * i + 1]),
                        ptx::bf16_pair(sum[4 * i + 2], sum[4 * i + 3]),
                        ptx::bf16_pair(sum[4 * i + 4], sum[4 * i + 5]),
                        ptx::bf16_pair(sum[4 * i + 6], sum[4 * i + 7]));
  }
}

// The same of 32 fp32. Odd rows write columns 16 on while even rows write theirs, and come back
// later: so the eight bytes of 16 threads meet all banks once.
__device__ inline void put_rows(const float* sum, std::byte* to, const float*) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane / 4;
  const bool odd = row % 2 == 1;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int other = i ^ 2;
    const int group = odd ? other : i;
    const int piece = (2 * group + lane % 4 / 2) ^ (row % 8);
    std::byte* at = to + row * kGemmRowBytes + piece * 16 + lane % 2 * 8;
    *reinterpret_cast<float2*>(at) = odd ? make_float2(sum[4 * other], sum[4 * other + 1])
                                         : make_float2(sum[4 * i], sum[4 * i + 1]);
    *reinterpret_cast<float2*>(at + 8 * kGemmRowBytes) =
        odd ? make_float2(sum[4 * other + 2], sum[4 * other + 3])
            : make_float2(sum[4 * i + 2], sum[4 * i + 3]);
  }
}

// The warpgroup's 64 rows of kCount x 2 columns, to (row, column) of `out`, as bf16 (Out =
// uint16_t) or fp32. `buffers`: the warpgroup's two; `barrier`: its own.
template <typename Out, int kCount>
__device__ inline void store_rows(const float (&sum)[kCount], const TensorMap* out, int32_t row,
                                  int32_t column, std::byte (*buffers)[kStoreBytes],
                                  uint32_t barrier) {
  constexpr int kColumns = kGemmRowBytes / static_cast<int>(sizeof(Out));  // that one buffer holds
  constexpr int kPieces = kCount * 2 / kColumns;
  static_assert(kPieces % 2 == 0);  // so that the next call may start with buffer 0
  const bool stores = threadIdx.x % 128 == 0;
#pragma unroll
  for (int piece = 0; piece < kPieces; ++piece) {
    std::byte* buffer = buffers[piece % 2];
    put_rows(sum + piece * kColumns / 2, buffer, static_cast<const Out*>(nullptr));
    ptx::fence_shared_writes();
    // Once all have passed the barrier they write the other buffer: it must have been read.
    if (stores) ptx::store_wait_read<0>();
    ptx::named_sync<128>(barrier);
    if (stores) {
      ptx::store_box(out, row, column + piece * kColumns, buffer);
      ptx::store_commit();
    }
  }
}

}  // namespace minke::cuda
