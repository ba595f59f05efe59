// The quantised products. Two shapes of the same sums:
//   few rows:  half a panel's quants are unpacked in registers and used for up to 4 rows at once;
//   many rows: a panel's group is unpacked into L1 once and used for all rows, four at a time.
// Sums inside a group are exact integers, so both give the reference's bits.
#pragma once

#include <algorithm>
#include <utility>

#include "kernels/cpu/avx2/formats.h"
#include "kernels/cpu/prefetch.h"
#include "kernels/cpu/scratch.h"

namespace minke::avx2 {

inline constexpr int64_t kRowsTile = 4;  // rows of a tile of the other kind

template <typename F>
constexpr bool kIsSuper = requires { F::kSubs; };

// Pairs of products of bytes, in 16 bits: exact, by the bounds in formats.h.
template <typename F>
[[gnu::always_inline]] inline __m256i products(__m256i w, __m256i x) {
  if constexpr (F::kSigned) {
    return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
  } else {
    return _mm256_maddubs_epi16(w, x);
  }
}

// The offset's share of a sub-block's sum (of 16 values), already times the scale. Half of the
// offset for each of the two 16-bit scales: 16 * 16 * 127 fits 16 bits.
template <typename F>
[[gnu::always_inline]] inline __m256i start_super(const QuantGroup& x, int64_t sub, __m256i scale) {
  if constexpr (F::kOffset == 0) return _mm256_setzero_si256();
  static_assert(F::kOffset == 0 || F::kOffset == 32);
  const auto share = static_cast<int16_t>(x.neg_sum16[sub] * (F::kOffset / 2));
  return _mm256_madd_epi16(scale, _mm256_set1_epi16(share));
}
template <typename F>
[[gnu::always_inline]] inline __m256i start_run(const QuantGroup& x, int64_t run) {
  if constexpr (F::kOffset == 0) return _mm256_setzero_si256();
  return _mm256_set1_epi32(x.neg_sum32[run] * F::kOffset);
}

[[gnu::always_inline]] inline __m256i shift_left(__m256i v, const int32_t* count) {
  return _mm256_sllv_epi32(v, broadcast_word(count));
}

// The minimums' share of a super-block: an exact integer.
template <typename F>
[[gnu::always_inline]] inline __m256i min_sum(const typename F::Scales& scales,
                                              const QuantGroup& x) {
  __m256i sum = _mm256_setzero_si256();
  if constexpr (F::kSubs == 8) {
    MINKE_UNROLL for (int64_t pair = 0; pair < 4; ++pair) {
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(F::min_pair(scales, pair),
                                                    broadcast_word(x.shifted_pairs + 2 * pair)));
    }
  } else {
    for (int64_t sub = 0; sub < F::kSubs; ++sub) {
      const __m256i term =
          _mm256_mullo_epi32(F::min(scales, sub), _mm256_set1_epi32(-x.neg_sum16[sub]));
      sum = _mm256_add_epi32(sum, shift_left(term, x.shift + sub / 2));
    }
  }
  return sum;
}

// d isum - dmin msum, times the row's step, onto acc.
template <typename F>
[[gnu::always_inline]] inline __m256 finish_super(const typename F::Scales& scales,
                                                  const QuantGroup& x, __m256i isum, __m256 acc) {
  __m256 t = _mm256_mul_ps(scales.d, _mm256_cvtepi32_ps(isum));
  if constexpr (F::kMin) {
    t = _mm256_fnmadd_ps(scales.dmin, _mm256_cvtepi32_ps(min_sum<F>(scales, x)), t);
  }
  return _mm256_fmadd_ps(t, _mm256_set1_ps(x.step), acc);
}

// --- Few rows ------------------------------------------------------------------------------------

