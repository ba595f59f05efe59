// store_kv and attention, written once over a small vocabulary of vectors (V::load, V::fma, ...).
// Each instruction set includes this in one file of its own, which alone is compiled for that set;
// all of this is local to that file.
//
// A page of 64 keys is a split: its scores, weights and values are made for a tile of queries at a
// time (heads that share the kv head, then further rows), so that a page is read once for a run of
// rows and every load of K or V serves several products.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/float_bits.h"
#include "kernels/cpu/for_tiles.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/unroll.h"
#include "kernels/kernels.h"
#include "kernels/kv_page.h"
#include "kernels/math.h"

namespace minke {
namespace {

// What 64 scores have become: weights relative to their maximum, and those weights' sum.
template <typename V>
struct Weights {
  static constexpr int kVectors = kKvPageTokens / V::kWidth;
  typename V::Floats weights[kVectors];
  float max;
  float sum;
};

template <typename V>
[[gnu::noinline]] void weigh(const float* scores, int64_t keys, float scale, Weights<V>& out) {
  using Floats = typename V::Floats;
  constexpr int kParts = 16 / V::kWidth;  // of the sixteen lanes of a sum
  const Floats lowest = V::set(-std::numeric_limits<float>::infinity());
  Floats most = lowest;
  MINKE_UNROLL for (int j = 0; j < Weights<V>::kVectors; ++j) {
    out.weights[j] = V::mul(V::load(scores + j * V::kWidth), V::set(scale));
    const auto seen = V::first(keys - j * V::kWidth);
    most = V::max(V::select(seen, out.weights[j], lowest), most);  // `most` where it is NaN
  }
  out.max = V::largest(most);
  Floats sums[kParts];
  MINKE_UNROLL for (int part = 0; part < kParts; ++part) sums[part] = V::zero();
  MINKE_UNROLL for (int j = 0; j < Weights<V>::kVectors; ++j) {
    const auto seen = V::first(keys - j * V::kWidth);
    out.weights[j] = V::select(seen, V::exp(V::sub(out.weights[j], V::set(out.max))), V::zero());
    sums[j % kParts] = V::add(sums[j % kParts], out.weights[j]);
  }
  out.sum = V::sum(sums);
}

// The cache's two forms. A Query or weight is kept as it is multiplied, two of them beside each
// other for a pair of dimensions or of tokens.

template <typename V>
struct Bf16Pages {
  using Number = uint16_t;  // of a page
  using Factor = typename V::Rounded;
  using Sums = typename V::Floats;
  static constexpr bool kStepped = false;
  static constexpr bool kLatent = false;
  static constexpr int kVectors = V::kVectors;  // of keys or dimensions, for a tile of queries

  static auto load(const Number* at) { return V::load_pairs(at); }
  static auto load(typename V::Mask mask, const Number* at) { return V::load_pairs(mask, at); }
  static Sums zero() { return V::zero(); }
  template <typename Pairs>
  static void multiply(Sums& sum, Pairs pairs, const Factor* two) {
    V::add_pairs(sum, pairs, two);
  }
  static typename V::Floats value(Sums sum, float /*step*/) { return sum; }

  // Rounds a query; returns what its scores are to be multiplied by.
  static float round_query(const float* q, int64_t dim, float scale, Factor* out) {
    int64_t d = 0;
    for (; d + V::kWidth <= dim; d += V::kWidth) V::round(V::load(q + d), out + d);
    if (d < dim) V::round_first(V::load(V::first(dim - d), q + d), V::first(dim - d), out + d);
    return scale;
  }
  static float round_weights(const Weights<V>& w, int64_t /*keys*/, const std::byte* /*page*/,
                             int64_t /*dim*/, Factor* out) {
    MINKE_UNROLL for (int j = 0; j < Weights<V>::kVectors; ++j) {
      V::round(w.weights[j], out + j * V::kWidth);
    }
    return 1.0F;
  }
};

template <typename V>
struct Q8Pages {
  using Number = int8_t;
  using Factor = int16_t;
  using Sums = typename V::Ints;
  static constexpr bool kStepped = true;
  static constexpr bool kLatent = false;
  static constexpr int kVectors = V::kVectors;

