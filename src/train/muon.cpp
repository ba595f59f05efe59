#include "train/muon.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/gemm_f32.h"

namespace minke {
namespace {

constexpr int kIterations = 5;
constexpr float kA = 3.4445F;
constexpr float kB = -4.7750F;
constexpr float kC = 2.0315F;

// One iteration on x [rows, columns], rows >= columns: x = x (a + b s + c s²) with s = xᵀ x.
struct Iteration {
  std::vector<float> square, next, moved;

  void run(std::vector<float>& x, int64_t rows, int64_t columns) {
    const auto side = static_cast<size_t>(columns * columns);
    square.resize(side);
    next.resize(side);
    moved.resize(x.size());
    gemm_f32({.rows = columns,
              .columns = columns,
              .depth = rows,
              .a = x.data(),
              .a_row_stride = 1,
              .a_k_stride = columns,
              .b = x.data(),
              .b_stride = columns,
              .c = square.data(),
              .c_stride = columns});
    gemm_f32({.rows = columns,
              .columns = columns,
              .depth = columns,
              .a = square.data(),
              .a_row_stride = columns,
              .a_k_stride = 1,
              .b = square.data(),
              .b_stride = columns,
              .c = next.data(),
              .c_stride = columns});
    for (size_t i = 0; i < side; ++i) next[i] = kB * square[i] + kC * next[i];
    gemm_f32({.rows = rows,
              .columns = columns,
              .depth = columns,
              .a = x.data(),
              .a_row_stride = columns,
              .a_k_stride = 1,
              .b = next.data(),
              .b_stride = columns,
              .c = moved.data(),
              .c_stride = columns});
    for (size_t i = 0; i < x.size(); ++i) x[i] = kA * x[i] + moved[i];
  }
};

}  // namespace

void orthogonalise(std::span<float> matrix, int64_t rows, int64_t columns) {
  double squares = 0.0;
  for (const float value : matrix) squares += static_cast<double>(value) * value;
  const auto inverse = static_cast<float>(1.0 / (std::sqrt(squares) + 1e-7));
  // Upright, so that the products are as small as they can be.
  const bool lies = rows < columns;
  const int64_t tall = std::max(rows, columns);
  const int64_t narrow = std::min(rows, columns);
  const auto place = [&](int64_t row, int64_t column) {
    return static_cast<size_t>(lies ? column * narrow + row : row * narrow + column);
  };
  std::vector<float> x(matrix.size());
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      x[place(row, column)] = matrix[static_cast<size_t>(row * columns + column)] * inverse;
    }
  }
  Iteration iteration;
  for (int i = 0; i < kIterations; ++i) iteration.run(x, tall, narrow);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      matrix[static_cast<size_t>(row * columns + column)] = x[place(row, column)];
    }
  }
}

void muon_step(ThreadPool& pool, const Weight& weight, std::span<float> values,
               std::span<const float> gradient, std::span<float> momentum, const MuonStep& step) {
  const int64_t columns = weight.in_dim();
  const int64_t rows = weight.out_dim() / weight.matrices();
  const auto count = static_cast<size_t>(rows * columns);
  const auto keep = static_cast<float>(1.0 - step.learning_rate * step.weight_decay);
  const auto mu = static_cast<float>(step.momentum);
  const auto rate = static_cast<float>(step.learning_rate * 0.2 *
                                       std::sqrt(static_cast<double>(std::max(rows, columns))));
  pool.parallel_for(weight.matrices(), 1, [&](int64_t begin, int64_t end) {
    std::vector<float> update(count);
    for (int64_t index = begin; index < end; ++index) {
      const size_t first = static_cast<size_t>(index) * count;
      for (size_t i = 0; i < count; ++i) {
        float& mean = momentum[first + i];
        mean = mu * mean + gradient[first + i];
        update[i] = gradient[first + i] + mu * mean;  // Nesterov's
      }
      orthogonalise(update, rows, columns);
      for (size_t i = 0; i < count; ++i) {
        values[first + i] = keep * values[first + i] - rate * update[i];
      }
    }
  });
}

}  // namespace minke
