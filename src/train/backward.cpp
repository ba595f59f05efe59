#include "train/backward.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/gemm_bf16.h"
#include "kernels/training.h"
#include "train/gradients.h"

namespace minke {
namespace {

// Elements a thread takes at a time where work is a few operations an element.
constexpr int64_t kElementGrain = 8192;

int64_t rows_grain(int64_t dim) { return dim >= kElementGrain ? 1 : kElementGrain / dim + 1; }

// Sixteen sums side by side, so that the loop needs no reordering to run in vectors.
template <typename Product>
float lane_sum(int64_t count, const Product& product) {
  float lanes[16] = {};
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    for (int64_t lane = 0; lane < 16; ++lane) lanes[lane] += product(i + lane);
  }
  for (; i < count; ++i) lanes[i % 16] += product(i);
  float sum = 0.0F;
  for (float lane : lanes) sum += lane;
  return sum;
}

}  // namespace

Tensor BackwardContext::zeros(Shape shape) const {
  Tensor tensor = ops.empty(shape);
  std::memset(tensor.f32(), 0, tensor.values().size_bytes());
  return tensor;
}

void BackwardContext::multiply(const GemmF32& product) const {
  compute == Compute::kBF16 ? gemm_bf16(pool, product) : gemm_f32(pool, product);
}
void BackwardContext::multiply_alone(const GemmF32& product) const {
  compute == Compute::kBF16 ? gemm_bf16(product) : gemm_f32(product);
}

Tensor linear_backward_input(const BackwardContext& context, const Tensor& dy, const Weight& w,
                             const Shape& x_shape) {
  CHECK(w.rows != nullptr);
  CHECK_EQ(w.out_dim(), dy.dim());
  Tensor dx = context.empty(x_shape);
  GemmF32 product = {.rows = dy.rows(),
                     .columns = dx.dim(),
                     .depth = dy.dim(),
                     .a = dy.f32(),
                     .a_row_stride = dy.dim(),
                     .a_k_stride = 1,
                     .b_stride = dx.dim(),
                     .c = dx.f32(),
                     .c_stride = dx.dim()};
  if (w.type == QuantType::kF32) {
    product.b = w.f32();
    context.multiply(product);
    return dx;
  }
  if (context.compute == Compute::kBF16) {
    gemm_bf16(context.pool, product, {.type = w.type, .rows = w.rows});
    return dx;
  }
  // Some rows at a time, whose values stay in the cache for all of dy's; one chain all the same.
  constexpr int64_t kValues = int64_t{1} << 18;
  const int64_t at_once = std::max<int64_t>(1, kValues / w.in_dim());
  const size_t bytes = row_bytes(w.type, w.in_dim());
  std::vector<float> values(static_cast<size_t>(std::min(at_once, w.out_dim()) * w.in_dim()));
  product.b = values.data();
  for (int64_t first = 0; first < w.out_dim(); first += at_once) {
    const int64_t count = std::min(at_once, w.out_dim() - first);
    context.pool.parallel_for(count, 8, [&](int64_t begin, int64_t end) {
      quant_format(w.type).decode(w.rows + static_cast<size_t>(first + begin) * bytes,
                                  values.data() + begin * w.in_dim(), (end - begin) * w.in_dim());
    });
    product.depth = count;
    product.a = dy.f32() + first;
    product.accumulate = first > 0;
    gemm_f32(context.pool, product);
  }
  return dx;
}

void linear_backward_weight(const BackwardContext& context, const Tensor& dy, const Tensor& x,
                            float* dw) {
  CHECK_EQ(dy.rows(), x.rows());
  context.multiply({.rows = dy.dim(),
                    .columns = x.dim(),
                    .depth = x.rows(),
                    .a = dy.f32(),
                    .a_row_stride = 1,
                    .a_k_stride = dy.dim(),
                    .b = x.f32(),
                    .b_stride = x.dim(),
                    .c = dw,
                    .c_stride = x.dim(),
                    .accumulate = true});
}

Tensor linear_by_heads_backward_input(const BackwardContext& context, const Tensor& dy,
                                      const float* w, const Shape& x_shape) {
  Tensor dx = context.empty(x_shape);
  const int64_t heads = dy.shape()[1];
  context.pool.parallel_each(heads, [&](int64_t head) {
    context.multiply_alone({.rows = dy.shape()[0],
                            .columns = dx.dim(),
                            .depth = dy.dim(),
                            .a = dy.f32() + head * dy.dim(),
                            .a_row_stride = heads * dy.dim(),
                            .a_k_stride = 1,
                            .b = w + head * dy.dim() * dx.dim(),
                            .b_stride = dx.dim(),
                            .c = dx.f32() + head * dx.dim(),
                            .c_stride = heads * dx.dim()});
  });
  return dx;
}

void linear_by_heads_backward_weight(const BackwardContext& context, const Tensor& dy,
                                     const Tensor& x, float* dw) {
  const int64_t heads = dy.shape()[1];
  context.pool.parallel_each(heads, [&](int64_t head) {
    context.multiply_alone({.rows = dy.dim(),
                            .columns = x.dim(),
                            .depth = x.shape()[0],
                            .a = dy.f32() + head * dy.dim(),
                            .a_row_stride = 1,
                            .a_k_stride = heads * dy.dim(),
                            .b = x.f32() + head * x.dim(),
                            .b_stride = heads * x.dim(),
                            .c = dw + head * dy.dim() * x.dim(),
                            .c_stride = x.dim(),
                            .accumulate = true});
  });
}