  // Beyond the last value lie a page's steps, so that a whole vector may be read there.
  static auto load(const Number* at) { return V::widen(at); }
  static auto load(typename V::Mask /*mask*/, const Number* at) { return V::widen(at); }
  static Sums zero() { return V::zero_ints(); }
  static void multiply(Sums& sum, typename V::Ints pairs, const Factor* two) {
    V::dot(sum, pairs, two);
  }
  static typename V::Floats value(Sums sum, float step) {
    return V::mul(V::to_floats(sum), V::set(step));
  }

  static float round_query(const float* q, int64_t dim, float scale, Factor* out) {
    typename V::Floats most = V::zero();
    for (int64_t d = 0; d < dim; d += V::kWidth) {
      most = V::larger_magnitude(most, V::load(V::first(dim - d), q + d));
    }
    const IntegerStep step = integer_step(V::largest_magnitude(most), 32767.0F);
    for (int64_t d = 0; d < dim; d += V::kWidth) {
      const auto some = V::first(dim - d);
      V::store_int16(V::mul(V::load(some, q + d), V::set(step.inverse)), some, out + d);
    }
    return step.step * scale;
  }
  static float round_weights(const Weights<V>& w, int64_t keys, const std::byte* page, int64_t dim,
                             Factor* out) {
    const uint16_t* steps = kv_steps(page, dim) + v_step_place(dim, 0);
    typename V::Floats shares[Weights<V>::kVectors];
    typename V::Floats most = V::zero();
    MINKE_UNROLL for (int j = 0; j < Weights<V>::kVectors; ++j) {
      const int64_t at = j * V::kWidth;
      shares[j] =
          V::select(V::first(keys - at), V::mul(w.weights[j], V::load_bf16(steps + at)), V::zero());
      most = V::larger_magnitude(most, shares[j]);
    }
    const IntegerStep step = integer_step(V::largest_magnitude(most), 32767.0F);
    MINKE_UNROLL for (int j = 0; j < Weights<V>::kVectors; ++j) {
      V::store_int16(V::mul(shares[j], V::set(step.inverse)), V::first(V::kWidth),
                     out + j * V::kWidth);
    }
    return step.step;
  }
};

// Latents, in bf16 too, but multiplied in fp32: the sums run as tile products have them.
template <typename V>
struct LatentPages {
  using Number = uint16_t;
  using Factor = float;  // rounded to bf16
  using Sums = typename V::Floats;
  static constexpr bool kStepped = false;
  static constexpr bool kLatent = true;
  static constexpr int kVectors = V::kVectors / 2;  // half the sums are of odd elements

