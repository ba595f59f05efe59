// Products of fp32 matrices that are rounded to bf16 first, for gradients: C = A·B or C += A·B.
//
// The sums are fp32 and run as a product of AMX tiles gives them, so that tiles may be used: of
// each 32 k (the last ones filled up with zeros) the even and the odd ones are a chain of fused
// multiply-adds from zero each, and their sum is added to C's element, k ascending. So the bits do
// not depend on blocks, threads or the instruction set (docs/numerics.md).
//
// Operands are packed into tiles, a piece of the product at a time: the memory for it is some tens
// of MiB at most, the calling thread's own, and stays for the next product. Denormals must be zero
// for the calling thread, as they are inside a ThreadPool's work and for its workers (tiles know no
// others). Pure functions, safe from any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/thread_pool.h"
#include "kernels/gemm_f32.h"
#include "quant/format.h"

namespace minke {

// B as a weight keeps it: `depth` rows of `columns` values in blocks of `type`.
struct EncodedRows {
  QuantType type = QuantType::kF32;
  const std::byte* rows = nullptr;
};

// The definition: three loops.
void gemm_bf16_reference(const GemmF32& gemm);

// The same bits, as fast as this machine goes. One of A's strides must be 1.
void gemm_bf16(const GemmF32& gemm);
// Shared out among the pool's threads. Where B is encoded, gemm.b and gemm.b_stride are not read.
void gemm_bf16(ThreadPool& pool, const GemmF32& gemm);
void gemm_bf16(ThreadPool& pool, const GemmF32& gemm, const EncodedRows& b);

// --- What an instruction set has to do for it ---------------------------------------------------

inline constexpr int64_t kTileSide = 16;   // rows of a left tile, columns of a right one
inline constexpr int64_t kTileDepth = 32;  // k
inline constexpr int64_t kTileValues = kTileSide * kTileDepth;
// Tiles come in pairs: 32 rows, or columns, and 32 k.
inline constexpr int64_t kPairSide = 2 * kTileSide;
inline constexpr int64_t kPairValues = 2 * kTileValues;

// Left tiles are [16 rows][32 k], right ones [16 pairs of k][16 columns][2], in bf16.
struct GemmBf16Kernels {
  // A pair of left tiles from [32 rows][32 k] of fp32, rows `stride` apart.
  void (*pack_left)(const float* from, int64_t stride, uint16_t* to);
  // The same from [32 k][32 rows].
  void (*pack_left_turned)(const float* from, int64_t stride, uint16_t* to);
  // A pair of right tiles from [32 k][32 columns].
  void (*pack_right)(const float* from, int64_t stride, uint16_t* to);
  void (*multiply)(const struct TileProduct& product);
};

// C [32][32 * groups] (+)= left · right over `steps` pairs of tiles that follow one another; the
// right tiles of a group of 32 columns lie `right_stride` values behind those of the one before.
struct TileProduct {
  const uint16_t* left = nullptr;
  const uint16_t* right = nullptr;
  int64_t right_stride = 0;
  int64_t steps = 0;
  int64_t groups = 0;
  float* c = nullptr;
  int64_t c_stride = 0;
  bool accumulate = false;
};

extern const GemmBf16Kernels gemm_bf16_kernels_reference;

// For tests: with the kernels of one set; on the calling thread where there is no pool.
void gemm_bf16_with(const GemmBf16Kernels& kernels, ThreadPool* pool, const GemmF32& gemm,
                    const EncodedRows& b);

}  // namespace minke
