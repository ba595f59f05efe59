// Attention over bf16 pages, in the contract's order (kernels/reference/reference.cpp: attend_page,
// attend): a page of 64 keys is a split, relative to its own maximum; splits join ascending.
//   few rows:  a block a page, all heads that share its keys; attention_join then joins the splits;
//   many rows: a block 64 queries (rows times heads of one kv head), pages one after the other.
#include "kernels/cuda/arguments.h"
#include "kernels/cuda/arithmetic.cuh"
#include "kernels/cuda/ptx/grid.h"
#include "kernels/cuda/ptx/memory.h"
#include "kernels/cuda/quantise.cuh"

namespace minke::cuda {
namespace {

constexpr int kPage = 64;
// Query heads that a thread computes with one load of a key or value. More would save loads, but a
// thread's time is the length of its chains.
constexpr int kHeadsAtOnce = 2;
constexpr int kThreadsFew = 256;

__device__ const uint16_t* page_at(const AttentionArguments& a, const SequenceShare& sequence,
                                   int page, int kv_head) {
  const int64_t index = a.batch.pages[sequence.first_page + page];
  return a.kv.base + index * a.kv.page_halves + kv_head * a.kv.head_page_halves;
}

__device__ int position_of(const SequenceShare& sequence, int64_t row) {
  return sequence.first_position + static_cast<int>(row) - sequence.first_row;
}

// Scores of `heads` heads (at most kHeadsAtOnce) against key `token`, K ascending by pairs.
__device__ void score_key(const float* q, int head_dim, const uint16_t* page, int token, int heads,
                          float scale, float* scores) {
  float sums[kHeadsAtOnce] = {};
  const auto* keys = reinterpret_cast<const uint32_t*>(page) + token;
#pragma unroll 32
  for (int pair = 0; pair < head_dim / 2; ++pair) {
    const uint32_t k = keys[pair * kPage];
    const float k0 = bf16_low(k);
    const float k1 = bf16_high(k);
#pragma unroll
    for (int h = 0; h < kHeadsAtOnce; ++h) {
      const float2 two = reinterpret_cast<const float2*>(q + h * head_dim)[pair];
      sums[h] = add_pair(sums[h], two.x, k0, two.y, k1);
    }
  }
#pragma unroll
  for (int h = 0; h < kHeadsAtOnce; ++h) {
    if (h < heads) scores[h * kPage + token] = sums[h] * scale;
  }
}

// A warp turns 64 scores into bf16 weights; returns their maximum and the sum before rounding.
__device__ float2 weigh(float* scores, int keys) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const float s0 = scores[lane];
  const float s1 = scores[lane + 32];
  float largest = -INFINITY;
  if (lane < keys) largest = s0;
  if (lane + 32 < keys) largest = fmaxf(largest, s1);
#pragma unroll
  for (int mask = 1; mask < 32; mask *= 2) {
    largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, mask));
  }
  const float w0 = lane < keys ? exp_exact(s0 - largest) : 0.0F;
  const float w1 = lane + 32 < keys ? exp_exact(s1 - largest) : 0.0F;
  // Lane l of 16 takes keys l, l + 16, l + 32, l + 48.
  float sum = w0 + __shfl_down_sync(~0u, w0, 16);
  sum += w1;
  sum += __shfl_down_sync(~0u, w1, 16);
#pragma unroll
  for (int width = 8; width >= 1; width /= 2) sum += __shfl_down_sync(~0u, sum, width);
  __syncwarp();
  scores[lane] = rounded_to_bf16(w0);
  scores[lane + 32] = rounded_to_bf16(w1);
  return make_float2(largest, sum);
}

}  // namespace

