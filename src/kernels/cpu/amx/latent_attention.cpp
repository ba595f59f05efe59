// Latent attention in tiles of bf16: sixteen queries at a time (DeepSeek's heads read the same
// latents), each in a lane of its own once its scores are there.
//
//   scores  C [16 queries][16 tokens] += A [queries][32 dims] · B [dims][tokens]
//           B is a page as it lies: pairs of dimensions of tokens beside each other.
//   values  C [16 pairs of dims][16 queries] += A [pairs][16 tokens][2] · B [tokens][queries][2]
//           A is the page again. One of the two dimensions of a pair meets a weight, the other a
//           zero: half of the products are for nothing, but nothing has to be put in order first.
//
// What is found for sixteen queries lies transposed: [number][16 queries].
#include <algorithm>
#include <limits>

#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/avx512/transpose.h"
#include "kernels/cpu/avx512/vec.h"
#include "kernels/cpu/prefetch.h"
#include "kernels/cpu/scratch.h"
#include "kernels/kv_page.h"

namespace minke::amx {
namespace {

constexpr int64_t kLanes = 16;                      // queries of a tile
constexpr int64_t kPageStride = 4 * kKvPageTokens;  // bytes from a pair of dimensions to the next

// What sixteen queries have found: in `at`, [max], [sum], [value_dim], sixteen of each. Dimension d
// stands at value_place(d): a tile's even dimensions, then its odd ones.
struct Found {
  float* at;
  float* max() const { return at; }
  float* sum() const { return at + kLanes; }
  float* values() const { return at + 2 * kLanes; }
};
constexpr int64_t found_floats(int64_t value_dim) { return (value_dim + 2) * kLanes; }

__m512 load(const float* at) { return _mm512_loadu_ps(at); }

struct alignas(64) Scratch {
  float scores[kLanes][kKvPageTokens];
  float weights[kKvPageTokens][kLanes];  // scores, then weights
  uint32_t even[kKvPageTokens][kLanes];  // a weight in bf16 and a zero, and the other way round
  uint32_t odd[kKvPageTokens][kLanes];
  float values[4][16][kLanes];
};

// Sixteen queries, or as many as there are left.
struct Lanes {
  const AttentionTask& task;
  int64_t kv_head;
  int64_t first;  // query: row first / group, head kv_head * group + first % group
  int64_t count;

  int64_t group() const { return task.heads / task.kv_heads; }
  int64_t place(int64_t lane) const {
    const int64_t query = first + lane;
    return query / group() * task.heads + kv_head * group() + query % group();
  }
  int64_t position(int64_t lane) const { return task.first_position + (first + lane) / group(); }
  int64_t keys() const { return position(count - 1) + 1; }
  // How many of the keys from `key` on each lane sees; lanes without a query see what the last
  // does.
  __m512i seen(int64_t key) const {
    alignas(64) int32_t seen[kLanes];
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const int64_t keys = position(std::min(lane, count - 1)) + 1 - key;
      seen[lane] = static_cast<int32_t>(std::clamp<int64_t>(keys, 0, kKvPageTokens));
    }
    return _mm512_load_si512(seen);
  }
  const std::byte* page(int64_t key) const {
    return task.kv->head_page(task.layer, task.pages[static_cast<size_t>(key / kKvPageTokens)],
                              kv_head);
  }
};

// Rounds the queries: [lane][head_dim]; zeros where there is none.
void round_queries(const Lanes& lanes, uint16_t* q) {
  const int64_t dim = lanes.task.head_dim;
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    if (lane < lanes.count) {
      avx512::to_bf16(lanes.task.q + lanes.place(lane) * dim, q + lane * dim, dim);
    } else {
      std::fill(q + lane * dim, q + (lane + 1) * dim, uint16_t{0});
    }
  }
}

// Lines of a page that the next tiles will want, from the second cache into the first.
template <int kLines>
[[gnu::always_inline]] inline void fetch_near(const std::byte* at) {
  MINKE_UNROLL for (int line = 0; line < kLines; ++line) {
    _mm_prefetch(reinterpret_cast<const char*>(at + line * 64), _MM_HINT_T0);
  }
}

// Scores of one block of 16 tokens; meanwhile a quarter of the next chunk of dimensions comes near,
// and some of the next page from memory.
template <int kC, int kB>
[[gnu::always_inline]] inline void score_tokens(const std::byte* keys, PrefetchRange& next) {
  tile_load<kB>(keys + kC * 64, kPageStride);
  tile_dot_bf16<kC, 4, kB>();
  fetch_near<16>(keys + 16 * kPageStride + kC * 1024);
  next.some();
  next.some();
}

