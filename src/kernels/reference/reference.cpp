// The definition of every kernel: read this to know what minke computes. Nothing here is fast.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "core/check.h"
#include "core/float_bits.h"
#include "kernels/gemm_bf16.h"
#include "kernels/kernels.h"
#include "kernels/kv_page.h"
#include "kernels/logits.h"
#include "kernels/math.h"
#include "kernels/training.h"

namespace minke {
namespace {

// A vector of this file's own: this file may be compiled for processors with AVX2 and FMA, and the
// linker keeps one copy of std::vector's functions for the whole program.
template <typename T>
struct Local : std::allocator<T> {
  template <typename U>
  struct rebind {
    using other = Local<U>;
  };
};
template <typename T>
using Values = std::vector<T, Local<T>>;

uint32_t magnitude_bits(float value) { return std::bit_cast<uint32_t>(value) & 0x7fffffffu; }

// kernels/activation.h describes the format.
void quantise_group(const float* x, int64_t runs, QuantGroup& out) {
  out = QuantGroup{};
  // The largest magnitude as an integer: exact, in any order, and NaN wins.
  uint32_t amax_bits = 0;
  for (int64_t i = 0; i < runs * kRun; ++i) amax_bits = std::max(amax_bits, magnitude_bits(x[i]));
  if (amax_bits >= 0x7f800000u) {
    out.step = std::numeric_limits<float>::quiet_NaN();
    return;
  }
  const float amax = std::bit_cast<float>(amax_bits);
  const float inverse = amax < 1e-30F ? 0.0F : 127.0F / amax;
  out.step = amax < 1e-30F ? 0.0F : amax / 127.0F * 0.125F;
  for (int64_t run = 0; run < runs; ++run) {
    uint32_t run_bits = 0;
    for (int64_t i = 0; i < kRun; ++i) {
      run_bits = std::max(run_bits, magnitude_bits(x[run * kRun + i]));
    }
    const float run_amax = std::bit_cast<float>(run_bits);
    int exponent = 0;
    while (exponent < 3 && run_amax * static_cast<float>(2 << exponent) <= amax) ++exponent;
    const float factor = inverse * static_cast<float>(1 << exponent);
    int32_t sums[2] = {0, 0};
    for (int64_t i = 0; i < kRun; ++i) {
      const auto q = static_cast<int8_t>(std::nearbyint(x[run * kRun + i] * factor));
      out.q[run * kRun + i] = q;
      sums[i / 16] += q;
    }
    const int32_t sum = sums[0] + sums[1];
    out.shift[run] = 3 - exponent;
    out.neg_sum32[run] = -sum;
    out.neg_sum16[2 * run] = -sums[0];
    out.neg_sum16[2 * run + 1] = -sums[1];
    const int32_t shifted = sum * (8 >> exponent);
    out.shifted_sum[run] = static_cast<float>(shifted);
    constexpr int kPairOrder[8] = {0, 2, 1, 3, 4, 6, 5, 7};  // an involution
    out.shifted_pairs[kPairOrder[run]] = static_cast<int16_t>(shifted);
  }
}

void quantise(const float* x, int64_t rows, int64_t dim, QuantGroup* groups, int64_t row_begin,
              int64_t row_end) {
  for (int64_t g = 0; g < groups_of(dim); ++g) {
    for (int64_t row = row_begin; row < row_end; ++row) {
      quantise_group(x + row * dim + g * kGroup, runs_in_group(dim, g), groups[g * rows + row]);
    }
  }
}

void to_bf16(const float* x, uint16_t* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] = f32_to_bf16(x[i]);
}

float peak_share(const float* x, int64_t dim) {
  float lanes[16] = {};
  float peak = 0.0F;
  for (int64_t i = 0; i < dim; ++i) {
    lanes[i % 16] = std::fma(x[i], x[i], lanes[i % 16]);
    peak = std::max(peak, x[i] * x[i]);
  }
  const float sum = sum_lanes(lanes);
  return sum > 0.0F ? peak / sum : 0.0F;
}

float with_bias(const LinearTask& task, int64_t row, int64_t out, float sum) {
  return task.bias && row < task.bias_rows ? sum + task.bias[out] : sum;
}

// Integer dot product of values [begin, begin + count) of a group.
int32_t dot(PanelFormat format, const std::byte* group, int64_t runs, int64_t o,
            const QuantGroup& x, int64_t begin, int64_t count) {
  int32_t sum = 0;
  for (int64_t k = begin; k < begin + count; ++k) {
    sum += panel_quant(format, group, runs, o, k) * x.q[k];
  }
  return sum;
}

// Formats with a scale for each run of 32: runs ascending inside a group, groups ascending.
template <PanelFormat kFormat>
void linear_runs(const LinearTask& task, int64_t panel_begin, int64_t panel_end) {
  constexpr bool kHasMin = kFormat == PanelFormat::kQ4_1 || kFormat == PanelFormat::kRun8;
  const int64_t dim = task.w->in_dim();
  for (int64_t out = panel_begin * kPanelOutputs;
       out < std::min(panel_end * kPanelOutputs, task.w->out_dim()); ++out) {
    const int64_t o = out % kPanelOutputs;
    for (int64_t row = 0; row < task.rows; ++row) {
      const std::byte* group = task.w->panel(out / kPanelOutputs);
      float sum = 0.0F;
      for (int64_t g = 0; g < groups_of(dim); ++g) {
        const QuantGroup& x = task.groups[g * task.rows + row];
        const int64_t runs = runs_in_group(dim, g);
        float t = 0.0F;
        for (int64_t run = 0; run < runs; ++run) {
          const int32_t isum =
              dot(kFormat, group, runs, o, x, run * kRun, kRun) * (1 << x.shift[run]);
          t = std::fma(static_cast<float>(isum), panel_run_scale(kFormat, group, runs, o, run), t);
          if constexpr (kHasMin) {
            t = std::fma(panel_run_min(kFormat, group, runs, o, run), x.shifted_sum[run], t);
          }
        }
        sum = std::fma(t, x.step, sum);
        group += group_bytes(kFormat, runs);
      }
      *task.place(row, out) = with_bias(task, row, out, sum);
    }
  }
}

// Super-blocks: everything inside 256 values is an exact integer.
template <PanelFormat kFormat>
void linear_super(const LinearTask& task, int64_t panel_begin, int64_t panel_end) {
  constexpr bool kHasMin = kFormat != PanelFormat::kQ6_K;
  const int64_t dim = task.w->in_dim();
  for (int64_t out = panel_begin * kPanelOutputs;
       out < std::min(panel_end * kPanelOutputs, task.w->out_dim()); ++out) {
    const int64_t o = out % kPanelOutputs;
    const std::byte* panel = task.w->panel(out / kPanelOutputs);
    for (int64_t row = 0; row < task.rows; ++row) {
      const std::byte* group = panel + panel_header_bytes(kFormat, dim);
      float sum = 0.0F;
      for (int64_t g = 0; g < groups_of(dim); ++g) {
        const QuantGroup& x = task.groups[g * task.rows + row];
        int32_t isum = 0;
        int32_t msum = 0;
        for (int64_t sub = 0; sub < 16; ++sub) {
          const int32_t factor = 1 << x.shift[sub / 2];
          isum += dot(kFormat, group, 8, o, x, sub * 16, 16) * factor *
                  panel_sub_scale(kFormat, group, o, sub);
          if constexpr (kHasMin) {
            msum += -x.neg_sum16[sub] * factor * panel_sub_min(kFormat, group, o, sub);
          }
        }
        float t = panel_super_scale(kFormat, panel, dim, g, o) * static_cast<float>(isum);
        if constexpr (kHasMin) {
          t = std::fma(-panel_super_min(kFormat, group, o), static_cast<float>(msum), t);
        }
        sum = std::fma(t, x.step, sum);
        group += group_bytes(kFormat, 8);
      }
      *task.place(row, out) = with_bias(task, row, out, sum);
    }
  }
}

// fp32 and fp16 weights: one chain of fused multiply-adds, K ascending.
template <PanelFormat kFormat>
void linear_float(const LinearTask& task, int64_t panel_begin, int64_t panel_end) {
  const int64_t dim = task.w->in_dim();
  for (int64_t out = panel_begin * kPanelOutputs;
       out < std::min(panel_end * kPanelOutputs, task.w->out_dim()); ++out) {
    const std::byte* panel = task.w->panel(out / kPanelOutputs);
    for (int64_t row = 0; row < task.rows; ++row) {
      float sum = 0.0F;
      for (int64_t k = 0; k < dim; ++k) {
        sum = std::fma(panel_float(kFormat, panel, out % kPanelOutputs, k), task.f32[row * dim + k],
                       sum);
      }
      *task.place(row, out) = with_bias(task, row, out, sum);
    }
  }
}

// A pair of bf16 products joins an fp32 sum as vdpbf16ps does it: odd element first.
float add_pair(float sum, float a0, float b0, float a1, float b1) {
  return std::fma(a0, b0, std::fma(a1, b1, sum));
}

void linear_bf16(const LinearTask& task, int64_t panel_begin, int64_t panel_end) {
  const int64_t dim = task.w->in_dim();
  const int64_t even = (dim + 1) / 2 * 2;
  for (int64_t out = panel_begin * kPanelOutputs;
       out < std::min(panel_end * kPanelOutputs, task.w->out_dim()); ++out) {
    const std::byte* panel = task.w->panel(out / kPanelOutputs);
    const int64_t o = out % kPanelOutputs;
    for (int64_t row = 0; row < task.rows; ++row) {
      const uint16_t* x = task.bf16 + row * even;
      float sum = 0.0F;
      for (int64_t k = 0; k < even; k += 2) {
        sum = add_pair(sum, panel_float(PanelFormat::kBF16, panel, o, k), bf16_to_f32(x[k]),
                       panel_float(PanelFormat::kBF16, panel, o, k + 1), bf16_to_f32(x[k + 1]));
      }
      *task.place(row, out) = with_bias(task, row, out, sum);
    }
  }
}

void rms_norm(const float* x, const float* w, float epsilon, float* out, int64_t dim,
              int64_t row_begin, int64_t row_end) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    const float* in = x + row * dim;
    float lanes[16] = {};
    for (int64_t i = 0; i < dim; ++i) lanes[i % 16] = std::fma(in[i], in[i], lanes[i % 16]);
    const float mean = sum_lanes(lanes) / static_cast<float>(dim);
    const float scale = 1.0F / std::sqrt(mean + epsilon);
    for (int64_t i = 0; i < dim; ++i) out[row * dim + i] = in[i] * scale * w[i];
  }
}

