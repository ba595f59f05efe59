// gemm_bf16 in 256-bit vectors: products of 4 rows by 8 columns.
#include "kernels/gemm_bf16.h"

#include <immintrin.h>

#include "kernels/cpu/avx2/vec.h"
#include "kernels/cpu/gemm_bf16_tiles.h"

namespace minke::avx2 {
namespace {

struct Vector256 {
  using Type = __m256;
  static constexpr int64_t kWidth = 8;
  static Type zero() { return _mm256_setzero_ps(); }
  static Type load(const float* from) { return _mm256_loadu_ps(from); }
  static Type add(Type a, Type b) { return _mm256_add_ps(a, b); }
  static Type fma(Type a, Type b, Type c) { return _mm256_fmadd_ps(a, b, c); }
  static void store(float* to, Type value) { _mm256_storeu_ps(to, value); }
  static __m256i load_pairs(const uint16_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static __m256i broadcast_pair(const uint16_t* from) {
    int32_t pair;
    std::memcpy(&pair, from, sizeof pair);
    return _mm256_set1_epi32(pair);
  }
  static Type even(__m256i pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }
  static Type odd(__m256i pairs) {
    return _mm256_castsi256_ps(
        _mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int32_t>(0xffff0000u))));
  }
};

void pack_left(const float* from, int64_t stride, uint16_t* to) {
  for (int64_t row = 0; row < kPairSide; ++row) {
    to_bf16(from + row * stride, to + row * kTileDepth, kTileDepth);
  }
}

void pack_left_turned(const float* from, int64_t stride, uint16_t* to) {
  uint16_t row[kPairSide];
  for (int64_t k = 0; k < kTileDepth; ++k) {
    to_bf16(from + k * stride, row, kPairSide);
    for (int64_t i = 0; i < kPairSide; ++i) to[i * kTileDepth + k] = row[i];
  }
}

void pack_right(const float* from, int64_t stride, uint16_t* to) {
  alignas(32) uint16_t even[kPairSide];
  alignas(32) uint16_t odd[kPairSide];
  for (int64_t k = 0; k < kTileDepth; k += 2) {
    to_bf16(from + k * stride, even, kPairSide);
    to_bf16(from + (k + 1) * stride, odd, kPairSide);
    for (int64_t i = 0; i < kPairSide; ++i) {
      uint16_t* pair = to + i / kTileSide * kTileValues + k * kTileSide + i % kTileSide * 2;
      pair[0] = even[i];
      pair[1] = odd[i];
    }
  }
}

}  // namespace

const GemmBf16Kernels gemm_bf16 = {.pack_left = pack_left,
                                   .pack_left_turned = pack_left_turned,
                                   .pack_right = pack_right,
                                   .multiply = gemm_bf16_multiply<Vector256, 4, 1>};

}  // namespace minke::avx2
