// Muon (Jordan et al., 2024): a matrix moves along its gradient's momentum made orthogonal, so that
// all its directions move alike. Five steps of Newton and Schulz's iteration with Jordan's
// coefficients bring the singular values near 1; as in Moonlight (arXiv 2502.16982) the step is 0.2
// * sqrt(the larger side) times that, whose size per element is AdamW's, and weights decay.
#pragma once

#include <span>

#include "core/thread_pool.h"
#include "quant/weight.h"

namespace minke {

struct MuonStep {
  double momentum = 0.95;
  double learning_rate = 0.0;
  double weight_decay = 0.0;
};

// Moves the values of `weight` (its fp32 rows, or its master); of a stack each matrix for itself.
// `momentum` is its state, of as many values. The bits do not depend on the number of threads.
void muon_step(ThreadPool& pool, const Weight& weight, std::span<float> values,
               std::span<const float> gradient, std::span<float> momentum, const MuonStep& step);

// matrix [rows, columns], in place: its singular values to somewhere between 0.7 and 1.2, its
// singular vectors kept.
void orthogonalise(std::span<float> matrix, int64_t rows, int64_t columns);

}  // namespace minke