void swiglu(const float* gate, const float* up, float* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] = exact_silu(gate[i]) * up[i];
}

void add(const float* a, const float* b, float* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] = a[i] + b[i];
}

void rotate(float x0, float x1, float cos, float sin, float& y0, float& y1) {
  y0 = std::fma(x0, cos, -(x1 * sin));
  y1 = std::fma(x0, sin, x1 * cos);
}

void rope_adjacent(const float* x, const float* cos, const float* sin, float* out, int64_t pairs) {
  for (int64_t i = 0; i < pairs; ++i) {
    rotate(x[2 * i], x[2 * i + 1], cos[i], sin[i], out[2 * i], out[2 * i + 1]);
  }
}

void rope_halves(const float* x, const float* cos, const float* sin, float* out, int64_t pairs) {
  for (int64_t i = 0; i < pairs; ++i) {
    rotate(x[i], x[i + pairs], cos[i], sin[i], out[i], out[i + pairs]);
  }
}

// One run of values in integers of eight bits, and their step, which is rounded first.
void store_integers(const float* x, int64_t count, int8_t* out, uint16_t& step) {
  uint32_t amax_bits = 0;
  for (int64_t i = 0; i < count; ++i) amax_bits = std::max(amax_bits, magnitude_bits(x[i]));
  step = f32_to_bf16(integer_step(std::bit_cast<float>(amax_bits), 127.0F).step);
  const float rounded = bf16_to_f32(step);
  const float inverse = rounded > 0.0F ? 1.0F / rounded : 0.0F;  // none for NaN either
  for (int64_t i = 0; i < count; ++i) {
    out[i] = inverse > 0.0F ? static_cast<int8_t>(std::nearbyint(x[i] * inverse)) : int8_t{0};
  }
}

