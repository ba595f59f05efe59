// The AVX-512 vocabulary of the kernels in this folder: what intrinsics lack or g++ spells badly.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/cpu/unroll.h"
#include "kernels/kernels.h"
#include "kernels/math.h"

namespace minke::avx512 {

// acc plus unsigned bytes of w times signed bytes of x, four to a lane. As assembly: g++ 12 carries
// accumulators through a loop in two sets of registers and copies one to the other every round. By
// value: an array of accumulators that assembly refers to stays in memory.
inline __m512i dot(__m512i acc, __m512i w, __m512i x) {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(w), "v"(x));
  return acc;
}
// The same four bytes at x for all lanes. As assembly, because g++ 12 does not fold the broadcast
// into the instruction.
inline __m512i dot_broadcast(__m512i acc, __m512i w, const void* x) {
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(w), "m"(*static_cast<const int32_t*>(x)));
  return acc;
}
// acc plus products of pairs of 16-bit integers.
inline __m512i dot_words(__m512i acc, __m512i a, __m512i b) {
  asm("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
  return acc;
}

inline __m512i broadcast_word(const void* at) {
  int32_t word;
  std::memcpy(&word, at, 4);
  return _mm512_set1_epi32(word);
}

inline __m512 half_to_float(const void* at) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(at)));
}

// exact_exp of kernels/math.h, lane by lane.
inline __m512 exp(__m512 x) {
  using namespace exp_constants;
  const __mmask16 below = _mm512_cmp_ps_mask(x, _mm512_set1_ps(kLow), _CMP_LT_OQ);
  x = _mm512_min_ps(_mm512_set1_ps(kHigh), x);  // the second operand where x is NaN
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(kLog2E)),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(-kLn2High), x);
  r = _mm512_fmadd_ps(n, _mm512_set1_ps(-kLn2Low), r);
  __m512 p = _mm512_set1_ps(kP0);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(kP1));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(kP2));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(kP3));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(kP4));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(kP5));
  p = _mm512_add_ps(_mm512_fmadd_ps(_mm512_mul_ps(p, r), r, r), _mm512_set1_ps(1.0F));
  const __m512i power =
      _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23);
  return _mm512_maskz_mul_ps(static_cast<__mmask16>(~below), p, _mm512_castsi512_ps(power));
}

// sum_lanes of kernels/math.h.
inline float sum(__m512 v) {
  alignas(64) float lanes[16];
  _mm512_store_ps(lanes, v);
  return sum_lanes(lanes);
}

inline __mmask16 first_lanes(int64_t count) {
  return count >= 16 ? __mmask16{0xffff} : static_cast<__mmask16>((1u << count) - 1);
}

// Writes 16 outputs of a row, with the bias where there is one, cut at the matrix's end.
inline void store_outputs(const LinearTask& task, int64_t panel, int64_t row, __m512 acc) {
  const int64_t out = panel * kPanelOutputs;
  const __mmask16 mask = first_lanes(task.w->out_dim() - out);
  if (task.bias && row < task.bias_rows) {
    acc = _mm512_add_ps(acc, _mm512_maskz_loadu_ps(mask, task.bias + out));
  }
  _mm512_mask_storeu_ps(task.place(row, out), mask, acc);
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

}  // namespace minke::avx512
