// The AVX2 vocabulary of the kernels in this folder. A panel's 16 outputs are two halves of eight
// lanes; whatever works on one takes `half`, 0 or 1.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/cpu/unroll.h"
#include "kernels/kernels.h"
#include "kernels/math.h"

namespace minke::avx2 {

inline __m256i load32(const void* at) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(at));
}
inline void store32(void* at, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(at), v); }

inline __m256i broadcast_word(const void* at) {
  int32_t word;
  std::memcpy(&word, at, 4);
  return _mm256_set1_epi32(word);
}

// Eight fp16 values as fp32.
inline __m256 half_to_float(const void* at) {
  return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(at)));
}

// Pairs of bf16 in 32-bit words as fp32: the second of each pair, and the first.
inline __m256 odd_bf16(__m256i pairs) {
  return _mm256_castsi256_ps(
      _mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int32_t>(0xffff0000u))));
}
inline __m256 even_bf16(__m256i pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }

// f32_to_bf16 of core/float_bits.h: eight results in the low halves of 32-bit words.
inline __m256i round_to_bf16(__m256 value) {
  const __m256i bits = _mm256_castps_si256(value);
  const __m256i high = _mm256_srli_epi32(bits, 16);
  const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
  const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(
      _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  // Magnitudes are not negative, so signed comparisons order them.
  const __m256i nan = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f800000));
  const __m256i tiny = _mm256_cmpgt_epi32(_mm256_set1_epi32(0x00800000), magnitude);
  const __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
  const __m256i sign = _mm256_and_si256(high, _mm256_set1_epi32(0x8000));
  return _mm256_blendv_epi8(_mm256_blendv_epi8(rounded, quiet, nan), sign, tiny);
}

// exact_exp of kernels/math.h, lane by lane.
inline __m256 exp(__m256 x) {
  using namespace exp_constants;
  const __m256 below = _mm256_cmp_ps(x, _mm256_set1_ps(kLow), _CMP_LT_OQ);
  x = _mm256_min_ps(_mm256_set1_ps(kHigh), x);  // the second operand where x is NaN
  const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(kLog2E)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(-kLn2High), x);
  r = _mm256_fmadd_ps(n, _mm256_set1_ps(-kLn2Low), r);
  __m256 p = _mm256_set1_ps(kP0);
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(kP1));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(kP2));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(kP3));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(kP4));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(kP5));
  p = _mm256_add_ps(_mm256_fmadd_ps(_mm256_mul_ps(p, r), r, r), _mm256_set1_ps(1.0F));
  const __m256i power =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return _mm256_andnot_ps(below, _mm256_mul_ps(p, _mm256_castsi256_ps(power)));
}

// All ones in the first `count` lanes: for maskload and maskstore.
inline __m256i first_lanes(int64_t count) {
  const int32_t lanes = count >= 8 ? 8 : static_cast<int32_t>(count);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

// Writes eight outputs of a row, with the bias where there is one, cut at the matrix's end.
inline void store_outputs(const LinearTask& task, int64_t panel, int64_t half, int64_t row,
                          __m256 acc) {
  const int64_t out = panel * kPanelOutputs + half * 8;
  const int64_t count = task.w->out_dim() - out;
  if (count <= 0) return;
  const __m256i mask = first_lanes(count);
  if (task.bias && row < task.bias_rows) {
    acc = _mm256_add_ps(acc, _mm256_maskload_ps(task.bias + out, mask));
  }
  _mm256_maskstore_ps(task.place(row, out), mask, acc);
}

// The entries of the table, one file each kind.
void quantise(const float* x, int64_t rows, int64_t dim, QuantGroup* groups, int64_t row_begin,
              int64_t row_end);
float peak_share(const float* x, int64_t dim);
void to_bf16(const float* x, uint16_t* out, int64_t count);
void rms_norm(const float* x, const float* w, float epsilon, float* out, int64_t dim,
              int64_t row_begin, int64_t row_end);
void swiglu(const float* gate, const float* up, float* out, int64_t count);
void add(const float* a, const float* b, float* out, int64_t count);
void rope_adjacent(const float* x, const float* cos, const float* sin, float* out, int64_t pairs);
void rope_halves(const float* x, const float* cos, const float* sin, float* out, int64_t pairs);
void store_kv(const float* k, const float* v, KvDtype dtype, std::byte* head_page, int64_t head_dim,
              int64_t token_in_page);
void attention(const AttentionTask& task, int64_t kv_head, int64_t row_begin, int64_t row_end);
void attention_runs(const AttentionTask& task, int64_t kv_head, int64_t run_begin, int64_t run_end,
                    float* found);
void attention_join(const AttentionTask& task, int64_t kv_head, float* found);
void gemm_f32(const GemmF32& gemm);
extern const GemmBf16Kernels gemm_bf16;
extern const LogitKernels logits;
extern const TrainingKernels training;
void linear_q4_0(const LinearTask& task, int64_t panel_begin, int64_t panel_end);
void linear_q4_1(const LinearTask& task, int64_t panel_begin, int64_t panel_end);
void linear_q5_0(const LinearTask& task, int64_t panel_begin, int64_t panel_end);
void linear_q8_0(const LinearTask& task, int64_t panel_begin, int64_t panel_end);
void linear_run8(const LinearTask& task, int64_t panel_begin, int64_t panel_end);
void linear_q4_k(const LinearTask& task, int64_t panel_begin, int64_t panel_end);
void linear_q5_k(const LinearTask& task, int64_t panel_begin, int64_t panel_end);
void linear_q6_k(const LinearTask& task, int64_t panel_begin, int64_t panel_end);
void linear_super8(const LinearTask& task, int64_t panel_begin, int64_t panel_end);
void linear_f32(const LinearTask& task, int64_t panel_begin, int64_t panel_end);
void linear_f16(const LinearTask& task, int64_t panel_begin, int64_t panel_end);
void linear_bf16(const LinearTask& task, int64_t panel_begin, int64_t panel_end);

}  // namespace minke::avx2
