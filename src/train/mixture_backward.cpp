// The gradient of a mixture of experts. Each expert works alone, on the rows that came to it:
//
//   h = silu(x · gateᵀ) · (x · upᵀ),  y = Σ over its experts of weight · (h · downᵀ).
//
// Threads take experts, so each stack's gradient has one writer; what an expert gives back to its
// rows is kept by route and added up by row, experts ascending. Within an expert the matrices of
// activations are transposed ([ffn_dim, rows]): the stacks are then read as they lie.
#include <algorithm>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/math.h"
#include "kernels/training.h"
#include "train/backward.h"

namespace minke {
namespace {

float* room(std::vector<float>& memory, int64_t rows, int64_t columns) {
  memory.resize(static_cast<size_t>(rows * columns));
  return memory.data();
}

// The scores of a row's experts, all of them.
void score_experts(const float* logits, ExpertScore kind, std::span<float> scores) {
  if (kind == ExpertScore::kSigmoid) {
    for (size_t e = 0; e < scores.size(); ++e) scores[e] = 1.0F / (1.0F + exact_exp(-logits[e]));
    return;
  }
  const float most = *std::max_element(logits, logits + scores.size());
  float sum = 0.0F;
  for (size_t e = 0; e < scores.size(); ++e) {
    scores[e] = exact_exp(logits[e] - most);
    sum += scores[e];
  }
  for (float& value : scores) value /= sum;
}

// From the gradient by the scores to that by the logits, in place.
void through_scores(ExpertScore kind, std::span<const float> scores, float* gradient) {
  if (kind == ExpertScore::kSigmoid) {
    for (size_t e = 0; e < scores.size(); ++e) gradient[e] *= scores[e] * (1.0F - scores[e]);
    return;
  }
  float dot = 0.0F;
  for (size_t e = 0; e < scores.size(); ++e) dot += gradient[e] * scores[e];
  for (size_t e = 0; e < scores.size(); ++e) gradient[e] = scores[e] * (gradient[e] - dot);
}

// Gradients of the logits, given those of the weights [rows * used]: the scores' derivative, and
// that of their sum where weights are divided by it.
Tensor route_backward(const BackwardContext& context, const Tensor& logits, const RouteSpec& spec,
                      const Routes& routes, std::span<const float> dweights) {
  Tensor dlogits = context.zeros(logits.shape());
  std::vector<float> scores(static_cast<size_t>(spec.experts));
  for (int64_t row = 0; row < logits.rows(); ++row) {
    float* out = dlogits.row(row);
    score_experts(logits.row(row), spec.score, scores);
    // By the scores of the chosen: those of the others weigh nothing.
    const auto first = static_cast<size_t>(row * spec.used);
    const auto used = static_cast<size_t>(spec.used);
    const std::span<const int32_t> chosen = std::span(routes.experts).subspan(first, used);
    const std::span<const float> dweight = dweights.subspan(first, used);
    float sum = 1.0F;
    float mean = 0.0F;
    if (spec.normalise) {
      sum = 0.0F;
      for (const int32_t e : chosen) sum += scores[static_cast<size_t>(e)];
      for (size_t i = 0; i < used; ++i) {
        mean += dweight[i] * scores[static_cast<size_t>(chosen[i])] / sum;
      }
    }
    for (size_t i = 0; i < used; ++i) out[chosen[i]] = spec.scale * (dweight[i] - mean) / sum;
    through_scores(spec.score, scores, out);
  }
  return dlogits;
}

// Adds the gradient of the balance loss to dlogits.
void add_balance(const Tensor& logits, const RouteSpec& spec, const Routes& routes,
                 const BalanceLoss& balance, Tensor& dlogits) {
  const auto experts = static_cast<size_t>(spec.experts);
  std::vector<float> shares(experts);
  std::vector<float> scores(experts);
  std::vector<float> gradient(experts);
  for (const SequenceRows& sequence : balance.sequences) {
    std::ranges::fill(shares, 0.0F);
    const int64_t first = sequence.first_row;
    const int64_t last = first + sequence.row_count;
    for (int64_t i = first * spec.used; i < last * spec.used; ++i) {
      shares[static_cast<size_t>(routes.experts[static_cast<size_t>(i)])] += 1.0F;
    }
    // f / T · (T / the batch's rows): the sequence's length cancels but for what f divides by.
    const float factor = balance.weight * static_cast<float>(spec.experts) /
                         static_cast<float>(spec.used * sequence.row_count * logits.rows());
    for (int64_t row = first; row < last; ++row) {
      score_experts(logits.row(row), spec.score, scores);
      float sum = 0.0F;
      float mean = 0.0F;
      for (size_t e = 0; e < experts; ++e) {
        sum += scores[e];
        mean += shares[e] * scores[e];
      }
      mean /= sum;
      // By a normalised score; softmax's are it already, and their sum is 1.
      for (size_t e = 0; e < experts; ++e) gradient[e] = factor * (shares[e] - mean) / sum;
      through_scores(spec.score, scores, gradient.data());
      for (size_t e = 0; e < experts; ++e) dlogits.row(row)[e] += gradient[e];
    }
  }
}

// One expert's part; `entries` are its places in the routes, by ascending row.
struct Expert {
  const BackwardContext& context;
  const Tensor& dy;
  const Tensor& x;
  const Routes& routes;
  const MixtureWeights& weights;
  int64_t index;
  std::span<const int32_t> entries;
  int64_t used;
  float* dx;        // [routes][dim]
  float* dweights;  // [routes]

