// The passes of kernels/training.h, for the instruction set that the including file is compiled
// for, in 16 lanes. Internal to src/kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "kernels/cpu/lanes.h"
#include "kernels/kv_page.h"
#include "kernels/training.h"

namespace minke {
namespace {

[[gnu::always_inline]] inline void store(float* to, const Floats& v) {
  std::memcpy(to, &v, sizeof v);
}

struct Lanes {
  Floats v[kVectors];
};
[[gnu::always_inline]] inline void load_lanes(const float* from, Lanes& lanes) {
  std::memcpy(&lanes, from, sizeof lanes);
}

[[gnu::always_inline]] inline float sum_of_lanes(const Lanes& lanes) {
  float sums[kLanes];
  std::memcpy(sums, &lanes, sizeof sums);
  for (int64_t width = kLanes / 2; width >= 1; width /= 2) {
    for (int64_t i = 0; i < width; ++i) sums[i] += sums[i + width];
  }
  return sums[0];
}

[[gnu::always_inline]] inline float largest_of_lanes(const Lanes& lanes) {
  float values[kLanes];
  std::memcpy(values, &lanes, sizeof values);
  for (int64_t width = kLanes / 2; width >= 1; width /= 2) {
    for (int64_t i = 0; i < width; ++i) {
      values[i] = values[i] > values[i + width] ? values[i] : values[i + width];
    }
  }
  return values[0];
}

// To bf16 and back, of finite values.
[[gnu::always_inline]] inline void round_to_bf16(Floats& x) {
  Ints bits;
  std::memcpy(&bits, &x, sizeof bits);
  bits = (bits + 0x7fff + ((bits >> 16) & 1)) & static_cast<int32_t>(0xffff0000);
  std::memcpy(&x, &bits, sizeof x);
}

[[gnu::always_inline]] inline void swiglu_vector(const Floats& dy, const Floats& gate,
                                                 const Floats& up, Floats& dgate, Floats& dup) {
  Floats e = gate > Floats{} ? -gate : gate;
  exp_weight(e);
  const Floats whole = Floats{} + 1.0F;
  const Floats sigmoid = (gate > Floats{} ? whole : e) / (whole + e);
  const Floats by_up = dy * gate * sigmoid;
  dgate = dy * up * sigmoid * (whole + gate * (whole - sigmoid));
  dup = by_up;
}

void swiglu_backward_lanes(const float* dy, const float* gate, const float* up, float* dgate,
                           float* dup, int64_t count) {
  Floats d, g, u, by_gate, by_up;
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    load(dy + i, d);
    load(gate + i, g);
    load(up + i, u);
    swiglu_vector(d, g, u, by_gate, by_up);
    store(dgate + i, by_gate);
    store(dup + i, by_up);
  }
  if (i == count) return;
  const auto bytes = static_cast<size_t>(count - i) * sizeof(float);
  d = g = u = Floats{};
  std::memcpy(&d, dy + i, bytes);
  std::memcpy(&g, gate + i, bytes);
  std::memcpy(&u, up + i, bytes);
  swiglu_vector(d, g, u, by_gate, by_up);
  std::memcpy(dgate + i, &by_gate, bytes);
  std::memcpy(dup + i, &by_up, bytes);
}

// The largest of scores [begin, end), scaled; whole lanes.
[[gnu::always_inline]] inline float largest_score(const SoftmaxRow& row, int64_t begin,
                                                  int64_t end) {
  Lanes most;
  load_lanes(row.scores + begin, most);
  for (int64_t j = begin + kLanes; j < end; j += kLanes) {
    for (int64_t v = 0; v < kVectors; ++v) {
      Floats x;
      load(row.scores + j + v * kWidth, x);
      most.v[v] = x > most.v[v] ? x : most.v[v];
    }
  }
  return largest_of_lanes(most) * row.scale;
}

void softmax_backward_lanes(const SoftmaxRow& row) {
  // Keys that are not seen have a score of -infinity, and so a weight of zero.
  std::fill(row.scores + row.keys, row.scores + row.stride,
            -std::numeric_limits<float>::infinity());
  const int64_t end = std::min(row.stride, (row.keys + kLanes - 1) / kLanes * kLanes);
  const float largest = largest_score(row, 0, end);
  Lanes sums = {};
  for (int64_t begin = 0; begin < end; begin += kKvPageTokens) {
    const int64_t page_end = std::min(end, begin + kKvPageTokens);
    const float page_largest = largest_score(row, begin, page_end);
    Floats rescale = Floats{} + (page_largest - largest);
    exp_weight(rescale);
    for (int64_t j = begin; j < page_end; j += kLanes) {
      for (int64_t v = 0; v < kVectors; ++v) {
        float* const at = row.scores + j + v * kWidth;
        Floats weight;
        load(at, weight);
        weight = weight * row.scale - page_largest;
        exp_weight(weight);
        const Floats p = weight * rescale;
        round_to_bf16(weight);
        store(at, p);
        store(row.rounded + j + v * kWidth, weight * rescale);
        sums.v[v] += p;
      }
    }
  }
  const float inverse = 1.0F / sum_of_lanes(sums);
  Lanes dots = {};
  for (int64_t j = 0; j < end; j += kLanes) {
    for (int64_t v = 0; v < kVectors; ++v) {
      Floats rounded, gradient;
      load(row.rounded + j + v * kWidth, rounded);
      load(row.gradient + j + v * kWidth, gradient);
      rounded = rounded * inverse;
      store(row.rounded + j + v * kWidth, rounded);
      dots.v[v] += rounded * gradient;
    }
  }
  // P · (dP - dy · y) · scale, where dy · y = the sum of rounded P · dP.
  const float dot = sum_of_lanes(dots);
  for (int64_t j = 0; j < end; j += kWidth) {
    Floats p, gradient;
    load(row.scores + j, p);
    load(row.gradient + j, gradient);
    store(row.gradient + j, p * inverse * (gradient - dot) * row.scale);
  }
  std::fill(row.rounded + end, row.rounded + row.stride, 0.0F);
  std::fill(row.gradient + end, row.gradient + row.stride, 0.0F);
}

[[gnu::always_inline]] inline void square_root(Floats& x) {
#if defined(__AVX512F__)
  x = _mm512_sqrt_ps(x);
#elif defined(__AVX2__)
  x = _mm256_sqrt_ps(x);
#else
  for (int64_t i = 0; i < kWidth; ++i) x[i] = std::sqrt(x[i]);
#endif
}

[[gnu::always_inline]] inline void adamw_vector(const AdamwStep& step, Floats& g, Floats& m,
                                                Floats& v, Floats& w) {
  g = g * step.factor;
  m = m * step.beta1 + g * (1.0F - step.beta1);
  v = v * step.beta2 + g * g * (1.0F - step.beta2);
  Floats root = v * step.correction;
  square_root(root);
  w = w * step.keep - m * step.rate / (root + step.epsilon);
}

void adamw_lanes(const AdamwStep& step, const float* gradient, float* mean, float* square, float* w,
                 int64_t count) {
  Floats g, m, v, value;
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    load(gradient + i, g);
    load(mean + i, m);
    load(square + i, v);
    load(w + i, value);
    adamw_vector(step, g, m, v, value);
    store(mean + i, m);
    store(square + i, v);
    store(w + i, value);
  }
  if (i == count) return;
  const auto bytes = static_cast<size_t>(count - i) * sizeof(float);
  g = m = v = value = Floats{};
  std::memcpy(&g, gradient + i, bytes);
  std::memcpy(&m, mean + i, bytes);
  std::memcpy(&v, square + i, bytes);
  std::memcpy(&value, w + i, bytes);
  adamw_vector(step, g, m, v, value);
  std::memcpy(mean + i, &m, bytes);
  std::memcpy(square + i, &v, bytes);
  std::memcpy(w + i, &value, bytes);
}

constexpr TrainingKernels kTrainingKernels = {.swiglu_backward = swiglu_backward_lanes,
                                              .softmax_backward = softmax_backward_lanes,
                                              .adamw = adamw_lanes};

}  // namespace
}  // namespace minke
