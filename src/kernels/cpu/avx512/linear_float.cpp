// Products with weights in fp32, fp16 and bf16: one chain of fused multiply-adds an output, K
// ascending, so lanes and rows split outputs and never K.
#include <algorithm>

#include "kernels/cpu/avx512/vec.h"
#include "kernels/cpu/prefetch.h"

namespace minke::avx512 {
namespace {

struct F32 {
  static constexpr int64_t kStepBytes = 64;
  static constexpr int64_t kValues = 1;  // of K a step
  using Input = float;
  static const Input* input(const LinearTask& task) { return task.f32; }
  static __m512 load(const std::byte* at) { return _mm512_load_ps(at); }
  static __m512 step(__m512 sum, __m512 w, const Input* x) {
    return _mm512_fmadd_ps(w, _mm512_set1_ps(*x), sum);
  }
};

struct F16 : F32 {
  static constexpr int64_t kStepBytes = 32;
  static __m512 load(const std::byte* at) { return half_to_float(at); }
};

struct BF16 {
  static constexpr int64_t kStepBytes = 64;
  static constexpr int64_t kValues = 2;
  using Input = uint16_t;
  static const Input* input(const LinearTask& task) { return task.bf16; }
  static __m512i load(const std::byte* at) { return _mm512_load_si512(at); }
  static __m512 step(__m512 sum, __m512i w, const Input* x) {
    const __m512i pair = broadcast_word(x);
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(w), reinterpret_cast<__m512bh>(pair));
  }
};

// P panels times T rows.
template <typename F, int P, int T>
void tile(const LinearTask& task, int64_t panel, int64_t row) {
  const int64_t steps = (task.w->in_dim() + F::kValues - 1) / F::kValues;
  const int64_t stride = steps * F::kValues;
  const typename F::Input* x = F::input(task) + row * stride;
  const std::byte* w[P];
  MINKE_UNROLL for (int p = 0; p < P; ++p) w[p] = task.w->panel(panel + p);
  __m512 sums[T][P];
  MINKE_UNROLL for (int t = 0; t < T; ++t) {
    MINKE_UNROLL for (int p = 0; p < P; ++p) sums[t][p] = _mm512_setzero_ps();
  }
  for (int64_t k = 0; k < steps; ++k) {
    MINKE_UNROLL for (int p = 0; p < P; ++p) {
      if constexpr (T <= 4) prefetch_stream(w[p] + k * F::kStepBytes);
    }
    MINKE_UNROLL for (int p = 0; p < P; ++p) {
      const auto values = F::load(w[p] + k * F::kStepBytes);
      MINKE_UNROLL for (int t = 0; t < T; ++t) {
        sums[t][p] = F::step(sums[t][p], values, x + t * stride + k * F::kValues);
      }
    }
  }
  MINKE_UNROLL for (int t = 0; t < T; ++t) {
    MINKE_UNROLL for (int p = 0; p < P; ++p) store_outputs(task, panel + p, row + t, sums[t][p]);
  }
}

template <typename F, int P>
void rows_of_panels(const LinearTask& task, int64_t panel) {
  int64_t row = 0;
  for (; row + 6 <= task.rows; row += 6) tile<F, P, 6>(task, panel, row);
  switch (task.rows - row) {
    case 1:
      tile<F, P, 1>(task, panel, row);
      break;
    case 2:
      tile<F, P, 2>(task, panel, row);
      break;
    case 3:
      tile<F, P, 3>(task, panel, row);
      break;
    case 4:
      tile<F, P, 4>(task, panel, row);
      break;
    case 5:
      tile<F, P, 5>(task, panel, row);
      break;
    default:
      break;
  }
}

template <typename F>
void linear(const LinearTask& task, int64_t panel_begin, int64_t panel_end) {
  int64_t panel = panel_begin;
  for (; panel + 4 <= panel_end; panel += 4) rows_of_panels<F, 4>(task, panel);
  for (; panel < panel_end; ++panel) rows_of_panels<F, 1>(task, panel);
}

}  // namespace

void linear_f32(const LinearTask& task, int64_t begin, int64_t end) {
  linear<F32>(task, begin, end);
}
void linear_f16(const LinearTask& task, int64_t begin, int64_t end) {
  linear<F16>(task, begin, end);
}
void linear_bf16(const LinearTask& task, int64_t begin, int64_t end) {
  linear<BF16>(task, begin, end);
}

}  // namespace minke::avx512