// Adds `kRows8` rows of eight values of K, times `factor` (a scale twice, or ones), to T rows'
// sums. The quants are rows `source_row` on of `source`; x's values start at `first_value`.
template <typename F, int64_t kRows8, int T>
[[gnu::always_inline]] inline void add_products(const std::byte* source, int64_t source_row,
                                                int64_t half, const QuantGroup* x,
                                                int64_t first_value, __m256i factor,
                                                __m256i* dots) {
  constexpr int64_t kChunk = F::kSixteens >= 2 ? F::kSixteens / 2 : 1;
  __m256i chunk[T];
  MINKE_UNROLL for (int64_t i = 0; i < kRows8; ++i) {
    const Bytes8 w = F::bytes(source, source_row + i, half);
    MINKE_UNROLL for (int t = 0; t < T; ++t) {
      const int8_t* q = x[t].q + first_value + i * 8;
      const __m256i low = products<F>(w.low, broadcast_word(q));
      const __m256i high = products<F>(w.high, broadcast_word(q + 4));
      if constexpr (F::kSixteens == 1) {
        dots[t] = _mm256_add_epi32(dots[t], _mm256_add_epi32(_mm256_madd_epi16(low, factor),
                                                             _mm256_madd_epi16(high, factor)));
      } else {
        const __m256i both = _mm256_add_epi16(low, high);
        chunk[t] = i % kChunk == 0 ? both : _mm256_add_epi16(chunk[t], both);
        if (i % kChunk == kChunk - 1) {
          dots[t] = _mm256_add_epi32(dots[t], _mm256_madd_epi16(chunk[t], factor));
        }
      }
    }
  }
}

// One group of half a panel times T rows; x points at the first row's group, rows lie side by side.
template <typename F, int T>
[[gnu::always_inline]] inline void few_super(const std::byte* panel, const std::byte* group,
                                             int64_t g, int64_t half, const QuantGroup* x,
                                             __m256* acc) {
  constexpr int64_t kRows8 = 32 / F::kSubs;  // rows of eight values in a sub-block
  const typename F::Scales scales = F::load_scales(panel, group, g, half);
  __m256i isum[T];
  MINKE_UNROLL for (int t = 0; t < T; ++t) isum[t] = _mm256_setzero_si256();
#pragma GCC unroll 1
  for (int64_t sub = 0; sub < F::kSubs; ++sub) {
    const __m256i scale = F::scale(scales, sub);
    __m256i dots[T];
    MINKE_UNROLL for (int t = 0; t < T; ++t) dots[t] = start_super<F>(x[t], sub, scale);
    // Rows of a sub-block alternate evenly in all formats, so their place in it says how to unpack.
    add_products<F, kRows8, T>(group, sub * kRows8, half, x, sub * kRows8 * 8, scale, dots);
    MINKE_UNROLL for (int t = 0; t < T; ++t) {
      isum[t] = _mm256_add_epi32(isum[t], shift_left(dots[t], x[t].shift + sub * 8 / F::kSubs));
    }
  }
  MINKE_UNROLL for (int t = 0; t < T; ++t) acc[t] = finish_super<F>(scales, x[t], isum[t], acc[t]);
}

template <typename F, int T>
[[gnu::always_inline]] inline void few_runs(const std::byte* group, int64_t runs,
                                            const RunPlaces& places, int64_t half,
                                            const QuantGroup* x, __m256* acc) {
  const std::byte* run_bytes = group + places.payload;
  const __m256i ones = _mm256_set1_epi16(1);
  __m256 sums[T];
  MINKE_UNROLL for (int t = 0; t < T; ++t) sums[t] = _mm256_setzero_ps();
#pragma GCC unroll 1
  for (int64_t run = 0; run < runs; ++run, run_bytes += places.run_bytes) {
    __m256i dots[T];
    MINKE_UNROLL for (int t = 0; t < T; ++t) dots[t] = start_run<F>(x[t], run);
    add_products<F, 4, T>(run_bytes, 0, half, x, run * kRun, ones, dots);
    const __m256 d = run_scale<F>(group, run_bytes, run, half);
    MINKE_UNROLL for (int t = 0; t < T; ++t) {
      sums[t] =
          _mm256_fmadd_ps(_mm256_cvtepi32_ps(shift_left(dots[t], x[t].shift + run)), d, sums[t]);
      if constexpr (F::kMin) {
        sums[t] = _mm256_fmadd_ps(run_min<F>(group + places.min, run_bytes, run, half),
                                  _mm256_set1_ps(x[t].shifted_sum[run]), sums[t]);
      }
    }
  }
  MINKE_UNROLL for (int t = 0; t < T; ++t) {
    acc[t] = _mm256_fmadd_ps(sums[t], _mm256_set1_ps(x[t].step), acc[t]);
  }
}

