// Attention over bf16 pages. A page of 64 keys is a split: its scores, weights and values are made
// for four queries at a time (heads that share the kv head, then further rows), so that a page is
// read once for a run of rows and every load of K or V serves four products. Queries and weights
// are rounded to bf16 and kept as fp32, ready to broadcast.
#include <algorithm>
#include <limits>
#include <utility>

#include "core/check.h"
#include "core/float_bits.h"
#include "kernels/cpu/avx2/vec.h"
#include "kernels/cpu/scratch.h"
#include "kernels/kv_page.h"

namespace minke::avx2 {
namespace {

constexpr int kQueries = 4;
constexpr int64_t kPrefetchAhead = 16384;

// What is known of one query (a row and a head) so far.
struct State {
  float max;
  float sum;
};

struct Scratch {
  float* q;       // [queries][head_dim], rounded to bf16
  float* values;  // [queries][head_dim]
  State* states;  // [queries]
};

// Of the calling thread, each part on a cache line.
Scratch take_scratch(int64_t queries, int64_t dim) {
  const auto lines = [](int64_t bytes) { return static_cast<size_t>((bytes + 63) / 64 * 64); };
  const size_t q = lines(queries * dim * 4);
  const size_t values = lines(queries * dim * 4);
  std::byte* memory =
      kernel_scratch(q + values + lines(queries * static_cast<int64_t>(sizeof(State))));
  return {reinterpret_cast<float*>(memory), reinterpret_cast<float*>(memory + q),
          reinterpret_cast<State*>(memory + q + values)};
}

// A pair of products joins a sum as vdpbf16ps does it: the odd element first.
__m256 add_pair(__m256 sum, __m256i pairs, const float* two) {
  return _mm256_fmadd_ps(even_bf16(pairs), _mm256_broadcast_ss(two),
                         _mm256_fmadd_ps(odd_bf16(pairs), _mm256_broadcast_ss(two + 1), sum));
}

void round_row(const float* x, float* out, int64_t count) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm256_storeu_ps(out + i, even_bf16(round_to_bf16(_mm256_loadu_ps(x + i))));
  }
  for (; i < count; ++i) out[i] = bf16_to_f32(f32_to_bf16(x[i]));
}

// Scores of N queries against the 64 keys of a page, 16 keys at a time.
template <int N>
void score_page(const float* q, const uint16_t* page, int64_t head_dim, float* scores) {
  for (int64_t key = 0; key < kKvPageTokens; key += 16) {
    __m256 sums[N][2];
    MINKE_UNROLL for (int n = 0; n < N; ++n) sums[n][0] = sums[n][1] = _mm256_setzero_ps();
    for (int64_t d = 0; d < head_dim; d += 2) {
      const uint16_t* k = page + k_place(key, d);
      const __m256i keys[2] = {load32(k), load32(k + 16)};
      _mm_prefetch(reinterpret_cast<const char*>(k) + kPrefetchAhead, _MM_HINT_T0);
      MINKE_UNROLL for (int n = 0; n < N; ++n) {
        MINKE_UNROLL for (int j = 0; j < 2; ++j) {
          sums[n][j] = add_pair(sums[n][j], keys[j], q + n * head_dim + d);
        }
      }
    }
    MINKE_UNROLL for (int n = 0; n < N; ++n) {
      _mm256_storeu_ps(scores + n * kKvPageTokens + key, sums[n][0]);
      _mm256_storeu_ps(scores + n * kKvPageTokens + key + 8, sums[n][1]);
    }
  }
}

