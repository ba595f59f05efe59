// The quantised products. Two shapes of the same sums:
//   few rows:  a panel's quants are unpacked in registers and used for up to 8 rows at once; the
//              weights stream from memory once, which is what bounds a decode step;
//   many rows: two panels' group is unpacked into L1 once and used for all rows, six at a time.
// Sums inside a group are exact integers, so both give the reference's bits.
#pragma once

#include <algorithm>
#include <utility>

#include "kernels/cpu/avx512/formats.h"
#include "kernels/cpu/prefetch.h"
#include "kernels/cpu/scratch.h"

namespace minke::avx512 {

inline constexpr int64_t kRowsFew = 8;   // most rows that a panel's quants serve from registers
inline constexpr int64_t kRowsTile = 6;  // rows of a tile of the other kind

template <typename F>
constexpr bool kIsSuper = requires { F::kSubs; };

// Starts an integer sum of `values` quants: at minus the offset's share, or at zero.
template <typename F, int kValues>
__m512i start_sum(const QuantGroup& x, int64_t index) {
  if constexpr (!F::kOffset) return _mm512_setzero_si512();
  const int32_t* sums = kValues == 32 ? x.neg_sum32 : x.neg_sum16;
  return _mm512_slli_epi32(_mm512_set1_epi32(sums[index]), F::kOffsetShift);
}

inline __m512i shift_left(__m512i v, const int32_t* count) {
  return _mm512_sllv_epi32(v, _mm512_set1_epi32(*count));
}

// The minimums' share of a super-block: an exact integer.
template <typename F>
[[gnu::always_inline]] inline __m512i min_sum(const typename F::Scales& scales,
                                              const QuantGroup& x) {
  __m512i sum = _mm512_setzero_si512();
  if constexpr (F::kSubs == 8) {
    MINKE_UNROLL for (int64_t pair = 0; pair < 4; ++pair) {
      sum = _mm512_dpwssd_epi32(sum, F::min_pair(scales, pair),
                                broadcast_word(x.shifted_pairs + 2 * pair));
    }
  } else {
    for (int64_t sub = 0; sub < F::kSubs; ++sub) {
      const __m512i term =
          _mm512_mullo_epi32(F::min(scales, sub), _mm512_set1_epi32(-x.neg_sum16[sub]));
      sum = _mm512_add_epi32(sum, shift_left(term, x.shift + sub / 2));
    }
  }
  return sum;
}

// d isum - dmin msum, times the row's step, onto acc.
template <typename F>
[[gnu::always_inline]] inline __m512 finish_super(const typename F::Scales& scales,
                                                  const QuantGroup& x, __m512i isum, __m512 acc) {
  __m512 t = _mm512_mul_ps(scales.d, _mm512_cvtepi32_ps(isum));
  if constexpr (F::kMin) {
    t = _mm512_fnmadd_ps(scales.dmin, _mm512_cvtepi32_ps(min_sum<F>(scales, x)), t);
  }
  return _mm512_fmadd_ps(t, _mm512_set1_ps(x.step), acc);
}

// --- Few rows
// ----------------------------------------------------------------------------------------

// One group of one panel times T rows; x points at the first row's group, rows lie side by side.
template <typename F, int T>
void few_super(const std::byte* panel, const std::byte* group, int64_t g, const QuantGroup* x,
               __m512* acc) {
  constexpr int64_t kRows8 = 32 / F::kSubs;  // rows of eight values in a sub-block
  const typename F::Scales scales = F::load_scales(panel, group, g);
  __m512i isum[T];
  MINKE_UNROLL for (int t = 0; t < T; ++t) isum[t] = _mm512_setzero_si512();
  constexpr int64_t kSubBytes = (F::kGroupBytes - F::kHeaderBytes) / F::kSubs;
  for (int64_t line = 0; line < F::kHeaderBytes; line += 64) prefetch_stream(group + line);
#pragma GCC unroll 1
  for (int64_t pair = 0; pair < F::kSubs / 2; ++pair) {
    MINKE_UNROLL for (int64_t half = 0; half < 2; ++half) {
      const int64_t sub = 2 * pair + half;
      const __m512i scale = F::scale(scales, sub);
      MINKE_UNROLL for (int64_t line = 0; line < kSubBytes; line += 64) {
        prefetch_stream(group + F::kHeaderBytes + sub * kSubBytes + line);
      }
      __m512i dots[T];
      __m512i more = _mm512_setzero_si512();  // a second chain, when one row alone would wait
      MINKE_UNROLL for (int t = 0; t < T; ++t) dots[t] = start_sum<F, 256 / F::kSubs>(x[t], sub);
      MINKE_UNROLL for (int64_t i = 0; i < kRows8; ++i) {
        // In a pair's own numbering the halves' rows alternate evenly: r % 2, r % 4 are constants.
        const int64_t r = sub * kRows8 + i;
        const Bytes8 w = F::bytes(group, r);
        MINKE_UNROLL for (int t = 0; t < T; ++t) {
          dots[t] = dot_broadcast(dots[t], w.low, x[t].q + r * 8);
          if constexpr (T == 1)
            more = dot_broadcast(more, w.high, x[t].q + r * 8 + 4);
          else
            dots[t] = dot_broadcast(dots[t], w.high, x[t].q + r * 8 + 4);
        }
      }
      if constexpr (T == 1) dots[0] = _mm512_add_epi32(dots[0], more);
      MINKE_UNROLL for (int t = 0; t < T; ++t) {
        isum[t] = _mm512_add_epi32(isum[t], shift_left(_mm512_mullo_epi32(dots[t], scale),
                                                       x[t].shift + sub * 8 / F::kSubs));
      }
    }
  }
  MINKE_UNROLL for (int t = 0; t < T; ++t) acc[t] = finish_super<F>(scales, x[t], isum[t], acc[t]);
}

template <typename F, int T>
void few_runs(const std::byte* group, int64_t runs, const QuantGroup* x, __m512* acc) {
  const int64_t scales = (runs * 32 + 63) / 64 * 64;
  const std::byte* run_bytes = group + F::payload(scales);
  __m512 sums[T];
  MINKE_UNROLL for (int t = 0; t < T; ++t) sums[t] = _mm512_setzero_ps();
  for (int64_t line = 0; line < F::payload(scales); line += 64) prefetch_stream(group + line);
#pragma GCC unroll 1
  for (int64_t run = 0; run < runs; ++run, run_bytes += F::kRunBytes) {
    __m512i dots[T];
    __m512i more = _mm512_setzero_si512();
    MINKE_UNROLL for (int t = 0; t < T; ++t) dots[t] = start_sum<F, 32>(x[t], run);
    for (int64_t line = 0; line < F::kRunBytes; line += 64) prefetch_stream(run_bytes + line);
    MINKE_UNROLL for (int64_t r = 0; r < 4; ++r) {
      const Bytes8 w = F::bytes(run_bytes, r);
      MINKE_UNROLL for (int t = 0; t < T; ++t) {
        dots[t] = dot_broadcast(dots[t], w.low, x[t].q + run * 32 + r * 8);
        if constexpr (T == 1)
          more = dot_broadcast(more, w.high, x[t].q + run * 32 + r * 8 + 4);
        else
          dots[t] = dot_broadcast(dots[t], w.high, x[t].q + run * 32 + r * 8 + 4);
      }
    }
    if constexpr (T == 1) dots[0] = _mm512_add_epi32(dots[0], more);
    const __m512 d = run_scale<F>(group, run_bytes, run);
    MINKE_UNROLL for (int t = 0; t < T; ++t) {
      sums[t] =
          _mm512_fmadd_ps(_mm512_cvtepi32_ps(shift_left(dots[t], x[t].shift + run)), d, sums[t]);
      if constexpr (F::kMin) {
        sums[t] = _mm512_fmadd_ps(run_min<F>(group, run_bytes, scales, run),
                                  _mm512_set1_ps(x[t].shifted_sum[run]), sums[t]);
      }
    }
  }
  MINKE_UNROLL for (int t = 0; t < T; ++t) {
    acc[t] = _mm512_fmadd_ps(sums[t], _mm512_set1_ps(x[t].step), acc[t]);
  }
}

template <typename F, int T>
void few_rows(const LinearTask& task, int64_t row, int64_t panel_begin, int64_t panel_end) {
  const int64_t dim = task.w->in_dim();
  const int64_t groups = groups_of(dim);
  const int64_t header = panel_header_bytes(F::kFormat, dim);
  for (int64_t p = panel_begin; p < panel_end; ++p) {
    const std::byte* panel = task.w->panel(p);
    const std::byte* group = panel + header;
    __m512 acc[T];
    MINKE_UNROLL for (int t = 0; t < T; ++t) acc[t] = _mm512_setzero_ps();
    for (int64_t g = 0; g < groups; ++g) {
      const QuantGroup* x = task.groups + g * task.rows + row;
      if constexpr (kIsSuper<F>) {
        few_super<F, T>(panel, group, g, x, acc);
        group += F::kGroupBytes;
      } else {
        const int64_t runs = runs_in_group(dim, g);
        few_runs<F, T>(group, runs, x, acc);
        group += group_bytes(F::kFormat, runs);
      }
    }
    MINKE_UNROLL for (int t = 0; t < T; ++t) store_outputs(task, p, row + t, acc[t]);
  }
}

// --- Many rows
// -------------------------------------------------------------------------------------

// A group of two panels, unpacked: what all rows' tiles read.
struct alignas(64) Unpacked {
  uint8_t bytes[64][2][64];   // [K / 4][panel][16 outputs][4]
  int32_t scales[16][2][16];  // super-blocks: [sub][panel][output]
  float run_scales[8][2][16];
  float run_mins[8][2][16];
};

template <typename F, int T>
void tile_super(const Unpacked& w, const typename F::Scales (&scales)[2], const QuantGroup* x,
                float* acc, PrefetchRange (&next)[2]) {
  constexpr int64_t kQuads = 64 / F::kSubs;  // fours of K in a sub-block
  __m512i isum[T][2];
  MINKE_UNROLL for (int t = 0; t < T; ++t) isum[t][0] = isum[t][1] = _mm512_setzero_si512();
#pragma GCC unroll 1
  for (int64_t sub = 0; sub < F::kSubs; ++sub) {
    next[0].some();
    next[1].some();
    __m512i dots[T][2];
    MINKE_UNROLL for (int t = 0; t < T; ++t) {
      dots[t][0] = dots[t][1] = start_sum<F, 256 / F::kSubs>(x[t], sub);
    }
#pragma GCC unroll 4
    for (int64_t quad = sub * kQuads; quad < (sub + 1) * kQuads; ++quad) {
      const __m512i w0 = _mm512_load_si512(w.bytes[quad][0]);
      const __m512i w1 = _mm512_load_si512(w.bytes[quad][1]);
      MINKE_UNROLL for (int t = 0; t < T; ++t) {
        const __m512i four = broadcast_word(x[t].q + quad * 4);
        dots[t][0] = dot(dots[t][0], w0, four);
        dots[t][1] = dot(dots[t][1], w1, four);
      }
    }
    const __m512i s0 = _mm512_load_si512(w.scales[sub][0]);
    const __m512i s1 = _mm512_load_si512(w.scales[sub][1]);
    MINKE_UNROLL for (int t = 0; t < T; ++t) {
      const __m512i shift = _mm512_set1_epi32(x[t].shift[sub * 8 / F::kSubs]);
      isum[t][0] = _mm512_add_epi32(isum[t][0],
                                    _mm512_sllv_epi32(_mm512_mullo_epi32(dots[t][0], s0), shift));
      isum[t][1] = _mm512_add_epi32(isum[t][1],
                                    _mm512_sllv_epi32(_mm512_mullo_epi32(dots[t][1], s1), shift));
    }
  }
  MINKE_UNROLL for (int t = 0; t < T; ++t) {
    MINKE_UNROLL for (int p = 0; p < 2; ++p) {
      float* at = acc + (t * 2 + p) * 16;
      _mm512_store_ps(at, finish_super<F>(scales[p], x[t], isum[t][p], _mm512_load_ps(at)));
    }
  }
}

template <typename F, int T>
void tile_runs(const Unpacked& w, int64_t runs, const QuantGroup* x, float* acc,
               PrefetchRange (&next)[2]) {
  __m512 sums[T][2];
  MINKE_UNROLL for (int t = 0; t < T; ++t) sums[t][0] = sums[t][1] = _mm512_setzero_ps();
#pragma GCC unroll 1
  for (int64_t run = 0; run < runs; ++run) {
    next[0].some();
    next[1].some();
    __m512i dots[T][2];
    MINKE_UNROLL for (int t = 0; t < T; ++t) dots[t][0] = dots[t][1] = start_sum<F, 32>(x[t], run);
#pragma GCC unroll 4
    for (int64_t quad = run * 8; quad < run * 8 + 8; ++quad) {
      const __m512i w0 = _mm512_load_si512(w.bytes[quad][0]);
      const __m512i w1 = _mm512_load_si512(w.bytes[quad][1]);
      MINKE_UNROLL for (int t = 0; t < T; ++t) {
        const __m512i four = broadcast_word(x[t].q + quad * 4);
        dots[t][0] = dot(dots[t][0], w0, four);
        dots[t][1] = dot(dots[t][1], w1, four);
      }
    }
    MINKE_UNROLL for (int t = 0; t < T; ++t) {
      const __m512i shift = _mm512_set1_epi32(x[t].shift[run]);
      MINKE_UNROLL for (int p = 0; p < 2; ++p) {
        sums[t][p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_sllv_epi32(dots[t][p], shift)),
                                     _mm512_load_ps(w.run_scales[run][p]), sums[t][p]);
        if constexpr (F::kMin) {
          sums[t][p] = _mm512_fmadd_ps(_mm512_load_ps(w.run_mins[run][p]),
                                       _mm512_set1_ps(x[t].shifted_sum[run]), sums[t][p]);
        }
      }
    }
  }
  MINKE_UNROLL for (int t = 0; t < T; ++t) {
    MINKE_UNROLL for (int p = 0; p < 2; ++p) {
      float* at = acc + (t * 2 + p) * 16;
      _mm512_store_ps(at,
                      _mm512_fmadd_ps(sums[t][p], _mm512_set1_ps(x[t].step), _mm512_load_ps(at)));
    }
  }
}