template <typename F, int T>
void few_rows(const LinearTask& task, int64_t panel_begin, int64_t panel_end) {
  const int64_t dim = task.w->in_dim();
  const int64_t groups = groups_of(dim);
  const int64_t header = panel_header_bytes(F::kFormat, dim);
  for (int64_t p = panel_begin; p < panel_end; ++p) {
    const std::byte* panel = task.w->panel(p);
    const std::byte* group = panel + header;
    __m256 acc[2][T];
    MINKE_UNROLL for (int half = 0; half < 2; ++half) {
      MINKE_UNROLL for (int t = 0; t < T; ++t) acc[half][t] = _mm256_setzero_ps();
    }
    for (int64_t g = 0; g < groups; ++g) {
      const QuantGroup* x = task.groups + g * task.rows;
      const int64_t runs = runs_in_group(dim, g);
      const int64_t bytes = group_bytes(F::kFormat, runs);
      for (int64_t line = 0; line < bytes; line += 64) {
        prefetch_stream(group + line);
      }
      if constexpr (kIsSuper<F>) {
        for (int64_t half = 0; half < 2; ++half) {
          few_super<F, T>(panel, group, g, half, x, acc[half]);
        }
      } else {
        const RunPlaces places = run_places(F::kFormat, runs);
        for (int64_t half = 0; half < 2; ++half) {
          few_runs<F, T>(group, runs, places, half, x, acc[half]);
        }
      }
      group += bytes;
    }
    MINKE_UNROLL for (int half = 0; half < 2; ++half) {
      MINKE_UNROLL for (int t = 0; t < T; ++t) store_outputs(task, p, half, t, acc[half][t]);
    }
  }
}

// --- Many rows -----------------------------------------------------------------------------------

// A group of a panel, unpacked: what all rows' tiles read.
struct alignas(64) Unpacked {
  uint8_t bytes[64][2][32];   // [K / 4][half][8 outputs][4]
  int16_t scales[16][2][16];  // super-blocks: [sub][half][output][twice]
  float run_scales[8][2][8];
  float run_mins[8][2][8];
};

// Adds `kFours` fours of K from `first` on, times the halves' factors, to T rows' sums.
template <typename F, int64_t kFours, int T>
[[gnu::always_inline]] inline void add_tile(const Unpacked& w, int64_t first, const QuantGroup* x,
                                            const __m256i (&factors)[2], __m256i (*dots)[2]) {
  __m256i chunk[T][2];
  MINKE_UNROLL for (int64_t i = 0; i < kFours; ++i) {
    const __m256i w0 = load32(w.bytes[first + i][0]);
    const __m256i w1 = load32(w.bytes[first + i][1]);
    MINKE_UNROLL for (int t = 0; t < T; ++t) {
      const __m256i four = broadcast_word(x[t].q + (first + i) * 4);
      const __m256i p0 = products<F>(w0, four);
      const __m256i p1 = products<F>(w1, four);
      const bool starts = i % F::kSixteens == 0;
      chunk[t][0] = starts ? p0 : _mm256_add_epi16(chunk[t][0], p0);
      chunk[t][1] = starts ? p1 : _mm256_add_epi16(chunk[t][1], p1);
      if (i % F::kSixteens == F::kSixteens - 1) {
        dots[t][0] = _mm256_add_epi32(dots[t][0], _mm256_madd_epi16(chunk[t][0], factors[0]));
        dots[t][1] = _mm256_add_epi32(dots[t][1], _mm256_madd_epi16(chunk[t][1], factors[1]));
      }
    }
  }
}