void score_page(const std::byte* page, const uint16_t* q, int64_t dim, Scratch& scratch,
                PrefetchRange& next) {
  tile_zero<0>();
  tile_zero<1>();
  tile_zero<2>();
  tile_zero<3>();
  for (int64_t d = 0; d < dim; d += kLatentChunkDims) {
    const std::byte* keys = page + d / 2 * kPageStride;
    tile_load<4>(q + d, 2 * dim);
    score_tokens<0, 5>(keys, next);
    score_tokens<1, 6>(keys, next);
    score_tokens<2, 5>(keys, next);
    score_tokens<3, 6>(keys, next);
  }
  constexpr int64_t kStride = kKvPageTokens * sizeof(float);
  tile_store<0>(&scratch.scores[0][0], kStride);
  tile_store<1>(&scratch.scores[0][16], kStride);
  tile_store<2>(&scratch.scores[0][32], kStride);
  tile_store<3>(&scratch.scores[0][48], kStride);
}

struct Weighed {
  __m512 max;
  __m512 sum;
};

// Scores become weights, and these bf16 beside zeros.
Weighed weigh(__m512i seen, float scale, Scratch& scratch) {
  const __m512 lowest = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
  const __m512 by = _mm512_set1_ps(scale);
  __m512 most = lowest;
  for (int64_t begin = 0; begin < kKvPageTokens; begin += 16) {
    __m512 r[16];
    MINKE_UNROLL for (int i = 0; i < 16; ++i) r[i] = load(&scratch.scores[i][begin]);
    avx512::transpose(r);
    MINKE_UNROLL for (int i = 0; i < 16; ++i) {
      const __m512 score = _mm512_mul_ps(r[i], by);
      const __mmask16 some =
          _mm512_cmplt_epi32_mask(_mm512_set1_epi32(static_cast<int32_t>(begin) + i), seen);
      most = _mm512_max_ps(_mm512_mask_mov_ps(lowest, some, score), most);  // `most` beside NaN
      _mm512_store_ps(scratch.weights[begin + i], score);
    }
  }
  __m512 sums[16];
  MINKE_UNROLL for (int i = 0; i < 16; ++i) sums[i] = _mm512_setzero_ps();
  for (int64_t begin = 0; begin < kKvPageTokens; begin += 16) {
    MINKE_UNROLL for (int i = 0; i < 16; ++i) {
      const int64_t token = begin + i;
      const __mmask16 some =
          _mm512_cmplt_epi32_mask(_mm512_set1_epi32(static_cast<int32_t>(token)), seen);
      const __m512 score = _mm512_load_ps(scratch.weights[token]);
      const __m512 weight = _mm512_maskz_mov_ps(some, avx512::exp(_mm512_sub_ps(score, most)));
      sums[i] = _mm512_add_ps(sums[i], weight);
      const __m512i bits =
          _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(weight)));
      _mm512_store_si512(scratch.even[token], bits);
      _mm512_store_si512(scratch.odd[token], _mm512_slli_epi32(bits, 16));
    }
  }
  // sum_lanes of kernels/math.h, where a lane is a sum here.
  for (int width = 8; width >= 1; width /= 2) {
    for (int i = 0; i < width; ++i) sums[i] = _mm512_add_ps(sums[i], sums[i + width]);
  }
  return {most, sums[0]};
}

// How two states become one: before * ours + next * theirs, in the lanes that see the next.
struct Shares {
  __mmask16 some;
  __m512 ours;
  __m512 theirs;
};

Shares join_states(__mmask16 some, const Found& found, const Weighed& next) {
  const __m512 before = load(found.max());
  const __m512 larger = _mm512_max_ps(next.max, before);
  const Shares shares = {some, avx512::exp(_mm512_sub_ps(before, larger)),
                         avx512::exp(_mm512_sub_ps(next.max, larger))};
  const __m512 sum =
      _mm512_fmadd_ps(load(found.sum()), shares.ours, _mm512_mul_ps(next.sum, shares.theirs));
  _mm512_mask_storeu_ps(found.max(), some, larger);
  _mm512_mask_storeu_ps(found.sum(), some, sum);
  return shares;
}

void join_values(const Shares& shares, float* values, const float* next, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    float* at = values + i * kLanes;
    const __m512 joined = _mm512_fmadd_ps(load(at), shares.ours,
                                          _mm512_mul_ps(load(next + i * kLanes), shares.theirs));
    _mm512_mask_storeu_ps(at, shares.some, joined);
  }
}