// Grid: (pages_max, kv_heads, rows), 256 threads. Rows of sequences with more than `rows_few` rows
// are left to attention_many. Dynamic shared memory: group' x (head_dim + 64) floats, group' the
// heads of a kv head, rounded up to a multiple of kHeadsAtOnce.
extern "C" __global__ void __launch_bounds__(kThreadsFew)
    attention_few(const AttentionArguments a, int64_t first_row, int rows_few) {
  extern __shared__ float shared[];
  ptx::wait_for_previous_grid();
  ptx::let_next_grid_start();
  const int64_t row = first_row + blockIdx.z;
  const SequenceShare sequence = a.batch.sequences[a.batch.row_sequences[row]];
  if (sequence.row_count > rows_few) return;
  const int page_index = static_cast<int>(blockIdx.x);
  const int kv_head = static_cast<int>(blockIdx.y);
  const int keys = min(position_of(sequence, row) + 1 - page_index * kPage, kPage);
  if (keys <= 0) return;
  const uint16_t* page = page_at(a, sequence, page_index, kv_head);
  const int group = a.heads / a.kv.kv_heads;
  const int padded = (group + kHeadsAtOnce - 1) / kHeadsAtOnce * kHeadsAtOnce;
  float* q = shared;                             // [padded][head_dim]
  float* scores = shared + padded * a.head_dim;  // [padded][64]
  const int64_t first_head = row * a.heads + kv_head * group;
  for (int i = static_cast<int>(threadIdx.x); i < padded * a.head_dim; i += kThreadsFew) {
    q[i] = i < group * a.head_dim ? rounded_to_bf16(a.q[first_head * a.head_dim + i]) : 0.0F;
  }
  __syncthreads();
  for (int h = static_cast<int>(threadIdx.x / kPage) * kHeadsAtOnce; h < group;
       h += kThreadsFew / kPage * kHeadsAtOnce) {
    score_key(q + h * a.head_dim, a.head_dim, page, static_cast<int>(threadIdx.x % 64), group - h,
              a.scale, scores + h * kPage);
  }
  __syncthreads();
  for (int h = static_cast<int>(threadIdx.x / 32); h < group; h += kThreadsFew / 32) {
    const float2 state = weigh(scores + h * kPage, keys);
    if (threadIdx.x % 32 == 0) {
      const int64_t split = (first_head + h - first_row * a.heads) * a.pages_max + page_index;
      reinterpret_cast<float2*>(a.split_states)[split] = state;
    }
  }
  __syncthreads();
  const auto* values =
      reinterpret_cast<const uint32_t*>(page + static_cast<int64_t>(a.head_dim) * kPage);
  // The threads in parts, a part some of the heads, a thread of it a dimension.
  const int parts = max(1, kThreadsFew / a.head_dim);
  const int part_threads = kThreadsFew / parts;
  const int part = static_cast<int>(threadIdx.x) / part_threads;
  for (int d = static_cast<int>(threadIdx.x) % part_threads; d < a.head_dim && part < parts;
       d += part_threads) {
    for (int h0 = part * kHeadsAtOnce; h0 < group; h0 += parts * kHeadsAtOnce) {
      float sums[kHeadsAtOnce] = {};
#pragma unroll
      for (int pair = 0; pair < kPage / 2; ++pair) {
        const uint32_t v = values[pair * a.head_dim + d];
        const float v0 = bf16_low(v);
        const float v1 = bf16_high(v);
#pragma unroll
        for (int h = 0; h < kHeadsAtOnce; ++h) {
          const float2 w = reinterpret_cast<const float2*>(scores + (h0 + h) * kPage)[pair];
          sums[h] = add_pair(sums[h], w.x, v0, w.y, v1);
        }
      }
#pragma unroll
      for (int h = 0; h < kHeadsAtOnce; ++h) {
        if (h0 + h >= group) continue;
        const int64_t split =
            (first_head + h0 + h - first_row * a.heads) * a.pages_max + page_index;
        a.split_values[split * a.head_dim + d] = sums[h];
      }
    }
  }
}