template <typename F, int T>
void tile_super(const Unpacked& w, const typename F::Scales (&scales)[2], const QuantGroup* x,
                float* acc) {
  constexpr int64_t kFours = 64 / F::kSubs;  // fours of K in a sub-block
  __m256i isum[T][2];
  MINKE_UNROLL for (int t = 0; t < T; ++t) isum[t][0] = isum[t][1] = _mm256_setzero_si256();
#pragma GCC unroll 1
  for (int64_t sub = 0; sub < F::kSubs; ++sub) {
    const __m256i factors[2] = {load32(w.scales[sub][0]), load32(w.scales[sub][1])};
    __m256i dots[T][2];
    MINKE_UNROLL for (int t = 0; t < T; ++t) {
      dots[t][0] = start_super<F>(x[t], sub, factors[0]);
      dots[t][1] = start_super<F>(x[t], sub, factors[1]);
    }
    add_tile<F, kFours, T>(w, sub * kFours, x, factors, dots);
    MINKE_UNROLL for (int t = 0; t < T; ++t) {
      const __m256i shift = broadcast_word(x[t].shift + sub * 8 / F::kSubs);
      isum[t][0] = _mm256_add_epi32(isum[t][0], _mm256_sllv_epi32(dots[t][0], shift));
      isum[t][1] = _mm256_add_epi32(isum[t][1], _mm256_sllv_epi32(dots[t][1], shift));
    }
  }
  MINKE_UNROLL for (int t = 0; t < T; ++t) {
    MINKE_UNROLL for (int half = 0; half < 2; ++half) {
      float* at = acc + t * 16 + half * 8;
      _mm256_storeu_ps(at, finish_super<F>(scales[half], x[t], isum[t][half], _mm256_loadu_ps(at)));
    }
  }
}

template <typename F, int T>
void tile_runs(const Unpacked& w, int64_t runs, const QuantGroup* x, float* acc) {
  const __m256i ones[2] = {_mm256_set1_epi16(1), _mm256_set1_epi16(1)};
  __m256 sums[T][2];
  MINKE_UNROLL for (int t = 0; t < T; ++t) sums[t][0] = sums[t][1] = _mm256_setzero_ps();
#pragma GCC unroll 1
  for (int64_t run = 0; run < runs; ++run) {
    __m256i dots[T][2];
    MINKE_UNROLL for (int t = 0; t < T; ++t) dots[t][0] = dots[t][1] = start_run<F>(x[t], run);
    add_tile<F, 8, T>(w, run * 8, x, ones, dots);
    MINKE_UNROLL for (int t = 0; t < T; ++t) {
      const __m256i shift = broadcast_word(x[t].shift + run);
      MINKE_UNROLL for (int half = 0; half < 2; ++half) {
        sums[t][half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_sllv_epi32(dots[t][half], shift)),
                                        _mm256_loadu_ps(w.run_scales[run][half]), sums[t][half]);
        if constexpr (F::kMin) {
          sums[t][half] = _mm256_fmadd_ps(_mm256_loadu_ps(w.run_mins[run][half]),
                                          _mm256_set1_ps(x[t].shifted_sum[run]), sums[t][half]);
        }
      }
    }
  }
  MINKE_UNROLL for (int t = 0; t < T; ++t) {
    MINKE_UNROLL for (int half = 0; half < 2; ++half) {
      float* at = acc + t * 16 + half * 8;
      _mm256_storeu_ps(
          at, _mm256_fmadd_ps(sums[t][half], _mm256_set1_ps(x[t].step), _mm256_loadu_ps(at)));
    }
  }
}

template <typename F>
void unpack_bytes(const std::byte* source, int64_t rows8, int64_t first, int64_t half,
                  Unpacked& w) {
#pragma GCC unroll 4
  for (int64_t r = 0; r < rows8; ++r) {
    const Bytes8 eight = F::bytes(source, r, half);
    store32(w.bytes[first + 2 * r][half], eight.low);
    store32(w.bytes[first + 2 * r + 1][half], eight.high);
  }
}