void store_kv(const float* k, const float* v, KvDtype dtype, std::byte* head_page, int64_t head_dim,
              int64_t token_in_page) {
  if (dtype == KvDtype::kBF16) {
    auto* page = reinterpret_cast<uint16_t*>(head_page);
    for (int64_t d = 0; d < head_dim; ++d) {
      page[k_place(token_in_page, d)] = f32_to_bf16(k[d]);
      if (v != nullptr) page[v_place(head_dim, token_in_page, d)] = f32_to_bf16(v[d]);
    }
    return;
  }
  auto* page = reinterpret_cast<int8_t*>(head_page);
  uint16_t* steps = kv_steps(head_page, head_dim);
  Values<int8_t> q(static_cast<size_t>(head_dim));
  for (int64_t d = 0; d < head_dim; d += kKvGroup) {
    store_integers(k + d, std::min(kKvGroup, head_dim - d), q.data() + d,
                   steps[k_step_place(token_in_page, d / kKvGroup)]);
  }
  for (int64_t d = 0; d < head_dim; ++d)
    page[k_place(token_in_page, d)] = q[static_cast<size_t>(d)];
  store_integers(v, head_dim, q.data(), steps[v_step_place(head_dim, token_in_page)]);
  for (int64_t d = 0; d < head_dim; ++d) {
    page[v_place(head_dim, token_in_page, d)] = q[static_cast<size_t>(d)];
  }
}