  static typename V::Floats value(Sums sum, float /*step*/) { return sum; }
  static float round_query(const float* q, int64_t dim, float scale, Factor* out) {
    for (int64_t d = 0; d < dim; d += V::kWidth) {
      const auto some = V::first(dim - d);
      V::store(some, out + d, V::rounded(V::load(some, q + d)));
    }
    return scale;
  }
  static float round_weights(const Weights<V>& w, int64_t /*keys*/, const std::byte* /*page*/,
                             int64_t /*dim*/, Factor* out) {
    MINKE_UNROLL for (int j = 0; j < Weights<V>::kVectors; ++j) {
      V::store(out + j * V::kWidth, V::rounded(w.weights[j]));
    }
    return 1.0F;
  }
};

// What queries have found so far, in memory of run_floats(): see there.
struct Found {
  Found(float* at, int64_t queries) : max(at), sum(at + queries), values(at + 2 * queries) {}
  float* max;
  float* sum;
  float* values;  // [queries][value_dim]
};

// A page as a tile reads it: what lies `k_ahead` bytes behind a key, and `v_ahead` behind a value,
// is fetched meanwhile.
struct PageView {
  const std::byte* page;
  const std::byte* values;  // in the order of V
  ptrdiff_t k_ahead;
  ptrdiff_t v_ahead;
};

template <int kBytes>
[[gnu::always_inline]] inline void prefetch_vector(const void* at, ptrdiff_t ahead, int vector) {
  if (vector * kBytes % 64 == 0) {
    _mm_prefetch(static_cast<const char*>(at) + ahead, _MM_HINT_T0);
  }
}

// N x W sums of products over `pairs` pairs: of N queries or rows of weights, which lie `stride`
// factors from each other, and W vectors of numbers of a page, of which the next pair's lie `step`
// numbers further. `last` cuts the last vector. A function of its own: inlined into loops, g++ 12
// keeps two sets of accumulators and copies one to the other every round.
template <typename V, typename Pages, int N, int W>
[[gnu::noinline]] void sum_products(const typename Pages::Factor* factors, int64_t stride,
                                    const typename Pages::Number* at, int64_t step, int64_t pairs,
                                    typename V::Mask last, ptrdiff_t ahead,
                                    typename Pages::Sums (&out)[N][W]) {
  typename Pages::Sums sums[N][W];
  MINKE_UNROLL for (int n = 0; n < N; ++n) {
    MINKE_UNROLL for (int w = 0; w < W; ++w) sums[n][w] = Pages::zero();
  }
  do {
    decltype(Pages::load(at)) numbers[W];
    MINKE_UNROLL for (int w = 0; w < W; ++w) {
      const auto* from = at + w * 2 * V::kWidth;
      numbers[w] = w == W - 1 ? Pages::load(last, from) : Pages::load(from);
      prefetch_vector<2 * V::kWidth * sizeof(*at)>(from, ahead, w);
    }
    MINKE_UNROLL for (int n = 0; n < N; ++n) {
      MINKE_UNROLL for (int w = 0; w < W; ++w) {
        Pages::multiply(sums[n][w], numbers[w], factors + n * stride);
      }
    }
    at += step;
    factors += 2;
  } while (--pairs != 0);
  MINKE_UNROLL for (int n = 0; n < N; ++n) {
    MINKE_UNROLL for (int w = 0; w < W; ++w) out[n][w] = sums[n][w];
  }
}

// Adds a chunk of a latent score: even and odd dimensions apart, then together. Vectors of keys.
template <typename V, int N, int W>
[[gnu::noinline]] void add_chunk_of_score(const float* q, int64_t stride, const uint16_t* at,
                                          int64_t pairs, ptrdiff_t ahead,
                                          typename V::Floats (&sums)[N][W]) {
  typename V::Floats even[N][W];
  typename V::Floats odd[N][W];
  MINKE_UNROLL for (int n = 0; n < N; ++n) {
    MINKE_UNROLL for (int w = 0; w < W; ++w) even[n][w] = odd[n][w] = V::zero();
  }
  do {
    MINKE_UNROLL for (int w = 0; w < W; ++w) {
      const auto* from = at + w * 2 * V::kWidth;
      const auto numbers = V::load_pairs(from);
      prefetch_vector<2 * V::kWidth * sizeof(*at)>(from, ahead, w);
      MINKE_UNROLL for (int n = 0; n < N; ++n) {
        even[n][w] = V::fma(V::even(numbers), V::set(q[n * stride]), even[n][w]);
        odd[n][w] = V::fma(V::odd(numbers), V::set(q[n * stride + 1]), odd[n][w]);
      }
    }
    at += 2 * kKvPageTokens;
    q += 2;
  } while (--pairs != 0);
  MINKE_UNROLL for (int n = 0; n < N; ++n) {
    MINKE_UNROLL for (int w = 0; w < W; ++w) {
      sums[n][w] = V::add(sums[n][w], V::add(even[n][w], odd[n][w]));
    }
  }
}

// Adds a chunk of a latent value: kLatentChunkTokens tokens, one after the other. Vectors of
// dimensions, of which the next pair of tokens lies `step` numbers further.
template <typename V, int N, int W>
[[gnu::noinline]] void add_chunk_of_value(const float* weights, const uint16_t* at, int64_t step,
                                          typename V::Mask last, typename V::Floats (&sums)[N][W]) {
  typename V::Floats chain[N][W];
  MINKE_UNROLL for (int n = 0; n < N; ++n) {
    MINKE_UNROLL for (int w = 0; w < W; ++w) chain[n][w] = V::zero();
  }
  for (int64_t pair = 0; pair < kLatentChunkTokens / 2; ++pair, at += step, weights += 2) {
    MINKE_UNROLL for (int w = 0; w < W; ++w) {
      const auto* from = at + w * 2 * V::kWidth;
      const auto numbers = w == W - 1 ? V::load_pairs(last, from) : V::load_pairs(from);
      MINKE_UNROLL for (int n = 0; n < N; ++n) {
        const float* weight = weights + n * kKvPageTokens;
        chain[n][w] = V::fma(V::even(numbers), V::set(weight[0]), chain[n][w]);
        chain[n][w] = V::fma(V::odd(numbers), V::set(weight[1]), chain[n][w]);
      }
    }
  }
  MINKE_UNROLL for (int n = 0; n < N; ++n) {
    MINKE_UNROLL for (int w = 0; w < W; ++w) sums[n][w] = V::add(sums[n][w], chain[n][w]);
  }
}

template <typename V, int N>
[[gnu::always_inline]] inline void score_latents(const float* q, const PageView& view, int64_t dim,
                                                 float* scores) {
  constexpr int kVectors = LatentPages<V>::kVectors;
  const auto* page = reinterpret_cast<const uint16_t*>(view.page);
  for (int64_t key = 0; key < kKvPageTokens; key += kVectors * V::kWidth) {
    typename V::Floats sums[N][kVectors];
    MINKE_UNROLL for (int n = 0; n < N; ++n) {
      MINKE_UNROLL for (int w = 0; w < kVectors; ++w) sums[n][w] = V::zero();
    }
    for (int64_t begin = 0; begin < dim; begin += kLatentChunkDims) {
      add_chunk_of_score<V, N, kVectors>(q + begin, dim, page + k_place(key, begin),
                                         std::min(kLatentChunkDims, dim - begin) / 2, view.k_ahead,
                                         sums);
    }
    MINKE_UNROLL for (int n = 0; n < N; ++n) {
      MINKE_UNROLL for (int w = 0; w < kVectors; ++w) {
        V::store(scores + n * kKvPageTokens + key + w * V::kWidth, sums[n][w]);
      }
    }
  }
}

// Scores of N queries against the 64 keys of a page, kVectors vectors of keys at a time.
template <typename V, typename Pages, int N>
[[gnu::always_inline]] inline void score_page(const typename Pages::Factor* q, const PageView& view,
                                              int64_t dim, float* scores) {
  constexpr int kVectors = V::kVectors;
  const auto* page = reinterpret_cast<const typename Pages::Number*>(view.page);
  const int64_t group = Pages::kStepped ? kKvGroup : dim;
  typename Pages::Sums sums[N][kVectors];
  for (int64_t key = 0; key < kKvPageTokens; key += kVectors * V::kWidth) {
    for (int64_t begin = 0; begin < dim; begin += group) {
      sum_products<V, Pages, N, kVectors>(q + begin, dim, page + k_place(key, begin),
                                          2 * kKvPageTokens, std::min(group, dim - begin) / 2,
                                          V::first(V::kWidth), view.k_ahead, sums);
      MINKE_UNROLL for (int j = 0; j < kVectors; ++j) {
        const int64_t at = key + j * V::kWidth;
        if constexpr (Pages::kStepped) {
          const auto step =
              V::load_bf16(kv_steps(view.page, dim) + k_step_place(at, begin / kKvGroup));
          MINKE_UNROLL for (int n = 0; n < N; ++n) {
            float* to = scores + n * kKvPageTokens + at;
            const auto before = begin == 0 ? V::zero() : V::load(to);
            V::store(to, V::fma(V::to_floats(sums[n][j]), step, before));
          }
        } else {
          MINKE_UNROLL for (int n = 0; n < N; ++n) {
            V::store(scores + n * kKvPageTokens + at, sums[n][j]);
          }
        }
      }
    }
  }
}

// How the values of a page join what came before: before * ours + values * theirs.
template <int kMost>
struct Join {
  bool is_first;
  alignas(64) float ours[kMost];
  alignas(64) float theirs[kMost];
  float steps[kMost];
};

// Adds the values of a page, W vectors of dimensions from `d` on, to N queries' sums.
template <typename V, typename Pages, int N, int W, int kMost>
[[gnu::always_inline]] inline void add_values(const typename Pages::Factor* weights,
                                              const PageView& view, int64_t dim, int64_t d,
                                              const Join<kMost>& join, float* values) {
  const auto* v = reinterpret_cast<const typename Pages::Number*>(view.values) + 2 * d;
  const auto last = V::first(dim - d - (W - 1) * V::kWidth);
  typename Pages::Sums sums[N][W];
  if constexpr (Pages::kLatent) {
    MINKE_UNROLL for (int n = 0; n < N; ++n) {
      MINKE_UNROLL for (int w = 0; w < W; ++w) sums[n][w] = V::zero();
    }
    for (int64_t token = 0; token < kKvPageTokens; token += kLatentChunkTokens) {
      add_chunk_of_value<V, N, W>(weights + token, v + token * dim, 2 * dim, last, sums);
    }
  } else {
    sum_products<V, Pages, N, W>(weights, kKvPageTokens, v, 2 * dim, kKvPageTokens / 2, last,
                                 view.v_ahead, sums);
  }
  MINKE_UNROLL for (int n = 0; n < N; ++n) {
    MINKE_UNROLL for (int w = 0; w < W; ++w) {
      const auto mask = w == W - 1 ? last : V::first(V::kWidth);
      float* at = values + n * dim + d + w * V::kWidth;
      auto joined = Pages::value(sums[n][w], join.steps[n]);
      if (!join.is_first) {
        joined =
            V::fma(V::load(mask, at), V::set(join.ours[n]), V::mul(joined, V::set(join.theirs[n])));
      }
      V::store(mask, at, joined);
    }
  }
}

// Brings the states of some queries, one a lane, and a page's into one.
template <typename V>
inline void join_states(typename V::Mask some, float* max, float* sum, const float* next_max,
                        const float* next_sum, float* ours, float* theirs) {
  const auto before = V::load(some, max);
  const auto next = V::load(some, next_max);
  const auto larger = V::max(next, before);
  const auto our_share = V::exp(V::sub(before, larger));
  const auto their_share = V::exp(V::sub(next, larger));
  V::store(some, max, larger);
  V::store(some, sum,
           V::fma(V::load(some, sum), our_share, V::mul(V::load(some, next_sum), their_share)));
  V::store(some, ours, our_share);
  V::store(some, theirs, their_share);
}

// The queries of some rows of a task that share a kv head. Query i is row row_begin + i / group,
// head kv_head * group + i % group: neighbours in memory.
template <typename V>
struct Queries {
  const AttentionTask& task;
  int64_t kv_head, row_begin, row_end;

