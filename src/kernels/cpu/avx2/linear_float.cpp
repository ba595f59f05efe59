// Products with weights in fp32, fp16 and bf16: one chain of fused multiply-adds an output, K
// ascending, so lanes and rows split outputs and never K.
#include "kernels/cpu/avx2/vec.h"
#include "kernels/cpu/prefetch.h"

namespace minke::avx2 {
namespace {

struct F32 {
  static constexpr int64_t kHalfBytes = 32;  // of eight outputs a step
  static constexpr int64_t kValues = 1;      // of K a step
  using Input = float;
  using Weights = __m256;
  using Factors = __m256;
  static const Input* input(const LinearTask& task) { return task.f32; }
  static Weights load(const std::byte* at) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(at));
  }
  static Factors factors(const Input* x) { return _mm256_broadcast_ss(x); }
  static __m256 step(__m256 sum, const Weights& w, const Factors& x) {
    return _mm256_fmadd_ps(w, x, sum);
  }
};

struct F16 : F32 {
  static constexpr int64_t kHalfBytes = 16;
  static Weights load(const std::byte* at) { return half_to_float(at); }
};

struct BF16 {
  static constexpr int64_t kHalfBytes = 32;
  static constexpr int64_t kValues = 2;
  using Input = uint16_t;
  struct Pairs {
    __m256 odd;
    __m256 even;
  };
  using Weights = Pairs;
  using Factors = Pairs;
  static const Input* input(const LinearTask& task) { return task.bf16; }
  static Weights load(const std::byte* at) {
    const __m256i pairs = load32(at);
    return {odd_bf16(pairs), even_bf16(pairs)};
  }
  static Factors factors(const Input* x) {
    const __m256i pair = broadcast_word(x);
    return {odd_bf16(pair), even_bf16(pair)};
  }
  static __m256 step(__m256 sum, const Weights& w, const Factors& x) {
    return _mm256_fmadd_ps(w.even, x.even, _mm256_fmadd_ps(w.odd, x.odd, sum));
  }
};

// P panels times T rows; both halves of each.
template <typename F, int P, int T>
void tile(const LinearTask& task, int64_t panel, int64_t row) {
  const int64_t steps = (task.w->in_dim() + F::kValues - 1) / F::kValues;
  const int64_t stride = steps * F::kValues;
  const typename F::Input* x = F::input(task) + row * stride;
  const std::byte* w[P];
  MINKE_UNROLL for (int p = 0; p < P; ++p) w[p] = task.w->panel(panel + p);
  __m256 sums[T][2 * P];
  MINKE_UNROLL for (int t = 0; t < T; ++t) {
    MINKE_UNROLL for (int h = 0; h < 2 * P; ++h) sums[t][h] = _mm256_setzero_ps();
  }
  for (int64_t k = 0; k < steps; ++k) {
    MINKE_UNROLL for (int h = 0; h < 2 * P; ++h) {
      const std::byte* at = w[h / 2] + (2 * k + h % 2) * F::kHalfBytes;
      if (h % 2 == 0) prefetch_stream(at);
      const typename F::Weights values = F::load(at);
      MINKE_UNROLL for (int t = 0; t < T; ++t) {
        sums[t][h] = F::step(sums[t][h], values, F::factors(x + t * stride + k * F::kValues));
      }
    }
  }
  MINKE_UNROLL for (int t = 0; t < T; ++t) {
    MINKE_UNROLL for (int h = 0; h < 2 * P; ++h) {
      store_outputs(task, panel + h / 2, h % 2, row + t, sums[t][h]);
    }
  }
}

// Four rows at a time fill the registers with one panel; the rest of a short batch takes more
// panels, or a chain of additions would leave the multipliers waiting.
template <typename F>
void linear(const LinearTask& task, int64_t panel_begin, int64_t panel_end) {
  const int64_t tiled = task.rows / 4 * 4;
  const int64_t rest = task.rows - tiled;
  int64_t panel = panel_begin;
  for (; panel + 4 <= panel_end; panel += 4) {
    for (int64_t p = panel; p < panel + 4; ++p) {
      for (int64_t row = 0; row < tiled; row += 4) tile<F, 1, 4>(task, p, row);
      if (rest == 3) tile<F, 1, 3>(task, p, tiled);
    }
    if (rest == 1) tile<F, 4, 1>(task, panel, tiled);
    if (rest == 2) {
      tile<F, 2, 2>(task, panel, tiled);
      tile<F, 2, 2>(task, panel + 2, tiled);
    }
  }
  for (; panel < panel_end; ++panel) {
    for (int64_t row = 0; row < tiled; row += 4) tile<F, 1, 4>(task, panel, row);
    for (int64_t row = tiled; row < task.rows; ++row) tile<F, 1, 1>(task, panel, row);
  }
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

}  // namespace minke::avx2