// The values of two blocks of 32 dimensions (or of one: kBlocks), from `d` on.
template <int kBlocks>
void add_values(const std::byte* page, int64_t d, const Scratch& scratch, float* out,
                PrefetchRange& next) {
  tile_zero<0>();
  tile_zero<1>();
  if constexpr (kBlocks == 2) {
    tile_zero<2>();
    tile_zero<3>();
  }
  const std::byte* latents = page + d / 2 * kPageStride;
  const std::byte* further = latents + kBlocks * 16 * kPageStride;
  for (int64_t token = 0; token < kKvPageTokens; token += kLatentChunkTokens) {
    fetch_near<32>(further + token * 128);
    for (int i = 0; i < 5; ++i) next.some();
    tile_load<6>(scratch.even[token], 64);
    tile_load<7>(scratch.odd[token], 64);
    tile_load<4>(latents + 4 * token, kPageStride);
    tile_dot_bf16<0, 4, 6>();
    tile_dot_bf16<1, 4, 7>();
    if constexpr (kBlocks == 2) {
      tile_load<5>(latents + 16 * kPageStride + 4 * token, kPageStride);
      tile_dot_bf16<2, 5, 6>();
      tile_dot_bf16<3, 5, 7>();
    }
  }
  tile_store<0>(out, 64);
  tile_store<1>(out + 16 * kLanes, 64);
  if constexpr (kBlocks == 2) {
    tile_store<2>(out + 32 * kLanes, 64);
    tile_store<3>(out + 48 * kLanes, 64);
  }
}

void page_values(const std::byte* page, int64_t value_dim, bool is_first, const Shares& shares,
                 const Found& found, Scratch& scratch, PrefetchRange& next) {
  for (int64_t d = 0; d < value_dim; d += 64) {
    float* values = found.values() + d * kLanes;
    float* out = is_first ? values : scratch.values[0][0];
    const bool both = d + 64 <= value_dim;
    both ? add_values<2>(page, d, scratch, out, next) : add_values<1>(page, d, scratch, out, next);
    if (!is_first) join_values(shares, values, out, both ? 64 : 32);
  }
}

// The pages of the run of the keys from `key` on.
void attend_run(const Lanes& lanes, const uint16_t* q, int64_t key, const Found& found,
                Scratch& scratch) {
  const AttentionTask& task = lanes.task;
  const int64_t end = std::min(lanes.keys(), key + kLatentRunPages * kKvPageTokens);
  for (int64_t at = key; at < end; at += kKvPageTokens) {
    const std::byte* page = lanes.page(at);
    PrefetchRange next;
    if (at + kKvPageTokens < lanes.keys()) {
      next = {lanes.page(at + kKvPageTokens), task.head_dim / 2 * kPageStride};
    }
    score_page(page, q, task.head_dim, scratch, next);
    const __m512i seen = lanes.seen(at);
    const Weighed weighed = weigh(seen, task.scale, scratch);
    const bool is_first = at == key;
    Shares shares = {};
    if (is_first) {
      _mm512_storeu_ps(found.max(), weighed.max);
      _mm512_storeu_ps(found.sum(), weighed.sum);
    } else {
      shares = join_states(_mm512_cmpgt_epi32_mask(seen, _mm512_setzero_si512()), found, weighed);
    }
    page_values(page, task.value_dim(), is_first, shares, found, scratch, next);
  }
}

// A run's findings join what came before, in the lanes that see a key of it.
void join_run(const Lanes& lanes, int64_t key, const Found& all, const Found& next) {
  const __mmask16 some = _mm512_cmpgt_epi32_mask(lanes.seen(key), _mm512_setzero_si512());
  const Shares shares = join_states(some, all, {load(next.max()), load(next.sum())});
  join_values(shares, all.values(), next.values(), lanes.task.value_dim());
}

void finish(const Lanes& lanes, const Found& all) {
  const int64_t dim = lanes.task.value_dim();
  const __m512 inverse = _mm512_div_ps(_mm512_set1_ps(1.0F), load(all.sum()));
  const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
  for (int64_t d = 0; d < dim; d += 32) {
    __m512 even[16];
    __m512 odd[16];
    const float* from = all.values() + d * kLanes;
    MINKE_UNROLL for (int i = 0; i < 16; ++i) {
      even[i] = _mm512_mul_ps(load(from + i * kLanes), inverse);
      odd[i] = _mm512_mul_ps(load(from + (16 + i) * kLanes), inverse);
    }
    avx512::transpose(even);
    avx512::transpose(odd);
    for (int64_t lane = 0; lane < lanes.count; ++lane) {
      float* to = lanes.task.out + lanes.place(lane) * dim + d;
      _mm512_storeu_ps(to, _mm512_permutex2var_ps(even[lane], low, odd[lane]));
      _mm512_storeu_ps(to + 16, _mm512_permutex2var_ps(even[lane], high, odd[lane]));
    }
  }
}

// Whether tiles fit: whole chunks of dimensions. DeepSeek's are 576 and 512.
bool fits(const AttentionTask& task) {
  return task.kv->spec().shared_values > 0 && task.head_dim % kLatentChunkDims == 0 &&
         task.value_dim() % kLatentChunkDims == 0;
}