// Joins the splits of attention_few. Grid: (groups of 256 outputs, rows), 256 threads.
extern "C" __global__ void __launch_bounds__(256)
    attention_join(const AttentionArguments a, int64_t first_row, int rows_few) {
  constexpr int kPagesAtOnce = 32;
  constexpr int kHeads = 40;  // of 256 outputs, when a head has 8 values or more
  __shared__ float ours[kHeads][kPagesAtOnce];
  __shared__ float theirs[kHeads][kPagesAtOnce];
  __shared__ float sums[kHeads][kPagesAtOnce];
  __shared__ float outputs[256];
  ptx::wait_for_previous_grid();
  ptx::let_next_grid_start();
  const int64_t row = first_row + blockIdx.y;
  const SequenceShare sequence = a.batch.sequences[a.batch.row_sequences[row]];
  if (sequence.row_count > rows_few) return;
  const int pages = position_of(sequence, row) / kPage + 1;
  const int64_t width = static_cast<int64_t>(a.heads) * a.head_dim;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * 256 + threadIdx.x;
  const int first_head = static_cast<int>(blockIdx.x * 256 / a.head_dim);
  const int last_head =
      static_cast<int>((min(width, static_cast<int64_t>(blockIdx.x) * 256 + 256) - 1) / a.head_dim);
  const int head = static_cast<int>(at / a.head_dim);
  const int d = static_cast<int>(at % a.head_dim);
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int64_t row_splits = blockIdx.y * static_cast<int64_t>(a.heads);
  float sum = 0.0F;
  float value = 0.0F;
  float maximum[kHeads / 8];  // of the heads this warp prepares, so far
#pragma unroll
  for (int i = 0; i < kHeads / 8; ++i) maximum[i] = -INFINITY;
  for (int begin = 0; begin < pages; begin += kPagesAtOnce) {
    const int here = min(pages - begin, kPagesAtOnce);
#pragma unroll
    for (int i = 0; i < kHeads / 8; ++i) {
      const int h = warp + 8 * i;
      if (first_head + h > last_head) continue;
      const int64_t first_split = (row_splits + first_head + h) * a.pages_max + begin;
      const float2 split = lane < here
                               ? reinterpret_cast<const float2*>(a.split_states)[first_split + lane]
                               : make_float2(-INFINITY, 0.0F);
      float through = fmaxf(split.x, maximum[i]);
#pragma unroll
      for (int step = 1; step < 32; step *= 2) {
        const float other = __shfl_up_sync(~0u, through, step);
        if (lane >= step) through = fmaxf(through, other);
      }
      float previous = __shfl_up_sync(~0u, through, 1);
      if (lane == 0) previous = maximum[i];
      ours[h][lane] = exp_exact(previous - through);
      theirs[h][lane] = exp_exact(split.x - through);
      sums[h][lane] = split.y;
      maximum[i] = __shfl_sync(~0u, through, 31);
    }
    __syncthreads();
    if (at < width) {
      const int h = head - first_head;
      const float* splits =
          a.split_values + ((row_splits + head) * a.pages_max + begin) * a.head_dim + d;
#pragma unroll 4
      for (int p = 0; p < here; ++p) {
        const float split = splits[static_cast<int64_t>(p) * a.head_dim];
        if (begin + p == 0) {
          sum = sums[h][0];
          value = split;
        } else {
          sum = fmaf(sum, ours[h][p], sums[h][p] * theirs[h][p]);
          value = fmaf(value, ours[h][p], split * theirs[h][p]);
        }
      }
    }
    __syncthreads();
  }
  const float inverse = 1.0F / sum;
  const float y = at < width ? value * inverse : 0.0F;
  if (at < width) a.out[row * width + at] = y;
  outputs[threadIdx.x] = y;
  if (a.quant.tiles == nullptr) return;
  __syncthreads();
  if (warp == 0) {
    float x[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) x[i] = outputs[lane * 8 + i];
    quantise_group(x, a.quant, blockIdx.x, row);
  }
}

namespace {

constexpr int kQueries = 64;

// Shared memory of attention_many, in bytes from the start.
template <int HD>
struct ManyShared {
  static constexpr int kKeys = 0;                                  // a page's K
  static constexpr int kValues = kKeys + HD * kPage * 2;           // and V
  static constexpr int kQuery = kValues + HD * kPage * 2;          // float2[HD / 2][64 queries]
  static constexpr int kWeights = kQuery + HD * kQueries * 4;      // float2[32 pairs][64 queries]
  static constexpr int kScores = kWeights + kPage * kQueries * 4;  // float[64 queries][65]
  static constexpr int kStates = kScores + kQueries * (kPage + 1) * 4;  // float[4][64]
  static_assert(kStates + 4 * kQueries * 4 == attention_many_shared_bytes(HD));
};

// Four threads a query: 64 scores to bf16 weights, and the query's state joined with this split's.
// Returns nothing to threads; ours and theirs are left in shared memory for the values.
__device__ void weigh_query(const float* scores, float scale, int keys, bool first, float2* weights,
                            float* states, int query) {
  const int part = static_cast<int>(threadIdx.x % 4);
  float s[4][4];
  float largest = -INFINITY;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int l = 0; l < 4; ++l) {
      const int key = i * 16 + part * 4 + l;
      s[i][l] = scores[query * (kPage + 1) + key] * scale;
      if (key < keys) largest = fmaxf(largest, s[i][l]);
    }
  }
  largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
  largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 2));
  float lanes[4] = {};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int l = 0; l < 4; ++l) {
      const int key = i * 16 + part * 4 + l;
      const float w = key < keys ? exp_exact(s[i][l] - largest) : 0.0F;
      lanes[l] += w;
      reinterpret_cast<float*>(&weights[key / 2 * kQueries + query])[key % 2] = rounded_to_bf16(w);
    }
  }