template <typename F>
void unpack_runs(const std::byte* group, int64_t runs, int64_t half, Unpacked& w) {
  const RunPlaces places = run_places(F::kFormat, runs);
  const std::byte* run_bytes = group + places.payload;
  for (int64_t run = 0; run < runs; ++run, run_bytes += places.run_bytes) {
    unpack_bytes<F>(run_bytes, 4, run * 8, half, w);
    _mm256_storeu_ps(w.run_scales[run][half], run_scale<F>(group, run_bytes, run, half));
    if constexpr (F::kMin) {
      _mm256_storeu_ps(w.run_mins[run][half], run_min<F>(group + places.min, run_bytes, run, half));
    }
  }
}

// Calls f(row, std::integral_constant<int, T>) for tiles of four rows and what remains.
template <typename Function>
void for_tiles(int64_t rows, Function f) {
  int64_t row = 0;
  for (; row + kRowsTile <= rows; row += kRowsTile) {
    f(row, std::integral_constant<int, kRowsTile>());
  }
  switch (rows - row) {
    case 1:
      f(row, std::integral_constant<int, 1>());
      break;
    case 2:
      f(row, std::integral_constant<int, 2>());
      break;
    case 3:
      f(row, std::integral_constant<int, 3>());
      break;
    default:
      break;
  }
}

template <typename F>
void many_rows(const LinearTask& task, int64_t p, float* sums) {
  const int64_t dim = task.w->in_dim();
  const std::byte* panel = task.w->panel(p);
  const std::byte* group = panel + panel_header_bytes(F::kFormat, dim);
  Unpacked w;
  std::fill(sums, sums + task.rows * 16, 0.0F);
  for (int64_t g = 0; g < groups_of(dim); ++g) {
    const QuantGroup* x = task.groups + g * task.rows;
    const int64_t runs = runs_in_group(dim, g);
    if constexpr (kIsSuper<F>) {
      const typename F::Scales scales[2] = {F::load_scales(panel, group, g, 0),
                                            F::load_scales(panel, group, g, 1)};
      for (int64_t half = 0; half < 2; ++half) {
        unpack_bytes<F>(group, 32, 0, half, w);
        for (int64_t sub = 0; sub < F::kSubs; ++sub) {
          store32(w.scales[sub][half], F::scale(scales[half], sub));
        }
      }
      for_tiles(task.rows, [&](int64_t row, auto tile) {
        tile_super<F, decltype(tile)::value>(w, scales, x + row, sums + row * 16);
      });
    } else {
      for (int64_t half = 0; half < 2; ++half) unpack_runs<F>(group, runs, half, w);
      for_tiles(task.rows, [&](int64_t row, auto tile) {
        tile_runs<F, decltype(tile)::value>(w, runs, x + row, sums + row * 16);
      });
    }
    group += group_bytes(F::kFormat, runs);
  }
  for (int64_t row = 0; row < task.rows; ++row) {
    store_outputs(task, p, 0, row, _mm256_loadu_ps(sums + row * 16));
    store_outputs(task, p, 1, row, _mm256_loadu_ps(sums + row * 16 + 8));
  }
}

template <typename F>
void linear_quantised(const LinearTask& task, int64_t panel_begin, int64_t panel_end) {
  switch (task.rows) {
    case 1:
      return few_rows<F, 1>(task, panel_begin, panel_end);
    case 2:
      return few_rows<F, 2>(task, panel_begin, panel_end);
    case 3:
      return few_rows<F, 3>(task, panel_begin, panel_end);
    case 4:
      return few_rows<F, 4>(task, panel_begin, panel_end);
    default:
      break;
  }
  // The fp32 sums of a panel for all rows: [rows][16].
  auto* sums =
      reinterpret_cast<float*>(kernel_scratch(static_cast<size_t>(task.rows) * 16 * sizeof(float)));
  for (int64_t p = panel_begin; p < panel_end; ++p) many_rows<F>(task, p, sums);
}

}  // namespace minke::avx2
