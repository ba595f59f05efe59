// Attention over bf16 pages. A page of 64 keys is a split: its scores, weights and values are made
// for six queries at a time (heads that share the kv head, then further rows), so that a page is
// read once for a run of rows and every load of K or V serves six products.
#include <algorithm>
#include <limits>

#include "core/check.h"
#include "core/float_bits.h"
#include "kernels/cpu/avx512/vec.h"
#include "kernels/cpu/scratch.h"
#include "kernels/kv_page.h"

namespace minke::avx512 {
namespace {

constexpr int kQueries = 6;

// What is known of one query (a row and a head) so far.
struct State {
  float max;
  float sum;
};

struct Scratch {
  uint16_t* q;    // [queries][head_dim], bf16
  float* values;  // [queries][head_dim]
  State* states;  // [queries]
};

// Of the calling thread, each part on a cache line.
Scratch take_scratch(int64_t queries, int64_t dim) {
  const auto lines = [](int64_t bytes) { return static_cast<size_t>((bytes + 63) / 64 * 64); };
  const size_t q = lines(queries * dim * 2);
  const size_t values = lines(queries * dim * 4);
  std::byte* memory =
      kernel_scratch(q + values + lines(queries * static_cast<int64_t>(sizeof(State))));
  return {reinterpret_cast<uint16_t*>(memory), reinterpret_cast<float*>(memory + q),
          reinterpret_cast<State*>(memory + q + values)};
}

__m512 add_pairs(__m512 sum, __m512i pairs, __m512i pair) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(pairs), reinterpret_cast<__m512bh>(pair));
}

// Scores of N queries against the 64 keys of a page.
template <int N>
void score_page(const uint16_t* q, const uint16_t* page, int64_t head_dim, float* scores) {
  __m512 sums[N][4];
  MINKE_UNROLL for (int n = 0; n < N; ++n) {
    MINKE_UNROLL for (int j = 0; j < 4; ++j) sums[n][j] = _mm512_setzero_ps();
  }
  for (int64_t d = 0; d < head_dim; d += 2) {
    const uint16_t* k = page + d * kKvPageTokens;
    __m512i keys[4];
    MINKE_UNROLL for (int j = 0; j < 4; ++j) {
      keys[j] = _mm512_loadu_si512(k + j * 32);
      _mm_prefetch(reinterpret_cast<const char*>(k + j * 32) + 16384, _MM_HINT_T0);
    }
    MINKE_UNROLL for (int n = 0; n < N; ++n) {
      const __m512i pair = broadcast_word(q + n * head_dim + d);
      MINKE_UNROLL for (int j = 0; j < 4; ++j) sums[n][j] = add_pairs(sums[n][j], keys[j], pair);
    }
  }
  MINKE_UNROLL for (int n = 0; n < N; ++n) {
    MINKE_UNROLL for (int j = 0; j < 4; ++j) _mm512_store_ps(scores + n * 64 + j * 16, sums[n][j]);
  }
}

// Turns 64 scores into bf16 weights relative to their maximum.
State weigh(const float* scores, int64_t keys, float scale, uint16_t* weights) {
  __m512 s[4];
  __mmask16 masks[4];
  __m512 max = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
  MINKE_UNROLL for (int j = 0; j < 4; ++j) {
    masks[j] = first_lanes(std::clamp<int64_t>(keys - j * 16, 0, 16));
    s[j] = _mm512_mul_ps(_mm512_load_ps(scores + j * 16), _mm512_set1_ps(scale));
    max = _mm512_mask_max_ps(max, masks[j], max, s[j]);
  }
  State state;
  state.max = _mm512_reduce_max_ps(max);
  __m512 lanes = _mm512_setzero_ps();
  MINKE_UNROLL for (int j = 0; j < 4; ++j) {
    const __m512 weight =
        _mm512_maskz_mov_ps(masks[j], exp(_mm512_sub_ps(s[j], _mm512_set1_ps(state.max))));
    lanes = _mm512_add_ps(lanes, weight);
    const __m256bh rounded = _mm512_cvtneps_pbh(weight);
    std::memcpy(weights + j * 16, &rounded, 32);
  }
  state.sum = sum(lanes);
  return state;
}

// Adds the values of a page, W vectors of 16 dimensions from `d` on, to N queries' sums.
template <int N, int W>
void add_values(const uint16_t* weights, const uint16_t* v, int64_t head_dim, int64_t d,
                __mmask16 last, const float* ours, const float* theirs, bool first, float* values) {
  __m512 sums[N][W];
  MINKE_UNROLL for (int n = 0; n < N; ++n) {
    MINKE_UNROLL for (int w = 0; w < W; ++w) sums[n][w] = _mm512_setzero_ps();
  }
  for (int64_t pair = 0; pair < kKvPageTokens / 2; ++pair) {
    const uint16_t* row = v + (pair * head_dim + d) * 2;
    __m512i dims[W];
    MINKE_UNROLL for (int w = 0; w < W; ++w) {
      dims[w] = _mm512_maskz_loadu_epi32(w == W - 1 ? last : __mmask16{0xffff}, row + w * 32);
      _mm_prefetch(reinterpret_cast<const char*>(row + w * 32) + 16384, _MM_HINT_T0);
    }
    MINKE_UNROLL for (int n = 0; n < N; ++n) {
      const __m512i two = broadcast_word(weights + n * 64 + pair * 2);
      MINKE_UNROLL for (int w = 0; w < W; ++w) sums[n][w] = add_pairs(sums[n][w], two, dims[w]);
    }
  }
  MINKE_UNROLL for (int n = 0; n < N; ++n) {
    MINKE_UNROLL for (int w = 0; w < W; ++w) {
      const __mmask16 mask = w == W - 1 ? last : __mmask16{0xffff};
      float* at = values + n * head_dim + d + w * 16;
      __m512 joined = sums[n][w];
      if (!first) {
        joined = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, at), _mm512_set1_ps(ours[n]),
                                 _mm512_mul_ps(joined, _mm512_set1_ps(theirs[n])));
      }
      _mm512_mask_storeu_ps(at, mask, joined);
    }
  }
}