#pragma unroll
  for (int l = 0; l < 4; ++l) lanes[l] += __shfl_down_sync(~0u, lanes[l], 2, 4);
#pragma unroll
  for (int l = 0; l < 4; ++l) lanes[l] += __shfl_down_sync(~0u, lanes[l], 1, 4);
  const float sum = lanes[0] + lanes[2] + (lanes[1] + lanes[3]);
  if (part != 0) return;
  float* maxima = states;
  float* sums = states + kQueries;
  float* ours = states + 2 * kQueries;
  float* theirs = states + 3 * kQueries;
  if (first) {
    maxima[query] = largest;
    sums[query] = sum;
    return;
  }
  theirs[query] = -1.0F;  // this query does not see the page
  if (keys <= 0) return;
  const float larger = fmaxf(maxima[query], largest);
  ours[query] = exp_exact(maxima[query] - larger);
  theirs[query] = exp_exact(largest - larger);
  maxima[query] = larger;
  sums[query] = fmaf(sums[query], ours[query], sum * theirs[query]);
}

template <int HD>
__device__ void many_queries(const AttentionArguments& a, int rows_few) {
  using At = ManyShared<HD>;
  extern __shared__ __align__(128) std::byte many[];
  __shared__ uint64_t arrived[2];  // K, V
  if (threadIdx.x == 0) {
    ptx::barrier_init(&arrived[0], 1);
    ptx::barrier_init(&arrived[1], 1);
    ptx::barrier_init_fence();
  }
  ptx::wait_for_previous_grid();
  ptx::let_next_grid_start();
  const SequenceShare sequence = a.batch.sequences[blockIdx.z];
  const int kv_head = static_cast<int>(blockIdx.y);
  const int group = a.heads / a.kv.kv_heads;
  const int queries = sequence.row_count * group;
  // The tiles that see the most keys first.
  const int first_query =
      static_cast<int>((queries + kQueries - 1) / kQueries - 1 - static_cast<int>(blockIdx.x)) *
      kQueries;
  if (sequence.row_count <= rows_few || first_query < 0) return;
  auto* query = reinterpret_cast<float2*>(many + At::kQuery);
  auto* weights = reinterpret_cast<float2*>(many + At::kWeights);
  auto* scores = reinterpret_cast<float*>(many + At::kScores);
  auto* states = reinterpret_cast<float*>(many + At::kStates);
  const auto place = [&](int index) {  // of a query's head in q and out
    const int64_t row = sequence.first_row + index / group;
    return (row * a.heads + kv_head * group + index % group) * HD;
  };
  for (int i = static_cast<int>(threadIdx.x); i < kQueries * HD / 2; i += 256) {
    const int index = first_query + i / (HD / 2);
    const int pair = i % (HD / 2);
    float2 two = make_float2(0.0F, 0.0F);
    if (index < queries) two = reinterpret_cast<const float2*>(a.q + place(index))[pair];
    query[pair * kQueries + i / (HD / 2)] =
        make_float2(rounded_to_bf16(two.x), rounded_to_bf16(two.y));
  }
  const int last = min(queries, first_query + kQueries) - 1;
  const int pages = (sequence.first_position + last / group) / kPage + 1;
  constexpr uint32_t kHalfPage = HD * kPage * 2;
  const auto fetch = [&](int page, int which) {
    const auto* from =
        reinterpret_cast<const std::byte*>(page_at(a, sequence, page, kv_head)) + which * kHalfPage;
    ptx::barrier_arrive_expect(&arrived[which], kHalfPage);
    ptx::copy_bulk(many + which * kHalfPage, from, kHalfPage, &arrived[which]);
  };
  __syncthreads();
  if (threadIdx.x == 0) {
    fetch(0, 0);
    fetch(0, 1);
  }
  constexpr int kDims = HD / 32;
  float values[8][kDims] = {};
  const int my_queries = static_cast<int>(threadIdx.x / 32) * 8;
  const int my_dims = static_cast<int>(threadIdx.x % 32) * kDims;
  for (int page = 0; page < pages; ++page) {
    const auto parity = static_cast<uint32_t>(page % 2);
    ptx::barrier_wait(&arrived[0], parity);
    {  // Scores: four queries by four keys a thread.
      const int q0 = static_cast<int>(threadIdx.x / 16) * 4;
      const int k0 = static_cast<int>(threadIdx.x % 16) * 4;
      float sums[4][4] = {};
#pragma unroll 4
      for (int pair = 0; pair < HD / 2; ++pair) {
        const uint4 four =
            *reinterpret_cast<const uint4*>(many + At::kKeys + (pair * kPage + k0) * 4);
        const uint32_t k[4] = {four.x, four.y, four.z, four.w};
        float2 q[4];
        *reinterpret_cast<float4*>(&q[0]) =
            *reinterpret_cast<const float4*>(&query[pair * kQueries + q0]);
        *reinterpret_cast<float4*>(&q[2]) =
            *reinterpret_cast<const float4*>(&query[pair * kQueries + q0 + 2]);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
          for (int n = 0; n < 4; ++n) {
            sums[i][n] = add_pair(sums[i][n], q[i].x, bf16_low(k[n]), q[i].y, bf16_high(k[n]));
          }
        }
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int n = 0; n < 4; ++n) scores[(q0 + i) * (kPage + 1) + k0 + n] = sums[i][n];
      }
    }
    __syncthreads();
    if (threadIdx.x == 0 && page + 1 < pages) fetch(page + 1, 0);
    const int mine = static_cast<int>(threadIdx.x / 4);
    const int position = sequence.first_position + (first_query + mine) / group;
    weigh_query(scores, a.scale, min(position + 1 - page * kPage, kPage), page == 0, weights,
                states, mine);
    ptx::barrier_wait(&arrived[1], parity);
    __syncthreads();
    float splits[8][kDims] = {};