  int64_t group() const { return task.heads / task.kv_heads; }
  int64_t count() const { return (row_end - row_begin) * group(); }
  int64_t position(int64_t i) const { return task.first_position + row_begin + i / group(); }
  // The first query that sees a key.
  int64_t first_to_see(int64_t key) const {
    return std::max<int64_t>(0, (key - position(0)) * group());
  }
  // Of all heads of all rows.
  int64_t place(int64_t i) const {
    return (row_begin + i / group()) * task.heads + kv_head * group() + i % group();
  }
  int64_t floats() const { return count() * (task.value_dim() + 2); }

  // Joins what was found in the run of the keys from `key` on to what came before.
  void join(Found before, Found next, int64_t key) const {
    constexpr int64_t kWidth = V::kWidth;
    const int64_t dim = task.value_dim();
    alignas(64) float ours[kWidth];
    alignas(64) float theirs[kWidth];
    for (int64_t i = first_to_see(key); i < count(); i += kWidth) {
      const int64_t some = std::min(kWidth, count() - i);
      join_states<V>(V::first(some), before.max + i, before.sum + i, next.max + i, next.sum + i,
                     ours, theirs);
      for (int64_t n = 0; n < some; ++n) {
        float* to = before.values + (i + n) * dim;
        const float* from = next.values + (i + n) * dim;
        for (int64_t d = 0; d < dim; d += kWidth) {
          const auto mask = V::first(dim - d);
          V::store(mask, to + d,
                   V::fma(V::load(mask, to + d), V::set(ours[n]),
                          V::mul(V::load(mask, from + d), V::set(theirs[n]))));
        }
      }
    }
  }

