// gemm_f32 in 256-bit vectors: 6 rows by 16 columns of C in 12 of the 16 registers.
#include <immintrin.h>

#include "kernels/cpu/avx2/vec.h"
#include "kernels/cpu/gemm_f32_tiles.h"

namespace minke::avx2 {
namespace {

struct Vector256 {
  using Type = __m256;
  static constexpr int64_t kWidth = 8;
  static Type zero() { return _mm256_setzero_ps(); }
  static Type load(const float* from) { return _mm256_loadu_ps(from); }
  static Type broadcast(const float* from) { return _mm256_broadcast_ss(from); }
  static Type fma(Type a, Type b, Type c) { return _mm256_fmadd_ps(a, b, c); }
  static void store(float* to, Type value) { _mm256_storeu_ps(to, value); }
};

}  // namespace

void gemm_f32(const GemmF32& gemm) { gemm_f32_tiled<Vector256, 6>(gemm); }

}  // namespace minke::avx2