template <typename F>
void unpack_bytes(const std::byte* source, int64_t rows8, int64_t first, int p, Unpacked& w) {
#pragma GCC unroll 4
  for (int64_t r = 0; r < rows8; ++r) {
    const Bytes8 eight = F::bytes(source, r);
    _mm512_store_si512(w.bytes[first + 2 * r][p], eight.low);
    _mm512_store_si512(w.bytes[first + 2 * r + 1][p], eight.high);
  }
}

template <typename F>
void unpack_run_group(const std::byte* group, int64_t runs, int p, Unpacked& w) {
  const int64_t scales = (runs * 32 + 63) / 64 * 64;
  const std::byte* run_bytes = group + F::payload(scales);
  for (int64_t run = 0; run < runs; ++run, run_bytes += F::kRunBytes) {
    unpack_bytes<F>(run_bytes, 4, run * 8, p, w);
    _mm512_store_ps(w.run_scales[run][p], run_scale<F>(group, run_bytes, run));
    if constexpr (F::kMin) {
      _mm512_store_ps(w.run_mins[run][p], run_min<F>(group, run_bytes, scales, run));
    }
  }
}

// Calls f(row, std::integral_constant<int, T>) for tiles of six rows and what remains.
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
    case 4:
      f(row, std::integral_constant<int, 4>());
      break;
    case 5:
      f(row, std::integral_constant<int, 5>());
      break;
    default:
      break;
  }
}

