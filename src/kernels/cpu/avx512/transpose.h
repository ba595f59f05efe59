// Sixteen vectors of sixteen numbers, turned.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/unroll.h"

namespace minke::avx512 {

// Number j of vector i becomes number i of vector j.
inline void transpose(__m512 (&r)[16]) {
  __m512 t[16];
  MINKE_UNROLL for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  MINKE_UNROLL for (int i = 0; i < 16; i += 4) {
    MINKE_UNROLL for (int h = 0; h < 2; ++h) {
      const __m512d a = _mm512_castps_pd(t[i + h]);
      const __m512d b = _mm512_castps_pd(t[i + 2 + h]);
      r[i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
      r[i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
  }
  // Column c of four rows is now in lane c / 4 of r[4 * group + c % 4].
  MINKE_UNROLL for (int c = 0; c < 4; ++c) {
    const __m512 a = _mm512_shuffle_f32x4(r[c], r[4 + c], 0x88);
    const __m512 b = _mm512_shuffle_f32x4(r[c], r[4 + c], 0xdd);
    const __m512 e = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0x88);
    const __m512 f = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0xdd);
    t[c] = _mm512_shuffle_f32x4(a, e, 0x88);
    t[8 + c] = _mm512_shuffle_f32x4(a, e, 0xdd);
    t[4 + c] = _mm512_shuffle_f32x4(b, f, 0x88);
    t[12 + c] = _mm512_shuffle_f32x4(b, f, 0xdd);
  }
  MINKE_UNROLL for (int i = 0; i < 16; ++i) r[i] = t[i];
}

}  // namespace minke::avx512
