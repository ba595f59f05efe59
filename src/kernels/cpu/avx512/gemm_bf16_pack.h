// Packing of gemm_bf16's operands (kernels/gemm_bf16.h), for the sets that have 512-bit vectors.
#pragma once

#include "kernels/cpu/avx512/transpose.h"
#include "kernels/cpu/avx512/vec.h"
#include "kernels/gemm_bf16.h"

namespace minke::avx512 {

// Sixteen columns of two rows of k: a pair in each lane.
inline __m512i round_pairs(const float* even, const float* odd) {
  const auto low = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_loadu_ps(even)));
  const auto high = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_loadu_ps(odd)));
  return _mm512_or_si512(_mm512_cvtepu16_epi32(low),
                         _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
}

inline void pack_left(const float* from, int64_t stride, uint16_t* to) {
  for (int64_t row = 0; row < kPairSide; ++row) {
    const float* at = from + row * stride;
    const auto rounded = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(at + 16), _mm512_loadu_ps(at));
    _mm512_store_si512(to + row * kTileDepth, reinterpret_cast<__m512i>(rounded));
  }
}

inline void pack_left_turned(const float* from, int64_t stride, uint16_t* to) {
  for (int64_t row = 0; row < kPairSide; row += kTileSide) {
    __m512 pairs[16];
    MINKE_UNROLL for (int i = 0; i < 16; ++i) {
      const float* at = from + 2 * i * stride + row;
      pairs[i] = _mm512_castsi512_ps(round_pairs(at, at + stride));
    }
    transpose(pairs);
    MINKE_UNROLL for (int i = 0; i < 16; ++i) {
      _mm512_store_ps(to + (row + i) * kTileDepth, pairs[i]);
    }
  }
}

inline void pack_right(const float* from, int64_t stride, uint16_t* to) {
  for (int64_t k = 0; k < kTileDepth; k += 2) {
    const float* at = from + k * stride;
    _mm512_store_si512(to + k * kTileSide, round_pairs(at, at + stride));
    _mm512_store_si512(to + kTileValues + k * kTileSide, round_pairs(at + 16, at + stride + 16));
  }
}

}  // namespace minke::avx512