// Two panels times all rows. When only one is left, both halves read it and one is dropped.
template <typename F>
void many_rows_pair(const LinearTask& task, int64_t first, int64_t second, float* sums) {
  const int64_t dim = task.w->in_dim();
  const std::byte* panels[2] = {task.w->panel(first), task.w->panel(second)};
  const auto panel_after = [&](int64_t p) {
    return task.w->panel(std::min(p + 2, task.w->panels() - 1));
  };
  const int64_t header = panel_header_bytes(F::kFormat, dim);
  int64_t at = header;
  Unpacked w;
  std::fill(sums, sums + task.rows * 32, 0.0F);
  for (int64_t g = 0; g < groups_of(dim); ++g) {
    const QuantGroup* x = task.groups + g * task.rows;
    const int64_t runs = runs_in_group(dim, g);
    const int64_t bytes = group_bytes(F::kFormat, runs);
    const bool last = g + 1 == groups_of(dim);
    const auto after = [&](int p, int64_t panel) {
      return last ? PrefetchRange(panel_after(panel), header + bytes)
                  : PrefetchRange(panels[p] + at + bytes, bytes);
    };
    PrefetchRange next[2] = {after(0, first), after(1, second)};
    if constexpr (kIsSuper<F>) {
      const typename F::Scales scales[2] = {F::load_scales(panels[0], panels[0] + at, g),
                                            F::load_scales(panels[1], panels[1] + at, g)};
      MINKE_UNROLL for (int p = 0; p < 2; ++p) {
        unpack_bytes<F>(panels[p] + at, 32, 0, p, w);
        for (int64_t sub = 0; sub < F::kSubs; ++sub) {
          _mm512_store_si512(w.scales[sub][p], F::scale(scales[p], sub));
        }
      }
      for_tiles(task.rows, [&](int64_t row, auto tile) {
        tile_super<F, decltype(tile)::value>(w, scales, x + row, sums + row * 32, next);
      });
    } else {
      MINKE_UNROLL for (int p = 0; p < 2; ++p) unpack_run_group<F>(panels[p] + at, runs, p, w);
      for_tiles(task.rows, [&](int64_t row, auto tile) {
        tile_runs<F, decltype(tile)::value>(w, runs, x + row, sums + row * 32, next);
      });
    }
    at += bytes;
  }
  for (int64_t row = 0; row < task.rows; ++row) {
    store_outputs(task, first, row, _mm512_load_ps(sums + row * 32));
    if (second != first) store_outputs(task, second, row, _mm512_load_ps(sums + row * 32 + 16));
  }
}

