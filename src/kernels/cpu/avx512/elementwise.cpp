// Quantising, norms, rotary positions and elementwise operations.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/float_bits.h"
#include "kernels/cpu/avx512/vec.h"

namespace minke::avx512 {
namespace {

__m512i magnitudes(__m512 v) {
  return _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7fffffff));
}

float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

void quantise_group(const float* x, int64_t runs, QuantGroup& out) {
  __m512i values[16];
  uint32_t run_bits[8] = {};
  uint32_t amax_bits = 0;
  for (int64_t run = 0; run < runs; ++run) {
    const __m512i low = _mm512_loadu_si512(x + run * 32);
    const __m512i high = _mm512_loadu_si512(x + run * 32 + 16);
    values[2 * run] = low;
    values[2 * run + 1] = high;
    run_bits[run] = _mm512_reduce_max_epu32(_mm512_max_epu32(
        magnitudes(_mm512_castsi512_ps(low)), magnitudes(_mm512_castsi512_ps(high))));
    amax_bits = std::max(amax_bits, run_bits[run]);
  }
  if (runs < 8 || amax_bits >= 0x7f800000u) out = QuantGroup{};
  if (amax_bits >= 0x7f800000u) {
    out.step = std::numeric_limits<float>::quiet_NaN();
    return;
  }
  const float amax = float_of(amax_bits);
  const float inverse = amax < 1e-30F ? 0.0F : 127.0F / amax;
  out.step = amax < 1e-30F ? 0.0F : amax / 127.0F * 0.125F;
  constexpr int kPairOrder[8] = {0, 2, 1, 3, 4, 6, 5, 7};
  for (int64_t run = 0; run < runs; ++run) {
    const float run_amax = float_of(run_bits[run]);
    int exponent = 0;
    while (exponent < 3 && run_amax * static_cast<float>(2 << exponent) <= amax) ++exponent;
    const __m512 factor = _mm512_set1_ps(inverse * static_cast<float>(1 << exponent));
    int32_t sums[2];
    for (int half = 0; half < 2; ++half) {
      const __m512i q =
          _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_castsi512_ps(values[2 * run + half]), factor));
      _mm_store_si128(reinterpret_cast<__m128i*>(out.q + run * 32 + half * 16),
                      _mm512_cvtepi32_epi8(q));
      sums[half] = _mm512_reduce_add_epi32(q);
    }
    const int32_t sum = sums[0] + sums[1];
    const int32_t shifted = sum * (8 >> exponent);
    out.shift[run] = 3 - exponent;
    out.neg_sum32[run] = -sum;
    out.neg_sum16[2 * run] = -sums[0];
    out.neg_sum16[2 * run + 1] = -sums[1];
    out.shifted_sum[run] = static_cast<float>(shifted);
    out.shifted_pairs[kPairOrder[run]] = static_cast<int16_t>(shifted);
  }
}

}  // namespace

void quantise(const float* x, int64_t rows, int64_t dim, QuantGroup* groups, int64_t row_begin,
              int64_t row_end) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    for (int64_t g = 0; g < groups_of(dim); ++g) {
      quantise_group(x + row * dim + g * kGroup, runs_in_group(dim, g), groups[g * rows + row]);
    }
  }
}

float peak_share(const float* x, int64_t dim) {
  __m512 lanes = _mm512_setzero_ps();
  __m512 peaks = _mm512_setzero_ps();
  for (int64_t i = 0; i < dim; i += 16) {
    const __mmask16 mask = first_lanes(dim - i);
    const __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
    lanes = _mm512_mask3_fmadd_ps(v, v, lanes, mask);
    peaks = _mm512_max_ps(_mm512_mul_ps(v, v), peaks);  // the second operand where v is NaN
  }
  const float total = sum(lanes);
  return total > 0.0F ? _mm512_reduce_max_ps(peaks) / total : 0.0F;
}

void to_bf16(const float* x, uint16_t* out, int64_t count) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m256bh rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(x + i));
    std::memcpy(out + i, &rounded, 32);
  }
  for (; i < count; ++i) out[i] = f32_to_bf16(x[i]);
}

void rms_norm(const float* x, const float* w, float epsilon, float* out, int64_t dim,
              int64_t row_begin, int64_t row_end) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    const float* in = x + row * dim;
    __m512 lanes = _mm512_setzero_ps();
    for (int64_t i = 0; i < dim; i += 16) {
      const __mmask16 mask = first_lanes(dim - i);
      const __m512 v = _mm512_maskz_loadu_ps(mask, in + i);
      lanes = _mm512_mask3_fmadd_ps(v, v, lanes, mask);
    }
    const float mean = sum(lanes) / static_cast<float>(dim);
    const __m512 scale = _mm512_set1_ps(1.0F / std::sqrt(mean + epsilon));
    for (int64_t i = 0; i < dim; i += 16) {
      const __mmask16 mask = first_lanes(dim - i);
      const __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, in + i), scale);
      _mm512_mask_storeu_ps(out + row * dim + i, mask,
                            _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, w + i)));
    }
  }
}

void swiglu(const float* gate, const float* up, float* out, int64_t count) {
  const __m512 one = _mm512_set1_ps(1.0F);
  for (int64_t i = 0; i < count; i += 16) {
    const __mmask16 mask = first_lanes(count - i);
    const __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
    const __m512 minus =
        _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(g), _mm512_set1_epi32(INT32_MIN)));
    const __m512 silu = _mm512_div_ps(g, _mm512_add_ps(one, exp(minus)));
    _mm512_mask_storeu_ps(out + i, mask, _mm512_mul_ps(silu, _mm512_maskz_loadu_ps(mask, up + i)));
  }
}

void add(const float* a, const float* b, float* out, int64_t count) {
  for (int64_t i = 0; i < count; i += 16) {
    const __mmask16 mask = first_lanes(count - i);
    _mm512_mask_storeu_ps(
        out + i, mask,
        _mm512_add_ps(_mm512_maskz_loadu_ps(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i)));
  }
}

void rope_halves(const float* x, const float* cos, const float* sin, float* out, int64_t pairs) {
  for (int64_t i = 0; i < pairs; i += 16) {
    const __mmask16 mask = first_lanes(pairs - i);
    const __m512 x0 = _mm512_maskz_loadu_ps(mask, x + i);
    const __m512 x1 = _mm512_maskz_loadu_ps(mask, x + pairs + i);
    const __m512 c = _mm512_maskz_loadu_ps(mask, cos + i);
    const __m512 s = _mm512_maskz_loadu_ps(mask, sin + i);
    _mm512_mask_storeu_ps(out + i, mask, _mm512_fmsub_ps(x0, c, _mm512_mul_ps(x1, s)));
    _mm512_mask_storeu_ps(out + pairs + i, mask, _mm512_fmadd_ps(x0, s, _mm512_mul_ps(x1, c)));
  }
}

void rope_adjacent(const float* x, const float* cos, const float* sin, float* out, int64_t pairs) {
  for (int64_t i = 0; i < pairs; ++i) {
    const float x0 = x[2 * i];
    const float x1 = x[2 * i + 1];
    out[2 * i] = std::fma(x0, cos[i], -(x1 * sin[i]));
    out[2 * i + 1] = std::fma(x0, sin[i], x1 * cos[i]);
  }
}

}  // namespace minke::avx512