  int64_t count() const { return static_cast<int64_t>(entries.size()); }
};

// Memory of one thread's expert, n rows.
struct Scratch {
  std::vector<float> x, weighted_dy;   // [n][dim]
  std::vector<float> xt, dyt;          // [dim][n]
  std::vector<float> gate, up, h, dh;  // [ffn_dim][n]
  std::vector<float> hidden;           // [n][ffn_dim]
};

// x and dy of the expert's rows.
void gather(const Expert& expert, Scratch& scratch) {
  const int64_t dim = expert.x.dim();
  const int64_t n = expert.count();
  float* x = room(scratch.x, n, dim);
  float* weighted_dy = room(scratch.weighted_dy, n, dim);
  float* xt = room(scratch.xt, dim, n);
  float* dyt = room(scratch.dyt, dim, n);
  for (int64_t i = 0; i < n; ++i) {
    const int32_t entry = expert.entries[static_cast<size_t>(i)];
    const float* x_row = expert.x.row(entry / expert.used);
    const float* dy_row = expert.dy.row(entry / expert.used);
    const float weight = expert.routes.weights[static_cast<size_t>(entry)];
    for (int64_t d = 0; d < dim; ++d) {
      x[i * dim + d] = x_row[d];
      xt[d * n + i] = x_row[d];
      dyt[d * n + i] = dy_row[d];
      weighted_dy[i * dim + d] = weight * dy_row[d];
    }
  }
}

// out [ffn_dim][n] = w [ffn_dim][dim] · columns [dim][n], for the expert's matrix of a stack: as it
// lies, or (down) transposed.
enum class Lies : uint8_t { kStraight, kTransposed };
void multiply(const Expert& expert, const float* stack, Lies lies,
              const std::vector<float>& columns, std::vector<float>& out) {
  const int64_t dim = expert.x.dim();
  const int64_t width = expert.weights.ffn_dim;
  const int64_t n = expert.count();
  const bool straight = lies == Lies::kStraight;
  expert.context.multiply_alone({.rows = width,
                                 .columns = n,
                                 .depth = dim,
                                 .a = stack + expert.index * width * dim,
                                 .a_row_stride = straight ? dim : 1,
                                 .a_k_stride = straight ? 1 : width,
                                 .b = columns.data(),
                                 .b_stride = n,
                                 .c = room(out, width, n),
                                 .c_stride = n});
}

// From gate and up to their gradients, in place; h goes to scratch.hidden, and the gradient by the
// weight of each row's route is (dy · down) · h.
void through_swiglu(const Expert& expert, Scratch& scratch) {
  const int64_t width = expert.weights.ffn_dim;
  const int64_t n = expert.count();
  float* const h = room(scratch.h, width, n);
  float* const dh = scratch.dh.data();
  float* const gate = scratch.gate.data();
  float* const up = scratch.up.data();
  chosen_kernels().swiglu(gate, up, h, width * n);
  float* hidden = room(scratch.hidden, n, width);
  for (int64_t i = 0; i < n; ++i) {
    const auto entry = static_cast<size_t>(expert.entries[static_cast<size_t>(i)]);
    const float weight = expert.routes.weights[entry];
    float dweight = 0.0F;
    for (int64_t at = i; at < width * n; at += n) {
      *hidden++ = h[at];
      dweight += dh[at] * h[at];
      dh[at] *= weight;
    }
    expert.dweights[entry] = dweight;
  }
  training_kernels().swiglu_backward(dh, gate, up, gate, up, width * n);
}

// dw[expert] [rows][columns] += a [rows][n] · b [n][columns].
struct Outer {
  const float* a;
  int64_t a_row_stride, a_k_stride;
  const float* b;
  int64_t rows, columns;
};
void add_to_stack(const Expert& expert, float* gradient, const Outer& product) {
  if (gradient == nullptr) return;
  expert.context.multiply_alone({.rows = product.rows,
                                 .columns = product.columns,
                                 .depth = expert.count(),
                                 .a = product.a,
                                 .a_row_stride = product.a_row_stride,
                                 .a_k_stride = product.a_k_stride,
                                 .b = product.b,
                                 .b_stride = product.columns,
                                 .c = gradient + expert.index * product.rows * product.columns,
                                 .c_stride = product.columns,
                                 .accumulate = true});
}

// The rows' gradients: dgate · gate + dup · up, to their places among the routes.
void give_back(const Expert& expert, Scratch& scratch) {
  const int64_t dim = expert.x.dim();
  const int64_t width = expert.weights.ffn_dim;
  const int64_t n = expert.count();
  GemmF32 product = {.rows = n,
                     .columns = dim,
                     .depth = width,
                     .a = scratch.gate.data(),
                     .a_row_stride = 1,
                     .a_k_stride = n,
                     .b = expert.weights.gate + expert.index * width * dim,
                     .b_stride = dim,
                     .c = scratch.x.data(),
                     .c_stride = dim};
  expert.context.multiply_alone(product);
  product.a = scratch.up.data();
  product.b = expert.weights.up + expert.index * width * dim;
  product.accumulate = true;
  expert.context.multiply_alone(product);
  for (int64_t i = 0; i < n; ++i) {
    std::copy_n(scratch.x.data() + i * dim, dim,
                expert.dx + expert.entries[static_cast<size_t>(i)] * dim);
  }
}

void run_expert(const Expert& expert, Scratch& scratch) {
  const int64_t dim = expert.x.dim();
  const int64_t width = expert.weights.ffn_dim;
  const int64_t n = expert.count();
  gather(expert, scratch);
  multiply(expert, expert.weights.gate, Lies::kStraight, scratch.xt, scratch.gate);
  multiply(expert, expert.weights.up, Lies::kStraight, scratch.xt, scratch.up);
  multiply(expert, expert.weights.down, Lies::kTransposed, scratch.dyt, scratch.dh);
  through_swiglu(expert, scratch);
  add_to_stack(expert, expert.weights.down_gradient,
               {.a = scratch.weighted_dy.data(),
                .a_row_stride = 1,
                .a_k_stride = dim,
                .b = scratch.hidden.data(),
                .rows = dim,
                .columns = width});
  add_to_stack(expert, expert.weights.gate_gradient,
               {.a = scratch.gate.data(),
                .a_row_stride = n,
                .a_k_stride = 1,
                .b = scratch.x.data(),
                .rows = width,
                .columns = dim});
  add_to_stack(expert, expert.weights.up_gradient,
               {.a = scratch.up.data(),
                .a_row_stride = n,
                .a_k_stride = 1,
                .b = scratch.x.data(),
                .rows = width,
                .columns = dim});
  give_back(expert, scratch);
}

}  // namespace

MixtureGradients mixture_backward(const BackwardContext& context, const Tensor& dy, const Tensor& x,
                                  const Tensor& logits, std::span<const float> bias,
                                  const RouteSpec& spec, const MixtureWeights& weights,
                                  const BalanceLoss& balance) {
  const Routes routes = route(logits.values(), bias, spec);
  const auto count = static_cast<int64_t>(routes.experts.size());
  std::vector<std::vector<int32_t>> entries(static_cast<size_t>(spec.experts));
  for (int32_t entry = 0; entry < count; ++entry) {
    entries[static_cast<size_t>(routes.experts[static_cast<size_t>(entry)])].push_back(entry);
  }
  const Tensor by_route = context.empty({count, x.dim()});
  std::vector<float> dweights(static_cast<size_t>(count));
  context.pool.parallel_for(spec.experts, 1, [&](int64_t begin, int64_t end) {
    Scratch scratch;
    for (int64_t index = begin; index < end; ++index) {
      const std::vector<int32_t>& own = entries[static_cast<size_t>(index)];
      if (own.empty()) continue;
      run_expert({.context = context,
                  .dy = dy,
                  .x = x,
                  .routes = routes,
                  .weights = weights,
                  .index = index,
                  .entries = own,
                  .used = spec.used,
                  .dx = by_route.f32(),
                  .dweights = dweights.data()},
                 scratch);
    }
  });
  MixtureGradients gradients = {.dx = context.zeros(x.shape()),
                                .dlogits = route_backward(context, logits, spec, routes, dweights),
                                .loads = {}};
  for (const auto& own : entries) gradients.loads.push_back(std::ssize(own));
  if (balance.weight > 0.0F) add_balance(logits, spec, routes, balance, gradients.dlogits);
  for (int64_t row = 0; row < x.rows(); ++row) {
    float* sum = gradients.dx.row(row);
    for (int64_t i = row * spec.used; i < (row + 1) * spec.used; ++i) {
      const float* share = by_route.row(i);
      for (int64_t d = 0; d < x.dim(); ++d) sum[d] += share[d];
    }
  }
  return gradients;
}

}  // namespace minke
