// gemm_f32 in 512-bit vectors: 12 rows by 32 columns of C in 24 of the 32 registers.
#include <immintrin.h>

#include "kernels/cpu/avx512/vec.h"
#include "kernels/cpu/gemm_f32_tiles.h"

namespace minke::avx512 {
namespace {

struct Vector512 {
  using Type = __m512;
  static constexpr int64_t kWidth = 16;
  static Type zero() { return _mm512_setzero_ps(); }
  static Type load(const float* from) { return _mm512_loadu_ps(from); }
  static Type broadcast(const float* from) { return _mm512_set1_ps(*from); }
  static Type fma(Type a, Type b, Type c) { return _mm512_fmadd_ps(a, b, c); }
  static void store(float* to, Type value) { _mm512_storeu_ps(to, value); }
};

}  // namespace

void gemm_f32(const GemmF32& gemm) { gemm_f32_tiled<Vector512, 12>(gemm); }

}  // namespace minke::avx512
