// gemm_bf16 in tiles: 32 rows by 32 columns of C are four of the eight, and each of the other four
// is loaded once for two products.
#include "kernels/gemm_bf16.h"

#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/avx512/gemm_bf16_pack.h"

namespace minke::amx {
namespace {

constexpr int64_t kLine = 64;  // bytes of a row of a tile

// Lines that the next tiles will want, from the second cache into the first.
template <int kLines>
[[gnu::always_inline]] inline void fetch(const uint16_t* at) {
  MINKE_UNROLL for (int line = 0; line < kLines; ++line) {
    _mm_prefetch(reinterpret_cast<const char*>(at) + line * kLine, _MM_HINT_T0);
  }
}

// A group of 32 columns; `next` is where the right tiles of the one after it begin.
void multiply_group(const TileProduct& p, const uint16_t* right, const uint16_t* next, float* c) {
  const int64_t stride = p.c_stride * static_cast<int64_t>(sizeof(float));
  float* const below = c + kTileSide * p.c_stride;
  if (p.accumulate) {
    tile_load<0>(c, stride);
    tile_load<1>(c + kTileSide, stride);
    tile_load<2>(below, stride);
    tile_load<3>(below + kTileSide, stride);
  } else {
    tile_zero<0>();
    tile_zero<1>();
    tile_zero<2>();
    tile_zero<3>();
  }
  const uint16_t* left = p.left;
  for (int64_t step = 0; step < p.steps; ++step) {
    const uint16_t* further = step + 1 < p.steps ? right + kPairValues : next;
    tile_load<4>(left, kLine);
    tile_load<6>(right, kLine);
    tile_dot_bf16<0, 4, 6>();
    fetch<16>(further);
    tile_load<7>(right + kTileValues, kLine);
    tile_dot_bf16<1, 4, 7>();
    fetch<16>(further + kTileValues);
    tile_load<5>(left + kTileValues, kLine);
    tile_dot_bf16<2, 5, 6>();
    tile_dot_bf16<3, 5, 7>();
    left += kPairValues;
    right += kPairValues;
  }
  tile_store<0>(c, stride);
  tile_store<1>(c + kTileSide, stride);
  tile_store<2>(below, stride);
  tile_store<3>(below + kTileSide, stride);
}

void multiply(const TileProduct& p) {
  configure_whole_tiles();
  for (int64_t group = 0; group < p.groups; ++group) {
    const uint16_t* right = p.right + group * p.right_stride;
    float* const c = p.c + group * kPairSide;
    const bool is_last = group + 1 == p.groups;
    if (!is_last) {
      for (int64_t row = 0; row < kPairSide; ++row) {
        fetch<2>(reinterpret_cast<const uint16_t*>(c + kPairSide + row * p.c_stride));
      }
    }
    multiply_group(p, right, is_last ? p.right : right + p.right_stride, c);
  }
  release_tiles();
}

}  // namespace

const GemmBf16Kernels gemm_bf16 = {.pack_left = avx512::pack_left,
                                   .pack_left_turned = avx512::pack_left_turned,
                                   .pack_right = avx512::pack_right,
                                   .multiply = multiply};

}  // namespace minke::amx