// Turns 64 scores into weights relative to their maximum, in place. The sum is of the weights
// before they are rounded to bf16.
State weigh(float* scores, int64_t keys, float scale) {
  const __m256 lowest = _mm256_set1_ps(-std::numeric_limits<float>::infinity());
  __m256 most = lowest;
  for (int64_t j = 0; j < kKvPageTokens; j += 8) {
    const __m256 mask = _mm256_castsi256_ps(first_lanes(keys - j));
    const __m256 s = _mm256_mul_ps(_mm256_loadu_ps(scores + j), _mm256_set1_ps(scale));
    _mm256_storeu_ps(scores + j, s);
    most = _mm256_max_ps(_mm256_blendv_ps(lowest, s, mask), most);  // `most` where s is NaN
  }
  float maxima[8];
  _mm256_storeu_ps(maxima, most);
  State state;
  state.max = *std::max_element(maxima, maxima + 8);
  __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for (int64_t j = 0; j < kKvPageTokens; j += 16) {
    MINKE_UNROLL for (int half = 0; half < 2; ++half) {
      float* at = scores + j + half * 8;
      const __m256 mask = _mm256_castsi256_ps(first_lanes(keys - j - half * 8));
      const __m256 weight =
          _mm256_and_ps(mask, exp(_mm256_sub_ps(_mm256_loadu_ps(at), _mm256_set1_ps(state.max))));
      sums[half] = _mm256_add_ps(sums[half], weight);
      _mm256_storeu_ps(at, even_bf16(round_to_bf16(weight)));
    }
  }
  float lanes[16];
  _mm256_storeu_ps(lanes, sums[0]);
  _mm256_storeu_ps(lanes + 8, sums[1]);
  state.sum = sum_lanes(lanes);
  return state;
}

// How the values of a page join what came before.
struct Join {
  bool first;
  const float* ours;
  const float* theirs;
};

// Adds the values of a page, W vectors of eight dimensions from `d` on, to N queries' sums. The
// last vector is cut by `last`.
template <int N, int W>
void add_values(const float* weights, const uint16_t* v, int64_t head_dim, int64_t d, __m256i last,
                const Join& join, float* values) {
  const __m256i all = _mm256_set1_epi32(-1);
  __m256 sums[N][W];
  MINKE_UNROLL for (int n = 0; n < N; ++n) {
    MINKE_UNROLL for (int w = 0; w < W; ++w) sums[n][w] = _mm256_setzero_ps();
  }
  for (int64_t pair = 0; pair < kKvPageTokens / 2; ++pair) {
    const uint16_t* row = v + (pair * head_dim + d) * 2;
    _mm_prefetch(reinterpret_cast<const char*>(row) + kPrefetchAhead, _MM_HINT_T0);
    __m256i dims[W];
    MINKE_UNROLL for (int w = 0; w < W; ++w) {
      dims[w] = _mm256_maskload_epi32(reinterpret_cast<const int*>(row + w * 16),
                                      w == W - 1 ? last : all);
    }
    MINKE_UNROLL for (int n = 0; n < N; ++n) {
      MINKE_UNROLL for (int w = 0; w < W; ++w) {
        sums[n][w] = add_pair(sums[n][w], dims[w], weights + n * kKvPageTokens + pair * 2);
      }
    }
  }
  MINKE_UNROLL for (int n = 0; n < N; ++n) {
    MINKE_UNROLL for (int w = 0; w < W; ++w) {
      const __m256i mask = w == W - 1 ? last : all;
      float* at = values + n * head_dim + d + w * 8;
      __m256 joined = sums[n][w];
      if (!join.first) {
        joined = _mm256_fmadd_ps(_mm256_maskload_ps(at, mask), _mm256_set1_ps(join.ours[n]),
                                 _mm256_mul_ps(joined, _mm256_set1_ps(join.theirs[n])));
      }
      _mm256_maskstore_ps(at, mask, joined);
    }
  }
}

// N queries from `first_query` on against one page. keys_of(query): how many of its keys they see.
template <int N, typename KeysOf>
void attend_page(const uint16_t* page, bool first, int64_t head_dim, float scale,
                 int64_t first_query, KeysOf keys_of, Scratch& scratch) {
  alignas(32) float scores[N * kKvPageTokens];
  float ours[N] = {};
  float theirs[N] = {};
  score_page<N>(scratch.q + first_query * head_dim, page, head_dim, scores);
  MINKE_UNROLL for (int n = 0; n < N; ++n) {
    const State split = weigh(scores + n * kKvPageTokens, keys_of(first_query + n), scale);
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
  const Join join = {first, ours, theirs};
  const uint16_t* v = page + v_start(head_dim);
  float* values = scratch.values + first_query * head_dim;
  for (int64_t d = 0; d < head_dim; d += 16) {
    const int64_t rest = head_dim - d;
    if (rest > 8) {
      add_values<N, 2>(scores, v, head_dim, d, first_lanes(rest - 8), join, values);
    } else {
      add_values<N, 1>(scores, v, head_dim, d, first_lanes(rest), join, values);
    }
  }
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
    round_row(task.q + place(i), scratch.q + i * dim, dim);
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

}  // namespace minke::avx2
