// gemm_bf16 in 512-bit vectors: operands packed with the processor's own rounding; products of 4
// rows by 32 columns whose 16 chains, and C, are in registers.
#include "kernels/gemm_bf16.h"

#include "kernels/cpu/avx512/gemm_bf16_pack.h"
#include "kernels/cpu/gemm_bf16_tiles.h"

namespace minke::avx512 {
namespace {

struct Vector512 {
  using Type = __m512;
  static constexpr int64_t kWidth = 16;
  static Type zero() { return _mm512_setzero_ps(); }
  static Type load(const float* from) { return _mm512_loadu_ps(from); }
  static Type add(Type a, Type b) { return _mm512_add_ps(a, b); }
  static Type fma(Type a, Type b, Type c) { return _mm512_fmadd_ps(a, b, c); }
  static void store(float* to, Type value) { _mm512_storeu_ps(to, value); }
  static __m512i load_pairs(const uint16_t* from) { return _mm512_load_si512(from); }
  static __m512i broadcast_pair(const uint16_t* from) { return broadcast_word(from); }
  static Type even(__m512i pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }
  static Type odd(__m512i pairs) {
    return _mm512_castsi512_ps(
        _mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int32_t>(0xffff0000u))));
  }
};

}  // namespace

const GemmBf16Kernels gemm_bf16 = {.pack_left = pack_left,
                                   .pack_left_turned = pack_left_turned,
                                   .pack_right = pack_right,
                                   .multiply = gemm_bf16_multiply<Vector512, 4, 2>};

}  // namespace minke::avx512
