// What this machine can do at most, measured: the denominators of `minke bench`. Loops of twelve
// independent registers, in assembly so that no compiler gets in the way; a warm-up first.
// Blocks the pool for about `seconds` a figure. One caller at a time.
#pragma once

#include <string>

#include "core/thread_pool.h"

namespace minke {

struct MachinePeaks {
  double read_gb_per_s = 0;     // reading memory far larger than the caches
  double int8_gop_per_s = 0;    // a multiply and an add count as two
  double bf16_gflop_per_s = 0;  // in the chains that the forward pass has
  double fp32_gflop_per_s = 0;
  double bf16_tiles_gflop_per_s = 0;  // in the tiles that gemm_bf16 takes; without them as fp32
};

// Uses the instructions of the kernels named `isa` ("reference", "avx2", ...); a set without
// int8 or bf16 dot products reports what its substitutes reach.
MachinePeaks measure_peaks(ThreadPool& pool, const std::string& isa, double seconds = 0.08);

}  // namespace minke
