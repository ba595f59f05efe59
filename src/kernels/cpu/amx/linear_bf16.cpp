// Products with weights in bf16 where vdpbf16ps is there but slow: on the processors that have
// tiles it does half of what fused multiply-adds do. Two of these are the same chain: the odd
// element of a pair, then the even one, both widened. (Tiles add up in another order.)
#include <algorithm>

#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/avx512/vec.h"
#include "kernels/cpu/scratch.h"

namespace minke::amx {
namespace {

constexpr int64_t kRows = 6;  // with four panels, 24 chains in registers
constexpr int64_t kPanelsAtOnce = 8;

__m512 odd(__m512i pairs) {
  return _mm512_castsi512_ps(
      _mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int32_t>(0xffff0000u))));
}
__m512 even(__m512i pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }

// The rows as fp32, each pair the other way round: [kRows][in_dim].
const float* widen_rows(const uint16_t* x, int64_t stride) {
  auto* wide =
      reinterpret_cast<float*>(kernel_scratch(static_cast<size_t>(kRows * stride) * sizeof(float)));
  for (int64_t row = 0; row < kRows; ++row) {
    const uint16_t* from = x + row * stride;
    float* to = wide + row * stride;
    for (int64_t k = 0; k < stride; k += 16) {
      const auto mask = avx512::first_lanes(stride - k);
      const __m256i bits = _mm256_maskz_loadu_epi16(mask, from + k);
      const __m512i values = _mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16);
      _mm512_mask_storeu_epi32(to + k, mask, _mm512_shuffle_epi32(values, _MM_PERM_CDAB));
    }
  }
  return wide;
}

template <int P>
void tile(const LinearTask& task, const float* x, int64_t panel, int64_t row) {
  const int64_t stride = (task.w->in_dim() + 1) / 2 * 2;
  const std::byte* w[P];
  MINKE_UNROLL for (int p = 0; p < P; ++p) w[p] = task.w->panel(panel + p);
  __m512 sums[kRows][P];
  MINKE_UNROLL for (int t = 0; t < kRows; ++t) {
    MINKE_UNROLL for (int p = 0; p < P; ++p) sums[t][p] = _mm512_setzero_ps();
  }
  for (int64_t k = 0; k < stride; k += 2) {
    __m512 values[P];
    MINKE_UNROLL for (int p = 0; p < P; ++p) values[p] = odd(_mm512_load_si512(w[p] + k * 32));
    MINKE_UNROLL for (int t = 0; t < kRows; ++t) {
      const __m512 by = _mm512_set1_ps(x[t * stride + k]);
      MINKE_UNROLL for (int p = 0; p < P; ++p) {
        sums[t][p] = _mm512_fmadd_ps(values[p], by, sums[t][p]);
      }
    }
    MINKE_UNROLL for (int p = 0; p < P; ++p) values[p] = even(_mm512_load_si512(w[p] + k * 32));
    MINKE_UNROLL for (int t = 0; t < kRows; ++t) {
      const __m512 by = _mm512_set1_ps(x[t * stride + k + 1]);
      MINKE_UNROLL for (int p = 0; p < P; ++p) {
        sums[t][p] = _mm512_fmadd_ps(values[p], by, sums[t][p]);
      }
    }
  }
  MINKE_UNROLL for (int t = 0; t < kRows; ++t) {
    MINKE_UNROLL for (int p = 0; p < P; ++p) {
      avx512::store_outputs(task, panel + p, row + t, sums[t][p]);
    }
  }
}

}  // namespace

void linear_bf16(const LinearTask& task, int64_t begin, int64_t end) {
  const int64_t stride = (task.w->in_dim() + 1) / 2 * 2;
  const int64_t whole = task.rows / kRows * kRows;
  // Some panels at a time, which stay near while they meet all rows.
  for (int64_t first = begin; first < end; first += kPanelsAtOnce) {
    const int64_t last = std::min(end, first + kPanelsAtOnce);
    for (int64_t row = 0; row < whole; row += kRows) {
      const float* x = widen_rows(task.bf16 + row * stride, stride);
      int64_t panel = first;
      for (; panel + 4 <= last; panel += 4) tile<4>(task, x, panel, row);
      for (; panel < last; ++panel) tile<1>(task, x, panel, row);
    }
  }
  if (whole == task.rows) return;
  LinearTask rest = task;
  rest.rows -= whole;
  rest.bf16 += whole * stride;
  rest.bias_rows = std::max<int64_t>(0, task.bias_rows - whole);
  rest.out += whole * task.out_stride;
  avx512::linear_bf16(rest, begin, end);
}

}  // namespace minke::amx
