// Attention's gradient. Probabilities are computed again, rounded wherever the forward rounds
// (docs/numerics.md): q, k and v to bf16, and each exponential relative to its page's maximum, but
// not the sum of exponentials. The rounding itself counts as the identity.
//
// One unit of work is a sequence and a KV head: it alone writes that head's dk and dv, and goes
// through its query heads and blocks of queries in ascending order.
#include <algorithm>
#include <vector>

#include "core/float_bits.h"
#include "kernels/training.h"
#include "train/backward.h"

namespace minke {
namespace {

constexpr int64_t kQueryBlock = kKvPageTokens;

int64_t padded(int64_t keys) { return (keys + 31) / 32 * 32; }
float rounded(float value) { return bf16_to_f32(f32_to_bf16(value)); }

// One sequence and one KV head.
struct Unit {
  const BackwardContext& context;
  const float* dy;  // [rows][heads][value_dim], from the sequence's first row
  const float* q;   // [rows][heads][head_dim], as dq
  const float* k;   // [rows][kv_heads][head_dim], as v, dk and dv
  const float* v;   // k itself where values are shared; dv is dk then
  float* dq;
  float* dk;
  float* dv;
  int64_t rows;
  int64_t kv_head;
  int64_t value_dim;  // at most head_dim
  const AttentionSpec& spec;

  int64_t q_stride() const { return spec.heads * spec.head_dim; }
  int64_t dy_stride() const { return spec.heads * value_dim; }
  int64_t kv_stride() const { return spec.kv_heads * spec.head_dim; }
};

// What a unit computes once and its query heads share, and room for a block of queries.
struct Scratch {
  std::vector<float> k;   // [rows][head_dim], rounded
  std::vector<float> kt;  // [head_dim][padded rows]
  std::vector<float> vt;
  std::vector<float> q;  // [kQueryBlock][head_dim], rounded
  // [kQueryBlock][padded keys]:
  std::vector<float> p;        // scores
  std::vector<float> rounded;  // probabilities that multiply the values
  std::vector<float> dp;       // gradients by probabilities, then by scores
};

void round_keys(const Unit& unit, Scratch& scratch) {
  const int64_t dim = unit.spec.head_dim;
  const int64_t stride = padded(unit.rows);
  scratch.k.resize(static_cast<size_t>(unit.rows * dim));
  scratch.kt.assign(static_cast<size_t>(dim * stride), 0.0F);
  scratch.vt.assign(static_cast<size_t>(unit.value_dim * stride), 0.0F);
  for (int64_t row = 0; row < unit.rows; ++row) {
    const int64_t from = row * unit.kv_stride() + unit.kv_head * dim;
    for (int64_t d = 0; d < dim; ++d) {
      const float k = rounded(unit.k[from + d]);
      scratch.k[static_cast<size_t>(row * dim + d)] = k;
      scratch.kt[static_cast<size_t>(d * stride + row)] = k;
    }
    for (int64_t d = 0; d < unit.value_dim; ++d) {
      scratch.vt[static_cast<size_t>(d * stride + row)] = rounded(unit.v[from + d]);
    }
  }
}

// Some queries of one head.
struct QueryBlock {
  int64_t begin;  // row of its first query
  int64_t count;
  int64_t q_place;   // of its first element in q and dq
  int64_t dy_place;  // in dy

