// Activations in int8 on the GPU: the values of kernels/activation.h in the order in which the
// integer tensor cores take them, eight rows (tokens) side by side. Seen by host and device code
// (C++20). A tensor of [rows, dim] is QuantTile[groups][tiles], tiles = ceil(rows / 8).
#pragma once

#include <cstddef>
#include <cstdint>

namespace minke::cuda {

inline constexpr int kTileRows = 8;
inline constexpr int kGroupValues = 256;
inline constexpr int kRunValues = 32;

struct alignas(128) QuantTile {
  int8_t q[8][kTileRows][kRunValues];  // [run][row][value]
  int32_t neg_sum16[16][kTileRows];    // -(sum of q) of each half of a run
  int32_t shift[8][kTileRows];         // 3 - exponent of each run
  // (sum of q) << shift of each half of a run, in two bytes: what the tensor cores multiply the
  // weights' minimums by.
  uint8_t min_low[kTileRows][16];
  int8_t min_high[kTileRows][16];
  float step[kTileRows];
  // Of the row's 256 values: the largest square, and the sum of the squares in whatever order. For
  // the decision whether a row is peaked (ops/cpu_ops.h); where that is a close call, the sum is
  // made again in the contract's order.
  float peak[kTileRows];
  float energy[kTileRows];
  float unused[8];
};
static_assert(sizeof(QuantTile) == 3200);

// The int8 form of a tensor: the values, and what that form left over of each row (used for peaked
// rows only).
struct QuantRows {
  QuantTile* tiles = nullptr;  // [groups][tiles_per_group]
  QuantTile* rest = nullptr;   // likewise
  int32_t tiles_per_group = 0;
};

inline constexpr int64_t tiles_of(int64_t rows) { return (rows + kTileRows - 1) / kTileRows; }

}  // namespace minke::cuda