template <typename F>
void linear_quantised(const LinearTask& task, int64_t panel_begin, int64_t panel_end) {
  switch (task.rows) {
    case 1:
      return few_rows<F, 1>(task, 0, panel_begin, panel_end);
    case 2:
      return few_rows<F, 2>(task, 0, panel_begin, panel_end);
    case 3:
      return few_rows<F, 3>(task, 0, panel_begin, panel_end);
    case 4:
      return few_rows<F, 4>(task, 0, panel_begin, panel_end);
    case 5:
      return few_rows<F, 5>(task, 0, panel_begin, panel_end);
    case 6:
      return few_rows<F, 6>(task, 0, panel_begin, panel_end);
    case 7:
      return few_rows<F, 7>(task, 0, panel_begin, panel_end);
    case 8:
      return few_rows<F, 8>(task, 0, panel_begin, panel_end);
    default:
      break;
  }
  // The fp32 sums of two panels for all rows: [rows][2][16].
  auto* sums =
      reinterpret_cast<float*>(kernel_scratch(static_cast<size_t>(task.rows) * 32 * sizeof(float)));
  for (int64_t p = panel_begin; p < panel_end; p += 2) {
    many_rows_pair<F>(task, p, std::min(p + 1, panel_end - 1), sums);
  }
}

}  // namespace minke::avx512
