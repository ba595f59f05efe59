// Attention in 256-bit vectors: tiles of four queries by 16 keys or dimensions. Queries and weights
// that are rounded to bf16 are kept as fp32, ready to broadcast.
#include "kernels/cpu/attention.h"

#include "core/float_bits.h"
#include "kernels/cpu/avx2/vec.h"

namespace minke::avx2 {
namespace {

struct Vector256 {
  using Floats = __m256;
  using Ints = __m256i;
  using Mask = __m256i;
  using Rounded = float;
  static constexpr int kWidth = 8;
  static constexpr int kQueries = 4;
  static constexpr int kVectors = 2;

  static Mask first(int64_t count) { return first_lanes(count); }
  static Floats select(Mask mask, Floats a, Floats b) {
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(mask));
  }
  static Floats zero() { return _mm256_setzero_ps(); }
  static Floats set(float value) { return _mm256_set1_ps(value); }
  static Floats load(const float* from) { return _mm256_loadu_ps(from); }
  static Floats load(Mask mask, const float* from) { return _mm256_maskload_ps(from, mask); }
  static void store(float* to, Floats value) { _mm256_storeu_ps(to, value); }
  static void store(Mask mask, float* to, Floats value) { _mm256_maskstore_ps(to, mask, value); }
  static Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static Floats sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
  static Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static Floats max(Floats a, Floats b) { return _mm256_max_ps(a, b); }  // b where one is NaN
  static Floats exp(Floats x) { return avx2::exp(x); }
  static float largest(Floats v) {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  // sum_lanes of kernels/math.h.
  static float sum(const Floats (&parts)[2]) {
    const __m256 eight = _mm256_add_ps(parts[0], parts[1]);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }

  // Pairs of bf16, and a pair for all lanes.
  static Ints load_pairs(const uint16_t* from) { return load32(from); }
  static Ints load_pairs(Mask mask, const uint16_t* from) {
    return _mm256_maskload_epi32(reinterpret_cast<const int*>(from), mask);
  }
  // As vdpbf16ps does it: the odd element first.
  static void add_pairs(Floats& sum, Ints pairs, const Rounded* two) {
    sum = _mm256_fmadd_ps(even_bf16(pairs), _mm256_broadcast_ss(two),
                          _mm256_fmadd_ps(odd_bf16(pairs), _mm256_broadcast_ss(two + 1), sum));
  }
  static Floats even(Ints pairs) { return even_bf16(pairs); }
  static Floats odd(Ints pairs) { return odd_bf16(pairs); }
  static Floats rounded(Floats value) { return even_bf16(round_to_bf16(value)); }
  static void round(Floats value, Rounded* out) { _mm256_storeu_ps(out, rounded(value)); }
  static void round_first(Floats value, Mask mask, Rounded* out) {
    _mm256_maskstore_ps(out, mask, rounded(value));
  }
  static void to_bf16(const float* x, uint16_t* out, int64_t count) {
    avx2::to_bf16(x, out, count);
  }
  static Floats load_bf16(const uint16_t* from) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }

  // Integers.
  static Ints zero_ints() { return _mm256_setzero_si256(); }
  static Ints widen(const int8_t* from) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static void dot(Ints& sum, Ints pairs, const int16_t* two) {
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, broadcast_word(two)));
  }
  static Floats to_floats(Ints value) { return _mm256_cvtepi32_ps(value); }
  static Floats larger_magnitude(Floats a, Floats b) {
    const Ints magnitude = _mm256_set1_epi32(0x7fffffff);
    return _mm256_castsi256_ps(
        _mm256_max_epi32(_mm256_and_si256(_mm256_castps_si256(a), magnitude),
                         _mm256_and_si256(_mm256_castps_si256(b), magnitude)));
  }
  static float largest_magnitude(Floats v) {
    const Ints bits = _mm256_castps_si256(v);
    const __m128i four =
        _mm_max_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
    const __m128i two = _mm_max_epi32(four, _mm_unpackhi_epi64(four, four));
    return std::bit_cast<float>(
        _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 0x55))));
  }
  static void store_int16(Floats value, Mask mask, int16_t* out) {
    const __m128i words = words_of(value);
    if (_mm256_movemask_epi8(mask) == -1) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out), words);
    } else {
      std::memcpy(out, &words, 2 * lanes(mask));
    }
  }
  static void store_int8(Floats value, Mask mask, int8_t* out) {
    const __m128i words = words_of(value);
    const __m128i bytes = _mm_packs_epi16(words, words);
    std::memcpy(out, &bytes, lanes(mask));
  }

 private:
  static size_t lanes(Mask mask) {
    return static_cast<size_t>(
        __builtin_popcount(static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(mask)))));
  }
  static __m128i words_of(Floats value) {
    const Ints whole = _mm256_cvtps_epi32(value);
    return _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
  }
};

}  // namespace

void store_kv(const float* k, const float* v, KvDtype dtype, std::byte* head_page, int64_t head_dim,
              int64_t token_in_page) {
  store_kv_of<Vector256>(k, v, dtype, head_page, head_dim, token_in_page);
}
void attention(const AttentionTask& task, int64_t kv_head, int64_t row_begin, int64_t row_end) {
  attention_of<Vector256>(task, kv_head, row_begin, row_end);
}
void attention_runs(const AttentionTask& task, int64_t kv_head, int64_t run_begin, int64_t run_end,
                    float* found) {
  attention_runs_of<Vector256>(task, kv_head, run_begin, run_end, found);
}
void attention_join(const AttentionTask& task, int64_t kv_head, float* found) {
  attention_join_of<Vector256>(task, kv_head, found);
}

}  // namespace minke::avx2
