// The gradient of each op, as functions of bare tensors. The tape (tape.h) calls them; each answers
// to a finite difference in backward_test.cpp. `dy` is the gradient of the loss by the op's result;
// what is returned is the gradient by an input. Sums over rows run in a fixed order: the bits do
// not depend on the number of threads.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/tensor.h"
#include "core/thread_pool.h"
#include "kernels/gemm_f32.h"
#include "ops/ops.h"

namespace minke {

// What the products of gradients round their operands to; sums are fp32 in both.
enum class Compute : uint8_t { kF32, kBF16 };  // kernels/gemm_f32.h, kernels/gemm_bf16.h

// What every gradient needs: memory for results and threads to compute them.
struct BackwardContext {
  Ops& ops;
  ThreadPool& pool;
  Compute compute = Compute::kF32;
  void multiply(const GemmF32& product) const;        // shared out among the threads
  void multiply_alone(const GemmF32& product) const;  // on the calling one
  Tensor empty(Shape shape) const { return ops.empty(shape); }
  Tensor zeros(Shape shape) const;
};

// dx = dy · w, for w [out_dim, in_dim] of any format, whose rows are in reach: the values that its
// blocks decode to.
Tensor linear_backward_input(const BackwardContext& context, const Tensor& dy, const Weight& w,
                             const Shape& x_shape);
// dw += dyᵀ · x, rows ascending.
void linear_backward_weight(const BackwardContext& context, const Tensor& dy, const Tensor& x,
                            float* dw);

// dx; and dw += the sum over rows of dy · x / rms(x), when dw is given.
Tensor rms_norm_backward(const BackwardContext& context, const Tensor& dy, const Tensor& x,
                         const float* w, float epsilon, float* dw);

// Cosines and sines of the positions that a step uses, scaled by the spec's magnitude.
struct RopeTable {
  std::vector<float> cos;  // [positions, pairs]
  std::vector<float> sin;
};
RopeTable make_rope_table(const RopeSpec& spec, std::span<const int32_t> positions);
// Turns dy [rows, heads, head_dim] back.
Tensor rope_backward(const BackwardContext& context, const Tensor& dy, const RopePairs pairs,
                     const RopeTable& table);

// dx [rows, heads, in_dim] = dy [rows, heads, out_dim] · w[head], for w [heads, out_dim, in_dim].
Tensor linear_by_heads_backward_input(const BackwardContext& context, const Tensor& dy,
                                      const float* w, const Shape& x_shape);
// dw[head] += dy[:, head]ᵀ · x[:, head], rows ascending.
void linear_by_heads_backward_weight(const BackwardContext& context, const Tensor& dy,
                                     const Tensor& x, float* dw);

// dx: dy where the slice was taken from, zero elsewhere.
Tensor slice_backward(const BackwardContext& context, const Tensor& dy, int64_t begin,
                      const Shape& x_shape);

// A mixture's experts, as its forward saw them; gradients of stacks may be null (not trained).
struct MixtureWeights {
  const float* gate = nullptr;  // [experts, ffn_dim, dim], as up
  const float* up = nullptr;
  const float* down = nullptr;  // [experts, dim, ffn_dim]
  int64_t ffn_dim = 0;
  float* gate_gradient = nullptr;
  float* up_gradient = nullptr;
  float* down_gradient = nullptr;
};
// The rows of one sequence that attend to each other, from position 0 on.
struct SequenceRows {
  int64_t first_row = 0;
  int64_t row_count = 0;
};

// The complementary loss that keeps experts in use within a sequence (DeepSeek V3, equations 17 to
// 20): weight · Σ over experts of f · P, where f is the expert's share of the sequence's routes,
// times the number of experts, and P its mean normalised score. A batch's sequences count by their
// rows.
struct BalanceLoss {
  float weight = 0.0F;  // 0: none
  std::span<const SequenceRows> sequences;
};

struct MixtureGradients {
  Tensor dx, dlogits;
  std::vector<int64_t> loads;  // [experts], rows that went to each
};
// What the experts computed between is computed again. Which experts a token goes to has no
// gradient, nor has the router's bias; what their scores weigh has.
MixtureGradients mixture_backward(const BackwardContext& context, const Tensor& dy, const Tensor& x,
                                  const Tensor& logits, std::span<const float> bias,
                                  const RouteSpec& spec, const MixtureWeights& weights,
                                  const BalanceLoss& balance = {});

struct AttentionGradients {
  Tensor dq, dk, dv;
};
// q [rows, heads, head_dim], k and v [rows, kv_heads, head_dim] as they were before the forward
// rounded them to bf16. Where `shared_values` is more than 0, a value is the first so many numbers
// of its key: v is empty then, as dv is.
AttentionGradients attention_backward(const BackwardContext& context, const Tensor& dy,
                                      const Tensor& q, const Tensor& k, const Tensor& v,
                                      std::span<const SequenceRows> sequences,
                                      const AttentionSpec& spec, int64_t shared_values = 0);

// (d gate, d up).
std::pair<Tensor, Tensor> swiglu_backward(const BackwardContext& context, const Tensor& dy,
                                          const Tensor& gate, const Tensor& up);

// a + b.
Tensor sum_of(const BackwardContext& context, const Tensor& a, const Tensor& b);

}  // namespace minke
