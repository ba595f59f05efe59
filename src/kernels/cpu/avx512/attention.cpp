// Attention in 512-bit vectors: tiles of six queries by 64 keys or dimensions.
#include "kernels/cpu/attention.h"

#include "core/float_bits.h"
#include "kernels/cpu/avx512/vec.h"

namespace minke::avx512 {
namespace {

struct Vector512 {
  using Floats = __m512;
  using Ints = __m512i;
  using Mask = __mmask16;
  using Rounded = uint16_t;  // bf16
  static constexpr int kWidth = 16;
  static constexpr int kQueries = 6;
  static constexpr int kVectors = 4;

  static Mask first(int64_t count) { return first_lanes(std::max<int64_t>(count, 0)); }
  static Floats select(Mask mask, Floats a, Floats b) { return _mm512_mask_mov_ps(b, mask, a); }
  static Floats zero() { return _mm512_setzero_ps(); }
  static Floats set(float value) { return _mm512_set1_ps(value); }
  static Floats load(const float* from) { return _mm512_loadu_ps(from); }
  static Floats load(Mask mask, const float* from) { return _mm512_maskz_loadu_ps(mask, from); }
  static void store(float* to, Floats value) { _mm512_storeu_ps(to, value); }
  static void store(Mask mask, float* to, Floats value) { _mm512_mask_storeu_ps(to, mask, value); }
  static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static Floats sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
  static Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }  // b where one is NaN
  static Floats exp(Floats x) { return avx512::exp(x); }
  static float largest(Floats v) { return _mm512_reduce_max_ps(v); }
  static float sum(const Floats (&parts)[1]) { return avx512::sum(parts[0]); }

  // Pairs of bf16, and a pair for all lanes.
  static Ints load_pairs(const uint16_t* from) { return _mm512_loadu_si512(from); }
  static Ints load_pairs(Mask mask, const uint16_t* from) {
    return _mm512_maskz_loadu_epi32(mask, from);
  }
  static void add_pairs(Floats& sum, Ints pairs, const Rounded* two) {
    sum = _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(pairs),
                           reinterpret_cast<__m512bh>(broadcast_word(two)));
  }
  static Floats even(Ints pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }
  static Floats odd(Ints pairs) {
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(~0xffff)));
  }
  static Floats rounded(Floats value) {
    const auto bits = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(value));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static void round(Floats value, Rounded* out) {
    const __m256bh rounded = _mm512_cvtneps_pbh(value);
    std::memcpy(out, &rounded, 32);
  }
  static void round_first(Floats value, Mask mask, Rounded* out) {
    const __m256bh rounded = _mm512_cvtneps_pbh(value);
    _mm256_mask_storeu_epi16(out, mask, reinterpret_cast<__m256i>(rounded));
  }
  static void to_bf16(const float* x, uint16_t* out, int64_t count) {
    avx512::to_bf16(x, out, count);
  }
  static Floats load_bf16(const uint16_t* from) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }

  // Integers.
  static Ints zero_ints() { return _mm512_setzero_si512(); }
  static Ints widen(const int8_t* from) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static void dot(Ints& sum, Ints pairs, const int16_t* two) {
    sum = dot_words(sum, pairs, broadcast_word(two));
  }
  static Floats to_floats(Ints value) { return _mm512_cvtepi32_ps(value); }
  static Floats larger_magnitude(Floats a, Floats b) {
    const Ints magnitude = _mm512_set1_epi32(0x7fffffff);
    return _mm512_castsi512_ps(
        _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(a), magnitude),
                         _mm512_and_si512(_mm512_castps_si512(b), magnitude)));
  }
  static float largest_magnitude(Floats v) {
    return std::bit_cast<float>(_mm512_reduce_max_epi32(_mm512_castps_si512(v)));
  }
  static void store_int16(Floats value, Mask mask, int16_t* out) {
    _mm256_mask_storeu_epi16(out, mask, _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(value)));
  }
  static void store_int8(Floats value, Mask mask, int8_t* out) {
    _mm_mask_storeu_epi8(out, mask, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(value)));
  }
};

}  // namespace

void store_kv(const float* k, const float* v, KvDtype dtype, std::byte* head_page, int64_t head_dim,
              int64_t token_in_page) {
  store_kv_of<Vector512>(k, v, dtype, head_page, head_dim, token_in_page);
}
void attention(const AttentionTask& task, int64_t kv_head, int64_t row_begin, int64_t row_end) {
  attention_of<Vector512>(task, kv_head, row_begin, row_end);
}
void attention_runs(const AttentionTask& task, int64_t kv_head, int64_t run_begin, int64_t run_end,
                    float* found) {
  attention_runs_of<Vector512>(task, kv_head, run_begin, run_end, found);
}
void attention_join(const AttentionTask& task, int64_t kv_head, float* found) {
  attention_join_of<Vector512>(task, kv_head, found);
}

}  // namespace minke::avx512