// Memory of a call: queries of some lanes in bf16, findings of these, and a lane's own.
struct Memory {
  Memory(const AttentionTask& task, int64_t tiles) {
    const auto q_bytes = static_cast<size_t>(kLanes * task.head_dim) * sizeof(uint16_t);
    const auto found_bytes = static_cast<size_t>(found_floats(task.value_dim())) * sizeof(float);
    const auto count = static_cast<size_t>(tiles);
    std::byte* memory =
        kernel_scratch(sizeof(Scratch) + count * q_bytes + (count + 1) * found_bytes);
    scratch = reinterpret_cast<Scratch*>(memory);
    found = reinterpret_cast<float*>(memory + sizeof(Scratch));
    q = reinterpret_cast<uint16_t*>(memory + sizeof(Scratch) + (count + 1) * found_bytes);
  }
  Scratch* scratch;
  float* found;  // [tiles + 1]
  uint16_t* q;   // [tiles][16][head_dim]
};

// call(lanes, index) for all queries of some rows.
template <typename Call>
void for_lanes(const AttentionTask& task, int64_t kv_head, int64_t row_begin, int64_t row_end,
               const Call& call) {
  const int64_t group = task.heads / task.kv_heads;
  int64_t index = 0;
  for (int64_t query = row_begin * group; query < row_end * group; query += kLanes, ++index) {
    call(Lanes{task, kv_head, query, std::min(kLanes, row_end * group - query)}, index);
  }
}

int64_t tiles_of(const AttentionTask& task, int64_t rows) {
  return (rows * (task.heads / task.kv_heads) + kLanes - 1) / kLanes;
}

}  // namespace

// A run of pages serves all queries while it lies in the second cache.
void attention(const AttentionTask& task, int64_t kv_head, int64_t row_begin, int64_t row_end) {
  if (!fits(task)) return avx512::attention(task, kv_head, row_begin, row_end);
  const int64_t tiles = tiles_of(task, row_end - row_begin);
  const Memory memory(task, tiles);
  const int64_t floats = found_floats(task.value_dim());
  const int64_t q_stride = kLanes * task.head_dim;
  const Found own = {memory.found + tiles * floats};
  for_lanes(task, kv_head, row_begin, row_end,
            [&](const Lanes& lanes, int64_t i) { round_queries(lanes, memory.q + i * q_stride); });
  configure_whole_tiles();
  const int64_t keys = task.first_position + row_end;
  for (int64_t key = 0; key < keys; key += kLatentRunPages * kKvPageTokens) {
    for_lanes(task, kv_head, row_begin, row_end, [&](const Lanes& lanes, int64_t i) {
      if (lanes.keys() <= key) return;
      const Found all = {memory.found + i * floats};
      attend_run(lanes, memory.q + i * q_stride, key, key == 0 ? all : own, *memory.scratch);
      if (key > 0) join_run(lanes, key, all, own);
    });
  }
  release_tiles();
  for_lanes(task, kv_head, row_begin, row_end,
            [&](const Lanes& lanes, int64_t i) { finish(lanes, {memory.found + i * floats}); });
}

void attention_runs(const AttentionTask& task, int64_t kv_head, int64_t run_begin, int64_t run_end,
                    float* found) {
  if (!fits(task)) return avx512::attention_runs(task, kv_head, run_begin, run_end, found);
  const Memory memory(task, tiles_of(task, task.rows));
  const int64_t floats = found_floats(task.value_dim());
  const int64_t q_stride = kLanes * task.head_dim;
  for_lanes(task, kv_head, 0, task.rows,
            [&](const Lanes& lanes, int64_t i) { round_queries(lanes, memory.q + i * q_stride); });
  configure_whole_tiles();
  for (int64_t run = run_begin; run < run_end; ++run) {
    const int64_t key = run * kLatentRunPages * kKvPageTokens;
    for_lanes(task, kv_head, 0, task.rows, [&](const Lanes& lanes, int64_t i) {
      if (lanes.keys() <= key) return;
      attend_run(lanes, memory.q + i * q_stride, key, {found + run * run_floats(task) + i * floats},
                 *memory.scratch);
    });
  }
  release_tiles();
}

void attention_join(const AttentionTask& task, int64_t kv_head, float* found) {
  if (!fits(task)) return avx512::attention_join(task, kv_head, found);
  const int64_t floats = found_floats(task.value_dim());
  for_lanes(task, kv_head, 0, task.rows, [&](const Lanes& lanes, int64_t i) {
    const Found all = {found + i * floats};
    for (int64_t run = 1; run < key_runs(task); ++run) {
      const int64_t key = run * kLatentRunPages * kKvPageTokens;
      if (lanes.keys() <= key) break;
      join_run(lanes, key, all, {found + run * run_floats(task) + i * floats});
    }
    finish(lanes, all);
  });
}

}  // namespace minke::amx
