// gemm_bench [THREADS]: GFLOP/s of gemm_bf16 and gemm_f32 (src/kernels) at the shapes of gradients:
// what goes back through a weight (dX = dY · W) and to it (dW += dYᵀ · X), of Qwen2.5-0.5B and of
// SmolLM2-135M, beside the peaks of this machine. The two in turn, the best of some rounds.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <vector>

#include "core/random.h"
#include "kernels/gemm_bf16.h"
#include "kernels/kernels.h"
#include "kernels/peaks.h"

namespace minke {
namespace {

using Clock = std::chrono::steady_clock;

std::vector<float> random_values(int64_t count, uint64_t stream) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(uniform(3, stream, i) - 0.5);
  }
  return values;
}

double seconds(const FunctionRef<void()>& job) {
  const auto begin = Clock::now();
  job();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

struct Speed {
  double bf16 = 0.0, f32 = 0.0;
};

Speed measure(ThreadPool& pool, const GemmF32& gemm) {
  const double flops = 2e-9 * static_cast<double>(gemm.rows * gemm.columns * gemm.depth);
  Speed best;
  for (int round = 0; round < 4; ++round) {
    const double bf16 = seconds([&] { gemm_bf16(pool, gemm); });
    const double f32 = seconds([&] { gemm_f32(pool, gemm); });
    best = {std::max(best.bf16, flops / bf16), std::max(best.f32, flops / f32)};
  }
  return best;
}

void compare(ThreadPool& pool, const char* name, int64_t rows, int64_t out_dim, int64_t in_dim) {
  const std::vector<float> dy = random_values(rows * out_dim, 1);
  const std::vector<float> w = random_values(out_dim * in_dim, 2);
  const std::vector<float> x = random_values(rows * in_dim, 3);
  std::vector<float> dx(x.size()), dw(w.size());
  const Speed back = measure(pool, {.rows = rows,
                                    .columns = in_dim,
                                    .depth = out_dim,
                                    .a = dy.data(),
                                    .a_row_stride = out_dim,
                                    .a_k_stride = 1,
                                    .b = w.data(),
                                    .b_stride = in_dim,
                                    .c = dx.data(),
                                    .c_stride = in_dim});
  const Speed to_weight = measure(pool, {.rows = out_dim,
                                         .columns = in_dim,
                                         .depth = rows,
                                         .a = dy.data(),
                                         .a_row_stride = 1,
                                         .a_k_stride = out_dim,
                                         .b = x.data(),
                                         .b_stride = in_dim,
                                         .c = dw.data(),
                                         .c_stride = in_dim,
                                         .accumulate = true});
  fmt::print("{:<14}{:>6}{:>7} -> {:<7}{:>8.0f}{:>7.0f}{:>6.1f}x{:>10.0f}{:>7.0f}{:>6.1f}x\n", name,
             rows, in_dim, out_dim, back.bf16, back.f32, back.bf16 / back.f32, to_weight.bf16,
             to_weight.f32, to_weight.bf16 / to_weight.f32);
}

void run(int threads) {
  ThreadPool pool(threads);
  const Kernels& kernels = *select_kernels().value_or(&reference_kernels());
  const MachinePeaks peaks = measure_peaks(pool, kernels.name);
  fmt::print(
      "{}, {} threads; peaks in GFLOP/s: bf16 in tiles {:.0f}, in chains {:.0f}, fp32 {:.0f}\n",
      kernels.name, pool.threads(), peaks.bf16_tiles_gflop_per_s, peaks.bf16_gflop_per_s,
      peaks.fp32_gflop_per_s);
  fmt::print("{:<14}{:>6}{:>7}    {:<7}{:>22}{:>24}\n", "", "rows", "in", "out", "dX: bf16  fp32",
             "dW: bf16  fp32");
  for (const int64_t rows : {512, 2048}) {
    compare(pool, "0.5B q, o", rows, 896, 896);
    compare(pool, "0.5B gate, up", rows, 4864, 896);
    compare(pool, "0.5B down", rows, 896, 4864);
    compare(pool, "0.5B adapter", rows, 4864, 16);
    compare(pool, "135M q, o", rows, 576, 576);
    compare(pool, "135M gate, up", rows, 1536, 576);
    compare(pool, "135M down", rows, 576, 1536);
  }
}

}  // namespace
}  // namespace minke

int main(int argc, char** argv) { minke::run(argc > 1 ? std::atoi(argv[1]) : 0); }