// Values in integers of sixteen bits: a query's, or the weights of a page.
struct Integers {
  float step = 0.0F;
  Values<int32_t> q;
};

Integers sixteen_bits(std::span<const float> x) {
  uint32_t amax_bits = 0;
  for (const float value : x) amax_bits = std::max(amax_bits, magnitude_bits(value));
  const IntegerStep step = integer_step(std::bit_cast<float>(amax_bits), 32767.0F);
  Integers out = {.step = step.step, .q = Values<int32_t>(x.size())};
  for (size_t i = 0; i < x.size() && step.inverse > 0.0F; ++i) {
    out.q[i] = static_cast<int32_t>(std::nearbyint(x[i] * step.inverse));
  }
  return out;
}

// Scores of a query against the first keys of a page.
void score_bf16(std::span<const float> q, const std::byte* head_page, std::span<float> scores,
                float scale) {
  const auto* page = reinterpret_cast<const uint16_t*>(head_page);
  for (size_t j = 0; j < scores.size(); ++j) {
    const auto token = static_cast<int64_t>(j);
    float score = 0.0F;
    for (size_t d = 0; d < q.size(); d += 2) {
      const int64_t at = k_place(token, static_cast<int64_t>(d));
      score = add_pair(score, bf16_to_f32(f32_to_bf16(q[d])), bf16_to_f32(page[at]),
                       bf16_to_f32(f32_to_bf16(q[d + 1])), bf16_to_f32(page[at + 1]));
    }
    scores[j] = score * scale;
  }
}

