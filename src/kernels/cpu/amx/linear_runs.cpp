// Products with formats of one scale a run of 32: a tile product a run, whose sums become fp32 one
// run after the other, as the reference has it. Activations are tiles as they lie in QuantGroup.
#include <algorithm>

#include "kernels/cpu/amx/store_totals.h"
#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/avx512/linear_quantised.h"

namespace minke::amx {
namespace {

inline constexpr int64_t kBlockRows = 16;
inline constexpr int64_t kPanelsMax = 16;  // that share the activations of a block

// A group of a panel: bytes without their offset, scales as fp32.
struct alignas(64) OpenPanel {
  int8_t tiles[8][8][64];  // [run][4 values][16 outputs][4]
  float scales[8][16];
  float mins[8][16];
};

template <typename F>
void open_panel(const std::byte* group, int64_t runs, OpenPanel& out) {
  const int64_t scales = (runs * 32 + 63) / 64 * 64;
  const std::byte* run_bytes = group + F::payload(scales);
  const __m512i offset = _mm512_set1_epi8(static_cast<char>(F::kOffset ? 1 << F::kOffsetShift : 0));
  for (int64_t run = 0; run < runs; ++run, run_bytes += F::kRunBytes) {
    MINKE_UNROLL for (int64_t r = 0; r < 4; ++r) {
      const avx512::Bytes8 q = F::bytes(run_bytes, r);
      _mm512_store_si512(out.tiles[run][2 * r], _mm512_sub_epi8(q.low, offset));
      _mm512_store_si512(out.tiles[run][2 * r + 1], _mm512_sub_epi8(q.high, offset));
    }
    _mm512_store_ps(out.scales[run], avx512::run_scale<F>(group, run_bytes, run));
    if constexpr (F::kMin) {
      _mm512_store_ps(out.mins[run], avx512::run_min<F>(group, run_bytes, scales, run));
    }
  }
}

struct alignas(64) Sums {
  int32_t tiles[8][16][16];  // [run][row][output]
};

// A block of rows times a group of a panel.
struct Block {
  const OpenPanel* w = nullptr;
  const QuantGroup* x = nullptr;
  int64_t rows = 0;
  float* out = nullptr;  // [rows][16], summed over groups
};

// From tiles to fp32: T rows from `row` on.
template <typename F, int T>
void finish_tile(const Block& block, const Sums& sums, int64_t runs, int64_t row) {
  const QuantGroup* x = block.x + row;
  __m512 t[T];
  MINKE_UNROLL for (int i = 0; i < T; ++i) t[i] = _mm512_setzero_ps();
#pragma GCC unroll 2
  for (int64_t run = 0; run < runs; ++run) {
    const __m512 d = _mm512_load_ps(block.w->scales[run]);
    MINKE_UNROLL for (int i = 0; i < T; ++i) {
      const __m512i dot = _mm512_load_si512(sums.tiles[run][row + i]);
      const __m512i shifted = avx512::shift_left(dot, x[i].shift + run);
      t[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(shifted), d, t[i]);
      if constexpr (F::kMin) {
        t[i] = _mm512_fmadd_ps(_mm512_load_ps(block.w->mins[run]),
                               _mm512_set1_ps(x[i].shifted_sum[run]), t[i]);
      }
    }
  }
  MINKE_UNROLL for (int i = 0; i < T; ++i) {
    float* at = block.out + (row + i) * 16;
    _mm512_store_ps(at, _mm512_fmadd_ps(t[i], _mm512_set1_ps(x[i].step), _mm512_load_ps(at)));
  }
}

template <typename F>
void finish_rows(const Block& block, const Sums& sums, int64_t runs, int64_t begin, int64_t end) {
  int64_t row = begin;
  for (; row + 4 <= end; row += 4) finish_tile<F, 4>(block, sums, runs, row);
  for (; row < end; ++row) finish_tile<F, 1>(block, sums, runs, row);
}

template <int kC>
[[gnu::always_inline]] inline void multiply_run(const QuantGroup* x, const OpenPanel& w,
                                                int64_t run) {
  constexpr int kA = 4 + kC % 2 * 2;
  tile_zero<kC>();
  tile_load<kA + 1>(w.tiles[run], 64);
  tile_load<kA>(x->q + run * kRun, sizeof(QuantGroup));
  tile_dot<kC, kA, kA + 1>();
}

// The tiles of one block and, beside them, the fp32 part of the block before: the two use different
// parts of the processor. Four products are under way before the first is stored: one takes three
// times as long as it keeps the next one waiting.
template <typename F>
void multiply_block(const QuantGroup* x, const OpenPanel& w, int64_t runs, Sums& sums,
                    const Block& before, const Sums& sums_before, PrefetchRange& next) {
  for (int64_t run = 0; run < runs; run += 4) {
    const int64_t some = std::min<int64_t>(4, runs - run);
    for (int i = 0; i < 8; ++i) next.some();
    multiply_run<0>(x, w, run);
    if (some > 1) multiply_run<1>(x, w, run + 1);
    if (some > 2) multiply_run<2>(x, w, run + 2);
    if (some > 3) multiply_run<3>(x, w, run + 3);
    // Eight rows at a time, whatever the number of runs.
    const int64_t begin = run * 2;
    const int64_t end = run + 4 >= runs ? before.rows : begin + 8;
    finish_rows<F>(before, sums_before, runs, std::min(begin, before.rows),
                   std::min(end, before.rows));
    tile_store<0>(sums.tiles[run], 64);
    if (some > 1) tile_store<1>(sums.tiles[run + 1], 64);
    if (some > 2) tile_store<2>(sums.tiles[run + 2], 64);
    if (some > 3) tile_store<3>(sums.tiles[run + 3], 64);
  }
}

struct Scratch {
  Sums sums[2];
  OpenPanel panels[kPanelsMax];
};

// What will be opened in this panel's place next: its next group (`at` is where group g begins), or
// the first one of the panel that lies as far on as a call takes panels at once.
template <typename F>
PrefetchRange group_after(const PackedMatrix& w, int64_t panel, int64_t g, int64_t at) {
  const auto bytes = [&](int64_t group) {
    return group_bytes(F::kFormat, runs_in_group(w.in_dim(), group));
  };
  if (g + 1 < groups_of(w.in_dim())) return {w.panel(panel) + at + bytes(g), bytes(g + 1)};
  if (panel + kPanelsMax >= w.panels()) return {};
  return {w.panel(panel + kPanelsMax), panel_header_bytes(F::kFormat, w.in_dim()) + bytes(0)};
}

// Some panels times all rows; `totals` is [panel][rows][16].
template <typename F>
void multiply_panels(const LinearTask& task, int64_t begin, int64_t end, Scratch& scratch,
                     float* totals) {
  const int64_t dim = task.w->in_dim();
  int64_t at = panel_header_bytes(F::kFormat, dim);
  std::fill(totals, totals + (end - begin) * task.rows * 16, 0.0F);
  for (int64_t g = 0; g < groups_of(dim); ++g) {
    const int64_t runs = runs_in_group(dim, g);
    for (int64_t p = begin; p < end; ++p) {
      open_panel<F>(task.w->panel(p) + at, runs, scratch.panels[p - begin]);
    }
    Block before;
    int turn = 0;
    for (int64_t row = 0; row < task.rows; row += kBlockRows) {
      const int64_t rows = std::min(kBlockRows, task.rows - row);
      const QuantGroup* x = task.groups + g * task.rows + row;
      if (row == 0 || rows != kBlockRows) configure_tiles<4>(rows, kRun);
      for (int64_t p = begin; p < end; ++p, turn ^= 1) {
        const OpenPanel& w = scratch.panels[p - begin];
        PrefetchRange next = row == 0 ? group_after<F>(*task.w, p, g, at) : PrefetchRange();
        multiply_block<F>(x, w, runs, scratch.sums[turn], before, scratch.sums[turn ^ 1], next);
        before = {
            .w = &w, .x = x, .rows = rows, .out = totals + ((p - begin) * task.rows + row) * 16};
      }
    }
    finish_rows<F>(before, scratch.sums[turn ^ 1], runs, 0, before.rows);
    at += group_bytes(F::kFormat, runs);
  }
  store_totals(task, begin, end, totals);
}

template <typename F>
void linear_runs(const LinearTask& task, int64_t begin, int64_t end) {
  const int64_t panels = std::min(kPanelsMax, end - begin);
  const auto totals_bytes = static_cast<size_t>(panels * task.rows * 16) * sizeof(float);
  std::byte* memory = kernel_scratch(sizeof(Scratch) + totals_bytes);
  auto& scratch = *reinterpret_cast<Scratch*>(memory);
  auto* totals = reinterpret_cast<float*>(memory + sizeof(Scratch));
  for (int64_t p = begin; p < end; p += kPanelsMax) {
    multiply_panels<F>(task, p, std::min(end, p + kPanelsMax), scratch, totals);
  }
  release_tiles();
}

}  // namespace

void linear_q4_0(const LinearTask& task, int64_t begin, int64_t end) {
  if (task.rows < kTileRowsMin) return avx512::linear_q4_0(task, begin, end);
  linear_runs<avx512::Q4_0>(task, begin, end);
}
void linear_q4_1(const LinearTask& task, int64_t begin, int64_t end) {
  if (task.rows < kTileRowsMin) return avx512::linear_q4_1(task, begin, end);
  linear_runs<avx512::Q4_1>(task, begin, end);
}
void linear_q5_0(const LinearTask& task, int64_t begin, int64_t end) {
  if (task.rows < kTileRowsMin) return avx512::linear_q5_0(task, begin, end);
  linear_runs<avx512::Q5_0>(task, begin, end);
}
void linear_q8_0(const LinearTask& task, int64_t begin, int64_t end) {
  if (task.rows < kTileRowsMin) return avx512::linear_q8_0(task, begin, end);
  linear_runs<avx512::Q8_0>(task, begin, end);
}
void linear_run8(const LinearTask& task, int64_t begin, int64_t end) {
  if (task.rows < kTileRowsMin) return avx512::linear_run8(task, begin, end);
  linear_runs<avx512::Run8>(task, begin, end);
}

}  // namespace minke::amx