#pragma unroll 2
    for (int pair = 0; pair < kPage / 2; ++pair) {
      uint32_t v[kDims];
      const auto* from =
          reinterpret_cast<const uint32_t*>(many + At::kValues) + pair * HD + my_dims;
      if constexpr (kDims == 4) {
        const uint4 four = *reinterpret_cast<const uint4*>(from);
        v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
      } else {
        const uint2 both = *reinterpret_cast<const uint2*>(from);
        v[0] = both.x, v[1] = both.y;
      }
      float2 w[8];
#pragma unroll
      for (int i = 0; i < 8; i += 2) {
        *reinterpret_cast<float4*>(&w[i]) =
            *reinterpret_cast<const float4*>(&weights[pair * kQueries + my_queries + i]);
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) {
#pragma unroll
        for (int n = 0; n < kDims; ++n) {
          splits[i][n] = add_pair(splits[i][n], w[i].x, bf16_low(v[n]), w[i].y, bf16_high(v[n]));
        }
      }
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float ours = states[2 * kQueries + my_queries + i];
      const float theirs = states[3 * kQueries + my_queries + i];
#pragma unroll
      for (int n = 0; n < kDims; ++n) {
        if (page == 0) {
          values[i][n] = splits[i][n];
        } else if (theirs >= 0.0F) {
          values[i][n] = fmaf(values[i][n], ours, splits[i][n] * theirs);
        }
      }
    }
    __syncthreads();
    if (threadIdx.x == 0 && page + 1 < pages) fetch(page + 1, 1);
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int index = first_query + my_queries + i;
    if (index >= queries) continue;
    const float inverse = 1.0F / states[kQueries + my_queries + i];
#pragma unroll
    for (int n = 0; n < kDims; ++n) a.out[place(index) + my_dims + n] = values[i][n] * inverse;
  }
}

}  // namespace

// Grid: (tiles of 64 queries of the longest sequence, kv_heads, sequences), 256 threads. Sequences
// of at most `rows_few` rows are left to attention_few.
extern "C" __global__ void __launch_bounds__(256, 2)
    attention_many_64(const __grid_constant__ AttentionArguments a, int rows_few) {
  many_queries<64>(a, rows_few);
}
extern "C" __global__ void __launch_bounds__(256, 2)
    attention_many_128(const __grid_constant__ AttentionArguments a, int rows_few) {
  many_queries<128>(a, rows_few);
}

}  // namespace minke::cuda