// Scores against latents: even and odd dimensions apart, and chunk by chunk, as tiles add them up.
void score_latents(std::span<const float> q, const std::byte* head_page, std::span<float> scores,
                   float scale) {
  const auto dim = static_cast<int64_t>(q.size());
  const auto* page = reinterpret_cast<const uint16_t*>(head_page);
  const auto rounded = [&](int64_t d) {
    return bf16_to_f32(f32_to_bf16(q[static_cast<size_t>(d)]));
  };
  for (size_t j = 0; j < scores.size(); ++j) {
    const auto key = [&](int64_t d) {
      return bf16_to_f32(page[k_place(static_cast<int64_t>(j), d)]);
    };
    float score = 0.0F;
    for (int64_t begin = 0; begin < dim; begin += kLatentChunkDims) {
      float even = 0.0F;
      float odd = 0.0F;
      for (int64_t d = begin; d < std::min(dim, begin + kLatentChunkDims); d += 2) {
        even = std::fma(key(d), rounded(d), even);
        odd = std::fma(key(d + 1), rounded(d + 1), odd);
      }
      score += even + odd;
    }
    scores[j] = score * scale;
  }
}

void score_q8(std::span<const float> query, const std::byte* head_page, std::span<float> scores,
              float scale) {
  const auto dim = static_cast<int64_t>(query.size());
  const auto* page = reinterpret_cast<const int8_t*>(head_page);
  const uint16_t* steps = kv_steps(head_page, dim);
  const Integers q = sixteen_bits(query);
  for (size_t j = 0; j < scores.size(); ++j) {
    const auto token = static_cast<int64_t>(j);
    float score = 0.0F;
    for (int64_t begin = 0; begin < dim; begin += kKvGroup) {
      int32_t sum = 0;
      for (int64_t d = begin; d < std::min(dim, begin + kKvGroup); ++d) {
        sum += q.q[static_cast<size_t>(d)] * page[k_place(token, d)];
      }
      const float step = bf16_to_f32(steps[k_step_place(token, begin / kKvGroup)]);
      score = std::fma(static_cast<float>(sum), step, score);
    }
    scores[j] = score * (q.step * scale);
  }
}

// The values of a page, weighted. Keys beyond the query weigh zero; pages hold no NaN, so they add
// nothing.
void values_bf16(std::span<const float> weights, const std::byte* head_page,
                 std::span<float> values) {
  const auto dim = static_cast<int64_t>(values.size());
  const auto* page = reinterpret_cast<const uint16_t*>(head_page);
  for (int64_t d = 0; d < dim; ++d) {
    float value = 0.0F;
    for (int64_t j = 0; j < kKvPageTokens; j += 2) {
      value = add_pair(value, bf16_to_f32(f32_to_bf16(weights[static_cast<size_t>(j)])),
                       bf16_to_f32(page[v_place(dim, j, d)]),
                       bf16_to_f32(f32_to_bf16(weights[static_cast<size_t>(j + 1)])),
                       bf16_to_f32(page[v_place(dim, j + 1, d)]));
    }
    values[static_cast<size_t>(d)] = value;
  }
}

// The same of latents, which are their keys' beginnings: chunks of tokens.
void values_of_latents(std::span<const float> weights, const std::byte* head_page,
                       std::span<float> values) {
  const auto* page = reinterpret_cast<const uint16_t*>(head_page);
  for (size_t d = 0; d < values.size(); ++d) {
    values[d] = 0.0F;
    for (int64_t begin = 0; begin < kKvPageTokens; begin += kLatentChunkTokens) {
      float chain = 0.0F;
      for (int64_t j = begin; j < begin + kLatentChunkTokens; ++j) {
        chain = std::fma(bf16_to_f32(page[k_place(j, static_cast<int64_t>(d))]),
                         bf16_to_f32(f32_to_bf16(weights[static_cast<size_t>(j)])), chain);
      }
      values[d] += chain;
    }
  }
}