Tensor slice_backward(const BackwardContext& context, const Tensor& dy, int64_t begin,
                      const Shape& x_shape) {
  Tensor dx = context.zeros(x_shape);
  for (int64_t row = 0; row < dx.rows(); ++row) {
    std::memcpy(dx.row(row) + begin, dy.row(row), static_cast<size_t>(dy.dim()) * sizeof(float));
  }
  return dx;
}

Tensor rms_norm_backward(const BackwardContext& context, const Tensor& dy, const Tensor& x,
                         const float* w, float epsilon, float* dw) {
  const int64_t dim = x.dim();
  Tensor dx = context.empty(x.shape());
  Tensor by_row = dw ? context.empty(x.shape()) : Tensor();  // each row's share of dw
  context.pool.parallel_for(x.rows(), rows_grain(dim), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* in = x.f32() + row * dim;
      const float* out_gradient = dy.f32() + row * dim;
      float* in_gradient = dx.f32() + row * dim;
      const float squares = lane_sum(dim, [&](int64_t i) { return in[i] * in[i]; });
      const float dot = lane_sum(dim, [&](int64_t i) { return out_gradient[i] * w[i] * in[i]; });
      const float scale = 1.0F / std::sqrt(squares / static_cast<float>(dim) + epsilon);
      const float shrink = scale * scale * scale * dot / static_cast<float>(dim);
      for (int64_t i = 0; i < dim; ++i) {
        in_gradient[i] = out_gradient[i] * w[i] * scale - in[i] * shrink;
      }
      if (dw == nullptr) continue;
      float* share = by_row.f32() + row * dim;
      for (int64_t i = 0; i < dim; ++i) share[i] = out_gradient[i] * (in[i] * scale);
    }
  });
  if (dw) accumulate_rows(context.pool, by_row.f32(), x.rows(), dim, {}, dw);
  return dx;
}

RopeTable make_rope_table(const RopeSpec& spec, std::span<const int32_t> positions) {
  RopeTable table;
  table.cos.reserve(positions.size() * spec.frequencies.size());
  table.sin.reserve(positions.size() * spec.frequencies.size());
  for (int32_t position : positions) {
    for (float frequency : spec.frequencies) {
      const double angle = static_cast<double>(position) * static_cast<double>(frequency);
      table.cos.push_back(static_cast<float>(std::cos(angle)) * spec.magnitude);
      table.sin.push_back(static_cast<float>(std::sin(angle)) * spec.magnitude);
    }
  }
  return table;
}

Tensor rope_backward(const BackwardContext& context, const Tensor& dy, const RopePairs pairs,
                     const RopeTable& table) {
  CHECK_EQ(dy.shape().rank(), 3);
  const int64_t rows = dy.shape()[0];
  const int64_t heads = dy.shape()[1];
  const int64_t head_dim = dy.shape()[2];
  const int64_t pair_count = static_cast<int64_t>(table.cos.size()) / rows;
  CHECK_LE(2 * pair_count, head_dim);
  const bool adjacent = pairs == RopePairs::kAdjacent;
  Tensor dx = context.empty(dy.shape());
  context.pool.parallel_for(rows, rows_grain(heads * head_dim), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* cos = table.cos.data() + row * pair_count;
      const float* sin = table.sin.data() + row * pair_count;
      for (int64_t head = 0; head < heads; ++head) {
        const float* from = dy.f32() + (row * heads + head) * head_dim;
        float* to = dx.f32() + (row * heads + head) * head_dim;
        for (int64_t i = 2 * pair_count; i < head_dim; ++i) to[i] = from[i];
        for (int64_t i = 0; i < pair_count; ++i) {
          const int64_t first = adjacent ? 2 * i : i;
          const int64_t second = adjacent ? 2 * i + 1 : i + pair_count;
          to[first] = from[first] * cos[i] + from[second] * sin[i];
          to[second] = from[second] * cos[i] - from[first] * sin[i];
        }
      }
    }
  });
  return dx;
}

std::pair<Tensor, Tensor> swiglu_backward(const BackwardContext& context, const Tensor& dy,
                                          const Tensor& gate, const Tensor& up) {
  Tensor dgate = context.empty(gate.shape());
  Tensor dup = context.empty(up.shape());
  context.pool.parallel_for(gate.shape().count(), kElementGrain, [&](int64_t begin, int64_t end) {
    training_kernels().swiglu_backward(dy.f32() + begin, gate.f32() + begin, up.f32() + begin,
                                       dgate.f32() + begin, dup.f32() + begin, end - begin);
  });
  return {std::move(dgate), std::move(dup)};
}

Tensor sum_of(const BackwardContext& context, const Tensor& a, const Tensor& b) {
  CHECK_EQ(a.shape().count(), b.shape().count());
  Tensor sum = context.empty(a.shape());
  context.pool.parallel_for(a.shape().count(), kElementGrain, [&](int64_t begin, int64_t end) {
    const float* from_a = a.f32();
    const float* from_b = b.f32();
    float* to = sum.f32();
    for (int64_t i = begin; i < end; ++i) to[i] = from_a[i] + from_b[i];
  });
  return sum;
}

}  // namespace minke