  void finish(Found all) const {
    const int64_t dim = task.value_dim();
    for (int64_t i = 0; i < count(); ++i) {
      const auto inverse = V::set(1.0F / all.sum[i]);
      for (int64_t d = 0; d < dim; d += V::kWidth) {
        const auto mask = V::first(dim - d);
        V::store(mask, task.out + place(i) * dim + d,
                 V::mul(V::load(mask, all.values + i * dim + d), inverse));
      }
    }
  }
};

// Keys of eight tokens, 16 dimensions of them, from K's order, in which pairs of dimensions of 64
// tokens lie beside each other, to V's, in which pairs of tokens do: `out` is where the first pair
// of tokens has these dimensions, and the next pair `dim` pairs further.
inline void order_block(const uint16_t* keys, int64_t dim, uint16_t* out) {
  __m256i r[8];
  MINKE_UNROLL for (int i = 0; i < 8; ++i) {
    r[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(keys + i * 2 * kKvPageTokens));
  }
  __m256i a[8];  // pairs of rows
  MINKE_UNROLL for (int i = 0; i < 4; ++i) {
    a[2 * i] = _mm256_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    a[2 * i + 1] = _mm256_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
  __m256i b[8];  // b[t] and b[t + 4]: four rows of tokens t and t + 4, in one half each
  MINKE_UNROLL for (int half = 0; half < 2; ++half) {
    MINKE_UNROLL for (int i = 0; i < 2; ++i) {
      b[half * 4 + 2 * i] = _mm256_unpacklo_epi64(a[half * 4 + i], a[half * 4 + 2 + i]);
      b[half * 4 + 2 * i + 1] = _mm256_unpackhi_epi64(a[half * 4 + i], a[half * 4 + 2 + i]);
    }
  }
  __m256i token[8];  // 16 dimensions each
  MINKE_UNROLL for (int t = 0; t < 4; ++t) {
    token[t] = _mm256_permute2x128_si256(b[t], b[4 + t], 0x20);
    token[t + 4] = _mm256_permute2x128_si256(b[t], b[4 + t], 0x31);
  }
  MINKE_UNROLL for (int pair = 0; pair < 4; ++pair) {
    const __m256i low = _mm256_unpacklo_epi16(token[2 * pair], token[2 * pair + 1]);
    const __m256i high = _mm256_unpackhi_epi16(token[2 * pair], token[2 * pair + 1]);
    auto* to = reinterpret_cast<__m256i*>(out + pair * 2 * dim);
    _mm256_storeu_si256(to, _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(low, high, 0x31));
  }
}

inline void order_as_values(const uint16_t* keys, int64_t dim, uint16_t* out) {
  int64_t d = 0;
  for (; d + 16 <= dim; d += 16) {
    for (int64_t token = 0; token < kKvPageTokens; token += 8) {
      order_block(keys + k_place(token, d), dim, out + (token / 2 * dim + d) * 2);
    }
  }
  for (; d < dim; ++d) {
    for (int64_t token = 0; token < kKvPageTokens; ++token) {
      out[(token / 2 * dim + d) * 2 + token % 2] = keys[k_place(token, d)];
    }
  }
}

// Queries rounded for one of the cache's forms, in memory of bytes().
template <typename V, typename Pages>
class Attend {
 public:
  using Factor = typename Pages::Factor;

  static size_t bytes(const Queries<V>& queries) {
    return value_bytes(queries.task) +
           static_cast<size_t>(queries.count()) *
               (sizeof(float) + static_cast<size_t>(queries.task.head_dim) * sizeof(Factor));
  }

  Attend(const Queries<V>& queries, std::byte* memory)
      : queries_(queries),
        values_(reinterpret_cast<uint16_t*>(memory)),
        scales_(reinterpret_cast<float*>(memory + value_bytes(queries.task))),
        q_(reinterpret_cast<Factor*>(scales_ + queries.count())) {
    const AttentionTask& task = queries_.task;
    for (int64_t i = 0; i < queries_.count(); ++i) {
      scales_[i] = Pages::round_query(task.q + queries_.place(i) * task.head_dim, task.head_dim,
                                      task.scale, q_ + i * task.head_dim);
    }
  }

  // All queries that see it against the page of the keys from `key` on. is_first: `found` holds
  // nothing yet.
  void page(int64_t key, bool is_first, Found found) const {
    const AttentionTask& task = queries_.task;
    const int64_t keys = queries_.position(queries_.count() - 1) + 1;
    const ptrdiff_t half =
        task.head_dim * kKvPageTokens * ptrdiff_t{sizeof(typename Pages::Number)};
    const std::byte* page = page_of(key);
    // While the keys are read the values are fetched, and meanwhile the next page's keys.
    const std::byte* next = key + kKvPageTokens < keys ? page_of(key + kKvPageTokens) : page;
    PageView view = {page, page + half, half, next - (page + half)};
    if constexpr (Pages::kLatent) {
      order_as_values(reinterpret_cast<const uint16_t*>(page), task.value_dim(), values_);
      view = {page, reinterpret_cast<const std::byte*>(values_), next - page, 0};
    }
    for_tiles<V::kQueries>(queries_.first_to_see(key), queries_.count(),
                           [&](auto count, int64_t first) {
                             tile<decltype(count)::value>(view, key, is_first, first, found);
                           });
  }

 private:
  // Memory for the values of a page where they are a part of their keys, in the order of V.
  static size_t value_bytes(const AttentionTask& task) {
    if constexpr (!Pages::kLatent) return 0;
    return static_cast<size_t>(task.value_dim() * kKvPageTokens) * sizeof(uint16_t);
  }

  const std::byte* page_of(int64_t key) const {
    const AttentionTask& task = queries_.task;
    return task.kv->head_page(task.layer, task.pages[static_cast<size_t>(key / kKvPageTokens)],
                              queries_.kv_head);
  }

  // N queries from `first` on against the page of the keys from `key` on.
  template <int N>
  void tile(const PageView& view, int64_t key, bool is_first, int64_t first, Found found) const {
    const int64_t dim = queries_.task.head_dim;
    alignas(64) float scores[N * kKvPageTokens];
    alignas(64) Factor weights[N * kKvPageTokens];
    alignas(64) float max[V::kWidth];
    alignas(64) float sum[V::kWidth];
    Join<V::kWidth> join;
    join.is_first = is_first;
    if constexpr (Pages::kLatent) {
      score_latents<V, N>(q_ + first * dim, view, dim, scores);
    } else {
      score_page<V, Pages, N>(q_ + first * dim, view, dim, scores);
    }
    for (int n = 0; n < N; ++n) {
      const int64_t keys = std::min(kKvPageTokens, queries_.position(first + n) + 1 - key);
      Weights<V> weighed;
      weigh<V>(scores + n * kKvPageTokens, keys, scales_[first + n], weighed);
      max[n] = weighed.max;
      sum[n] = weighed.sum;
      join.steps[n] =
          Pages::round_weights(weighed, keys, view.page, dim, weights + n * kKvPageTokens);
    }
    const auto some = V::first(N);
    if (is_first) {
      V::store(some, found.max + first, V::load(some, max));
      V::store(some, found.sum + first, V::load(some, sum));
    } else {
      join_states<V>(some, found.max + first, found.sum + first, max, sum, join.ours, join.theirs);
    }
    constexpr int64_t kDims = Pages::kVectors * V::kWidth;
    const int64_t value_dim = queries_.task.value_dim();
    for (int64_t d = 0; d < value_dim; d += kDims) {
      const int64_t vectors = (std::min(kDims, value_dim - d) + V::kWidth - 1) / V::kWidth;
      with_constant<Pages::kVectors>(vectors, [&](auto width) {
        add_values<V, Pages, N, decltype(width)::value>(weights, view, value_dim, d, join,
                                                        found.values + first * value_dim);
      });
    }
  }

  const Queries<V>& queries_;
  uint16_t* values_;  // of the page at hand, where they are a part of its keys
  float* scales_;     // [queries]: what a query's scores are multiplied by
  Factor* q_;         // [queries][head_dim]
};

inline size_t padded(size_t bytes) { return (bytes + 63) / 64 * 64; }

// The pages of a run, of the keys from `key` on, as far as some query sees them.
template <typename V, typename Pages>
void attend_run(const Queries<V>& queries, const Attend<V, Pages>& attend, int64_t key,
                Found found) {
  const int64_t keys = std::min(queries.position(queries.count() - 1) + 1,
                                key + run_pages(queries.task) * kKvPageTokens);
  for (int64_t page = key; page < keys; page += kKvPageTokens) {
    attend.page(page, page == key, found);
  }
}

template <typename V, typename Pages>
void attend_rows(const Queries<V>& queries) {
  const size_t found_bytes = padded(static_cast<size_t>(queries.floats()) * sizeof(float));
  const size_t kept = Pages::kLatent ? 2 : 1;
  std::byte* memory = kernel_scratch(kept * found_bytes + Attend<V, Pages>::bytes(queries));
  const Found all(reinterpret_cast<float*>(memory), queries.count());
  const Attend<V, Pages> attend(queries, memory + kept * found_bytes);
  const int64_t keys = queries.position(queries.count() - 1) + 1;
  if constexpr (Pages::kLatent) {
    const Found next(reinterpret_cast<float*>(memory + found_bytes), queries.count());
    const int64_t step = run_pages(queries.task) * kKvPageTokens;
    for (int64_t key = 0; key < keys; key += step) {
      attend_run(queries, attend, key, key == 0 ? all : next);
      if (key > 0) queries.join(all, next, key);
    }
  } else {
    for (int64_t key = 0; key < keys; key += kKvPageTokens) attend.page(key, key == 0, all);
  }
  queries.finish(all);
}

template <typename V, typename Pages>
void attend_runs_apart(const Queries<V>& queries, int64_t begin, int64_t end, float* found) {
  const Attend<V, Pages> attend(queries, kernel_scratch(Attend<V, Pages>::bytes(queries)));
  for (int64_t run = begin; run < end; ++run) {
    attend_run(queries, attend, run * run_pages(queries.task) * kKvPageTokens,
               Found(found + run * run_floats(queries.task), queries.count()));
  }
}

// call(Pages()), for the form of the task's cache.
template <typename V, typename Call>
void with_pages_of(const AttentionTask& task, const Call& call) {
  const KvSpec& kv = task.kv->spec();
  if (kv.shared_values > 0) {
    call(LatentPages<V>());
  } else if (kv.dtype == KvDtype::kBF16) {
    call(Bf16Pages<V>());
  } else {
    call(Q8Pages<V>());
  }
}

template <typename V>
void attention_of(const AttentionTask& task, int64_t kv_head, int64_t row_begin, int64_t row_end) {
  const Queries<V> queries = {task, kv_head, row_begin, row_end};
  with_pages_of<V>(task, [&](auto pages) { attend_rows<V, decltype(pages)>(queries); });
}

template <typename V>
void attention_runs_of(const AttentionTask& task, int64_t kv_head, int64_t run_begin,
                       int64_t run_end, float* found) {
  const Queries<V> queries = {task, kv_head, 0, task.rows};
  with_pages_of<V>(task, [&](auto pages) {
    attend_runs_apart<V, decltype(pages)>(queries, run_begin, run_end, found);
  });
}

template <typename V>
void attention_join_of(const AttentionTask& task, int64_t kv_head, float* found) {
  const Queries<V> queries = {task, kv_head, 0, task.rows};
  const Found all(found, queries.count());
  for (int64_t run = 1; run < key_runs(task); ++run) {
    queries.join(all, Found(found + run * run_floats(task), queries.count()),
                 run * run_pages(task) * kKvPageTokens);
  }
  queries.finish(all);
}

// One run of values in integers of eight bits, and their step.
template <typename V>
void store_integers(const float* x, int64_t count, int8_t* out, uint16_t& step) {
  typename V::Floats most = V::zero();
  for (int64_t i = 0; i < count; i += V::kWidth) {
    most = V::larger_magnitude(most, V::load(V::first(count - i), x + i));
  }
  step = f32_to_bf16(integer_step(V::largest_magnitude(most), 127.0F).step);
  const float rounded = bf16_to_f32(step);
  if (!(rounded > 0.0F)) {
    std::memset(out, 0, static_cast<size_t>(count));
    return;
  }
  const auto inverse = V::set(1.0F / rounded);
  for (int64_t i = 0; i < count; i += V::kWidth) {
    const auto some = V::first(count - i);
    V::store_int8(V::mul(V::load(some, x + i), inverse), some, out + i);
  }
}

// Spreads a row of K or V, rounded in `row`, over its places in a page.
template <typename Number>
void spread_k(const Number* row, Number* page, int64_t dim, int64_t token) {
  for (int64_t d = 0; d < dim; d += 2) {
    std::memcpy(page + k_place(token, d), row + d, 2 * sizeof(Number));
  }
}
template <typename Number>
void spread_v(const Number* row, Number* page, int64_t dim, int64_t token) {
  for (int64_t d = 0; d < dim; ++d) page[v_place(dim, token, d)] = row[d];
}

template <typename V>
void store_kv_of(const float* k, const float* v, KvDtype dtype, std::byte* head_page, int64_t dim,
                 int64_t token) {
  std::byte* row = kernel_scratch(static_cast<size_t>(dim) * sizeof(uint16_t));
  if (dtype == KvDtype::kBF16) {
    auto* page = reinterpret_cast<uint16_t*>(head_page);
    auto* rounded = reinterpret_cast<uint16_t*>(row);
    V::to_bf16(k, rounded, dim);
    spread_k(rounded, page, dim, token);
    if (v == nullptr) return;
    V::to_bf16(v, rounded, dim);
    spread_v(rounded, page, dim, token);
    return;
  }
  auto* page = reinterpret_cast<int8_t*>(head_page);
  auto* rounded = reinterpret_cast<int8_t*>(row);
  uint16_t* steps = kv_steps(head_page, dim);
  for (int64_t d = 0; d < dim; d += kKvGroup) {
    store_integers<V>(k + d, std::min(kKvGroup, dim - d), rounded + d,
                      steps[k_step_place(token, d / kKvGroup)]);
  }
  spread_k(rounded, page, dim, token);
  store_integers<V>(v, dim, rounded, steps[v_step_place(dim, token)]);
  spread_v(rounded, page, dim, token);
}

}  // namespace
}  // namespace minke