// A value's step joins its weight, and these products are what is rounded.
void values_q8(std::span<const float> weights, int64_t keys, const std::byte* head_page,
               std::span<float> values) {
  const auto dim = static_cast<int64_t>(values.size());
  const auto* page = reinterpret_cast<const int8_t*>(head_page);
  const uint16_t* steps = kv_steps(head_page, dim);
  Values<float> shares(static_cast<size_t>(keys));
  for (int64_t j = 0; j < keys; ++j) {
    shares[static_cast<size_t>(j)] =
        weights[static_cast<size_t>(j)] * bf16_to_f32(steps[v_step_place(dim, j)]);
  }
  const Integers p = sixteen_bits(shares);
  for (int64_t d = 0; d < dim; ++d) {
    int32_t sum = 0;
    for (int64_t j = 0; j < keys; ++j)
      sum += p.q[static_cast<size_t>(j)] * page[v_place(dim, j, d)];
    values[static_cast<size_t>(d)] = static_cast<float>(sum) * p.step;
  }
}

// One query against some keys: scores, their maximum, the sum of exponentials, and the weighted sum
// of values, all relative to that maximum.
struct Split {
  float max = 0.0F;
  float sum = 0.0F;
  Values<float> values;  // [value_dim]
};

Split attend_page(std::span<const float> q, const std::byte* page, const KvSpec& kv, int64_t keys,
                  float scale) {
  const bool bf16 = kv.dtype == KvDtype::kBF16;
  const bool latent = kv.shared_values > 0;
  Split split;
  float scores[kKvPageTokens];
  const std::span<float> seen(scores, static_cast<size_t>(keys));
  const auto score_keys = latent ? score_latents : bf16 ? score_bf16 : score_q8;
  score_keys(q, page, seen, scale);
  split.max = -std::numeric_limits<float>::infinity();
  for (const float score : seen) split.max = std::max(split.max, score);
  float lanes[16] = {};
  float weights[kKvPageTokens] = {};
  for (int64_t j = 0; j < keys; ++j) {
    weights[j] = exact_exp(scores[j] - split.max);
    lanes[j % 16] += weights[j];
  }
  split.sum = sum_lanes(lanes);
  split.values.resize(static_cast<size_t>(kv.value_dim()));
  if (latent) {
    values_of_latents(weights, page, split.values);
  } else if (bf16) {
    values_bf16(weights, page, split.values);
  } else {
    values_q8(weights, keys, page, split.values);
  }
  return split;
}

// Both become relative to the larger of the two maxima.
void join(Split& split, const Split& next) {
  const float larger = std::max(split.max, next.max);
  const float ours = exact_exp(split.max - larger);
  const float theirs = exact_exp(next.max - larger);
  split.max = larger;
  split.sum = std::fma(split.sum, ours, next.sum * theirs);
  for (size_t d = 0; d < split.values.size(); ++d) {
    split.values[d] = std::fma(split.values[d], ours, next.values[d] * theirs);
  }
}

int64_t group_of(const AttentionTask& task) { return task.heads / task.kv_heads; }

// Query i is a row and one of the heads that read kv_head: the how manieth of all heads of all
// rows.
int64_t place_of(const AttentionTask& task, int64_t kv_head, int64_t i) {
  const int64_t group = group_of(task);
  return i / group * task.heads + kv_head * group + i % group;
}

int64_t position_of(const AttentionTask& task, int64_t query) {
  return task.first_position + query / group_of(task);
}

Split attend_page(const AttentionTask& task, int64_t kv_head, int64_t query, int64_t page) {
  const int64_t keys = position_of(task, query) + 1 - page * kKvPageTokens;
  return attend_page(
      {task.q + place_of(task, kv_head, query) * task.head_dim, static_cast<size_t>(task.head_dim)},
      task.kv->head_page(task.layer, task.pages[static_cast<size_t>(page)], kv_head),
      task.kv->spec(), std::min(kKvPageTokens, keys), task.scale);
}

void finish(const AttentionTask& task, int64_t kv_head, int64_t query, const Split& split) {
  float* out = task.out + place_of(task, kv_head, query) * task.value_dim();
  const float inverse = 1.0F / split.sum;
  for (size_t d = 0; d < split.values.size(); ++d) out[d] = split.values[d] * inverse;
}