  int64_t end() const { return begin + count; }
  int64_t keys() const { return padded(end()); }  // none after the last query
};

void round_queries(const Unit& unit, const QueryBlock& block, Scratch& scratch) {
  const int64_t dim = unit.spec.head_dim;
  for (int64_t i = 0; i < block.count; ++i) {
    const float* from = unit.q + block.q_place + i * unit.q_stride();
    for (int64_t d = 0; d < dim; ++d) {
      scratch.q[static_cast<size_t>(i * dim + d)] = rounded(from[d]);
    }
  }
}

// Scores q · kᵀ and the gradients of probabilities dy · vᵀ.
void multiply_by_keys_and_values(const Unit& unit, const QueryBlock& block, Scratch& scratch) {
  const int64_t dim = unit.spec.head_dim;
  GemmF32 product = {.rows = block.count,
                     .columns = block.keys(),
                     .depth = dim,
                     .a = scratch.q.data(),
                     .a_row_stride = dim,
                     .a_k_stride = 1,
                     .b = scratch.kt.data(),
                     .b_stride = padded(unit.rows),
                     .c = scratch.p.data(),
                     .c_stride = block.keys()};
  unit.context.multiply_alone(product);
  product.depth = unit.value_dim;
  product.a = unit.dy + block.dy_place;
  product.a_row_stride = unit.dy_stride();
  product.b = scratch.vt.data();
  product.c = scratch.dp.data();
  unit.context.multiply_alone(product);
}

// dq = dS · k for these queries; dk += dSᵀ · q and dv += Pᵀ · dy for all keys that they see.
void write_gradients(const Unit& unit, const QueryBlock& block, const Scratch& scratch) {
  const int64_t dim = unit.spec.head_dim;
  unit.context.multiply_alone({.rows = block.count,
                               .columns = dim,
                               .depth = block.end(),
                               .a = scratch.dp.data(),
                               .a_row_stride = block.keys(),
                               .a_k_stride = 1,
                               .b = scratch.k.data(),
                               .b_stride = dim,
                               .c = unit.dq + block.q_place,
                               .c_stride = unit.q_stride()});
  const int64_t kv_place = unit.kv_head * dim;
  GemmF32 transposed = {.rows = block.end(),
                        .columns = dim,
                        .depth = block.count,
                        .a = scratch.dp.data(),
                        .a_row_stride = 1,
                        .a_k_stride = block.keys(),
                        .b = scratch.q.data(),
                        .b_stride = dim,
                        .c = unit.dk + kv_place,
                        .c_stride = unit.kv_stride(),
                        .accumulate = true};
  unit.context.multiply_alone(transposed);
  transposed.columns = unit.value_dim;
  transposed.a = scratch.rounded.data();
  transposed.b = unit.dy + block.dy_place;
  transposed.b_stride = unit.dy_stride();
  transposed.c = unit.dv + kv_place;
  unit.context.multiply_alone(transposed);
}

void query_block(const Unit& unit, const QueryBlock& block, Scratch& scratch) {
  round_queries(unit, block, scratch);
  multiply_by_keys_and_values(unit, block, scratch);
  const int64_t stride = block.keys();
  const TrainingKernels& kernels = training_kernels();
  for (int64_t i = 0; i < block.count; ++i) {
    kernels.softmax_backward({.scores = scratch.p.data() + i * stride,
                              .gradient = scratch.dp.data() + i * stride,
                              .rounded = scratch.rounded.data() + i * stride,
                              .keys = block.begin + i + 1,
                              .stride = stride,
                              .scale = unit.spec.scale});
  }
  write_gradients(unit, block, scratch);
}

void run_unit(const Unit& unit, Scratch& scratch) {
  round_keys(unit, scratch);
  const auto block = static_cast<size_t>(kQueryBlock * padded(unit.rows));
  scratch.p.resize(block);
  scratch.rounded.resize(block);
  scratch.dp.resize(block);
  scratch.q.resize(static_cast<size_t>(kQueryBlock * unit.spec.head_dim));
  const int64_t group = unit.spec.heads / unit.spec.kv_heads;
  for (int64_t head = unit.kv_head * group; head < (unit.kv_head + 1) * group; ++head) {
    for (int64_t begin = 0; begin < unit.rows; begin += kQueryBlock) {
      query_block(unit,
                  {.begin = begin,
                   .count = std::min(kQueryBlock, unit.rows - begin),
                   .q_place = begin * unit.q_stride() + head * unit.spec.head_dim,
                   .dy_place = begin * unit.dy_stride() + head * unit.value_dim},
                  scratch);
    }
  }
}

}  // namespace

AttentionGradients attention_backward(const BackwardContext& context, const Tensor& dy,
                                      const Tensor& q, const Tensor& k, const Tensor& v,
                                      std::span<const SequenceRows> sequences,
                                      const AttentionSpec& spec, int64_t shared_values) {
  CHECK_EQ(spec.heads % spec.kv_heads, 0);
  CHECK_EQ(v.empty(), shared_values > 0);
  AttentionGradients gradients = {
      .dq = context.zeros(q.shape()), .dk = context.zeros(k.shape()), .dv = {}};
  if (!v.empty()) gradients.dv = context.zeros(v.shape());
  const Tensor& values = v.empty() ? k : v;
  Tensor& value_gradients = v.empty() ? gradients.dk : gradients.dv;
  const int64_t value_dim = v.empty() ? shared_values : spec.head_dim;
  const auto units = static_cast<int64_t>(sequences.size()) * spec.kv_heads;
  context.pool.parallel_for(units, 1, [&](int64_t begin, int64_t end) {
    Scratch scratch;
    for (int64_t index = begin; index < end; ++index) {
      const SequenceRows& rows = sequences[static_cast<size_t>(index / spec.kv_heads)];
      const int64_t q_place = rows.first_row * spec.heads * spec.head_dim;
      const int64_t kv_place = rows.first_row * spec.kv_heads * spec.head_dim;
      run_unit({.context = context,
                .dy = dy.f32() + rows.first_row * spec.heads * value_dim,
                .q = q.f32() + q_place,
                .k = k.f32() + kv_place,
                .v = values.f32() + kv_place,
                .dq = gradients.dq.f32() + q_place,
                .dk = gradients.dk.f32() + kv_place,
                .dv = value_gradients.f32() + kv_place,
                .rows = rows.row_count,
                .kv_head = index % spec.kv_heads,
                .value_dim = value_dim,
                .spec = spec},
               scratch);
    }
  });
  return gradients;
}

}  // namespace minke
