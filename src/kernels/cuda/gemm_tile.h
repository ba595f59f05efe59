// The shapes in which kernels/cuda/gemm_*.cu cut their work, and what the host hands to them. Seen
// by host and device code (C++20).
//
// All of them compute out = a b^T: a is [m, k], b is [n, k], out is [m, n], rows one after the
// other. The blocks of a cluster of two compute neighbouring tiles and share the operand that these
// have in common: each loads half of it for both.
#pragma once

#include <cstdint>

#include "kernels/cuda/tensor_map.h"

namespace minke::cuda {

inline constexpr int kGemmCluster = 2;
inline constexpr int kGemmConsumers = 2;                         // warpgroups that multiply
inline constexpr int kGemmThreads = 128 * (1 + kGemmConsumers);  // and one that loads
// A row of an operand in shared memory, and of the pieces in which results leave it.
inline constexpr int kGemmRowBytes = 128;
inline constexpr int kStoreRows = 64;
inline constexpr int kStoreBytes = kStoreRows * kGemmRowBytes;

struct GemmTile {
  int rows = 0;           // of a, of one block
  int columns = 0;        // rows of b, of one block
  int stages = 0;         // pieces of k under way or in use
  bool shares_a = false;  // the cluster's tiles lie side by side; else one below the other

  // What follows from these.
  int cluster_rows = rows * (shares_a ? 1 : kGemmCluster);
  int cluster_columns = columns * (shares_a ? kGemmCluster : 1);
  // Rows of the boxes in which the operands are loaded.
  int a_box_rows = shares_a ? rows / kGemmCluster : rows;
  int b_box_rows = shares_a ? columns : columns / kGemmCluster;
  int a_bytes = rows * kGemmRowBytes;
  int b_bytes = columns * kGemmRowBytes;
  int stage_bytes = a_bytes + b_bytes;
  int shared_bytes = stages * stage_bytes + kGemmConsumers * 2 * kStoreBytes + stages * 2 * 8;
};

inline constexpr GemmTile kBf16Tile = {.rows = 128, .columns = 256, .stages = 4};
inline constexpr GemmTile kFp8Tile = {.rows = 256, .columns = 128, .stages = 4, .shares_a = true};
// A block has at most 227 KiB of shared memory.
static_assert(kBf16Tile.shared_bytes <= 232448);
static_assert(kFp8Tile.shared_bytes <= 232448);

inline constexpr int kScaleValues = 128;  // of k that share a scale, and rows of b that do

struct GemmArguments {
  TensorMap a;
  TensorMap b;
  TensorMap out;
  int32_t m = 0;
  int32_t n = 0;
  int32_t k = 0;
  // For fp8 only.
  int64_t a_scales_pitch = 0;
  const float* a_scales = nullptr;  // [k / 128, a_scales_pitch], m of each row in use
  const float* b_scales = nullptr;  // [ceil(n / 128), k / 128]
};

}  // namespace minke::cuda