int64_t run_of(const AttentionTask& task, int64_t query) {
  return position_of(task, query) / (run_pages(task) * kKvPageTokens);
}

// The pages of a run that a query sees, in ascending order.
Split attend_run(const AttentionTask& task, int64_t kv_head, int64_t query, int64_t run) {
  const int64_t first = run * run_pages(task);
  Split split = attend_page(task, kv_head, query, first);
  const int64_t last =
      std::min(first + run_pages(task) - 1, position_of(task, query) / kKvPageTokens);
  for (int64_t page = first + 1; page <= last; ++page) {
    join(split, attend_page(task, kv_head, query, page));
  }
  return split;
}

// Runs join in ascending order.
void attention(const AttentionTask& task, int64_t kv_head, int64_t row_begin, int64_t row_end) {
  const int64_t group = group_of(task);
  for (int64_t query = row_begin * group; query < row_end * group; ++query) {
    Split split = attend_run(task, kv_head, query, 0);
    for (int64_t run = 1; run <= run_of(task, query); ++run) {
      join(split, attend_run(task, kv_head, query, run));
    }
    finish(task, kv_head, query, split);
  }
}

void attention_runs(const AttentionTask& task, int64_t kv_head, int64_t run_begin, int64_t run_end,
                    float* found) {
  const int64_t queries = task.rows * group_of(task);
  for (int64_t run = run_begin; run < run_end; ++run) {
    float* at = found + run * run_floats(task);
    for (int64_t query = 0; query < queries; ++query) {
      if (run_of(task, query) < run) continue;
      const Split split = attend_run(task, kv_head, query, run);
      at[query] = split.max;
      at[queries + query] = split.sum;
      std::ranges::copy(split.values, at + 2 * queries + query * task.value_dim());
    }
  }
}

void attention_join(const AttentionTask& task, int64_t kv_head, float* found) {
  const int64_t queries = task.rows * group_of(task);
  for (int64_t query = 0; query < queries; ++query) {
    const auto split_of = [&](int64_t run) {
      const float* at = found + run * run_floats(task);
      const float* values = at + 2 * queries + query * task.value_dim();
      return Split{at[query], at[queries + query], {values, values + task.value_dim()}};
    };
    Split split = split_of(0);
    for (int64_t run = 1; run <= run_of(task, query); ++run) join(split, split_of(run));
    finish(task, kv_head, query, split);
  }
}

}  // namespace

const Kernels& reference_kernels() {
  static const Kernels table = {
      .name = "reference",
      .quantise = quantise,
      .peak_share = peak_share,
      .to_bf16 = to_bf16,
      .linear = {linear_runs<PanelFormat::kQ4_0>, linear_runs<PanelFormat::kQ4_1>,
                 linear_runs<PanelFormat::kQ5_0>, linear_runs<PanelFormat::kQ8_0>,
                 linear_runs<PanelFormat::kRun8>, linear_super<PanelFormat::kQ4_K>,
                 linear_super<PanelFormat::kQ5_K>, linear_super<PanelFormat::kQ6_K>,
                 linear_super<PanelFormat::kSuper8>, linear_float<PanelFormat::kF32>,
                 linear_float<PanelFormat::kF16>, linear_bf16},
      .rms_norm = rms_norm,
      .swiglu = swiglu,
      .add = add,
      .rope_adjacent = rope_adjacent,
      .rope_halves = rope_halves,
      .store_kv = store_kv,
      .attention = attention,
      .attention_runs = attention_runs,
      .attention_join = attention_join,
      .gemm_f32 = gemm_f32_reference,
      .gemm_bf16 = &gemm_bf16_kernels_reference,
      .logits = &logit_kernels_reference,
      .training = &training_kernels_reference,
  };
  return table;
}

}  // namespace minke