template <int N>
void add_all_values(const uint16_t* weights, const uint16_t* v, int64_t head_dim, const float* ours,
                    const float* theirs, bool first, float* values) {
  for (int64_t d = 0; d < head_dim; d += 64) {
    const int64_t rest = head_dim - d;
    const auto part = [&](auto width, __mmask16 last) {
      add_values<N, decltype(width)::value>(weights, v, head_dim, d, last, ours, theirs, first,
                                            values);
    };
    const __mmask16 last = first_lanes(rest % 16 == 0 ? 16 : rest % 16);
    if (rest >= 64)
      part(std::integral_constant<int, 4>(), 0xffff);
    else if (rest > 48)
      part(std::integral_constant<int, 4>(), last);
    else if (rest > 32)
      part(std::integral_constant<int, 3>(), last);
    else if (rest > 16)
      part(std::integral_constant<int, 2>(), last);
    else
      part(std::integral_constant<int, 1>(), last);
  }
}

// N queries from `first_query` on against one page. keys_of(query): how many of its keys they see.
template <int N, typename KeysOf>
void attend_page(const uint16_t* page, bool first, int64_t head_dim, float scale,
                 int64_t first_query, KeysOf keys_of, Scratch& scratch) {
  alignas(64) float scores[N * 64];
  alignas(64) uint16_t weights[N * 64];
  float ours[N];
  float theirs[N];
  score_page<N>(scratch.q + first_query * head_dim, page, head_dim, scores);
  MINKE_UNROLL for (int n = 0; n < N; ++n) {
    const State split = weigh(scores + n * 64, keys_of(first_query + n), scale, weights + n * 64);
    State& state = scratch.states[first_query + n];
    if (first) {
      state = split;
      continue;
    }
    const float larger = std::max(state.max, split.max);
    ours[n] = exact_exp(state.max - larger);
    theirs[n] = exact_exp(split.max - larger);
    state.max = larger;
    state.sum = std::fma(state.sum, ours[n], split.sum * theirs[n]);
  }
  add_all_values<N>(weights, page + v_start(head_dim), head_dim, ours, theirs, first,
                    scratch.values + first_query * head_dim);
}

}  // namespace

void store_kv(const float* k, const float* v, KvDtype dtype, std::byte* head_page, int64_t head_dim,
              int64_t token_in_page) {
  CHECK(dtype == KvDtype::kBF16);
  auto* page = reinterpret_cast<uint16_t*>(head_page);
  uint16_t rounded[512];
  for (int64_t begin = 0; begin < head_dim; begin += 512) {
    const int64_t count = std::min<int64_t>(512, head_dim - begin);
    to_bf16(k + begin, rounded, count);
    for (int64_t d = 0; d < count; d += 2) {
      std::memcpy(page + k_place(token_in_page, begin + d), rounded + d, 4);
    }
    to_bf16(v + begin, rounded, count);
    for (int64_t d = 0; d < count; ++d) {
      page[v_place(head_dim, token_in_page, begin + d)] = rounded[d];
    }
  }
}

void attention(const AttentionTask& task, int64_t kv_head, int64_t row_begin, int64_t row_end) {
  const int64_t dim = task.head_dim;
  const int64_t group = task.heads / task.kv_heads;
  const int64_t queries = (row_end - row_begin) * group;
  Scratch scratch = take_scratch(queries, dim);
  // Query i is row row_begin + i / group, head kv_head * group + i % group: neighbours in memory.
  const auto place = [&](int64_t query) {
    return ((row_begin + query / group) * task.heads + kv_head * group + query % group) * dim;
  };
  for (int64_t i = 0; i < queries; ++i) {
    to_bf16(task.q + place(i), scratch.q + i * dim, dim);
  }
  const auto position = [&](int64_t query) {
    return task.first_position + row_begin + query / group;
  };
  const int64_t keys_most = position(queries - 1) + 1;
  for (int64_t begin = 0; begin < keys_most; begin += kKvPageTokens) {
    const auto* page = reinterpret_cast<const uint16_t*>(task.kv->head_page(
        task.layer, task.pages[static_cast<size_t>(begin / kKvPageTokens)], kv_head));
    // Queries before this page do not see it.
    int64_t query = std::max<int64_t>(0, (begin - position(0)) * group);
    const auto keys_of = [&](int64_t i) {
      return std::min(kKvPageTokens, position(i) + 1 - begin);
    };
    const auto run = [&](auto count) {
      attend_page<decltype(count)::value>(page, begin == 0, dim, task.scale, query, keys_of,
                                          scratch);
      query += decltype(count)::value;
    };
    while (query + kQueries <= queries) run(std::integral_constant<int, kQueries>());
    switch (queries - query) {
      case 1:
        run(std::integral_constant<int, 1>());
        break;
      case 2:
        run(std::integral_constant<int, 2>());
        break;
      case 3:
        run(std::integral_constant<int, 3>());
        break;
      case 4:
        run(std::integral_constant<int, 4>());
        break;
      case 5:
        run(std::integral_constant<int, 5>());
        break;
      default:
        break;
    }
  }
  for (int64_t i = 0; i < queries; ++i) {
    const float inverse = 1.0F / scratch.states[i].sum;
    for (int64_t d = 0; d < dim; ++d) {
      task.out[place(i) + d] = scratch.values[i * dim + d] * inverse;
    }
  }
}

}  // namespace minke::avx512
