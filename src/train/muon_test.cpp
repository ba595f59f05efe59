// What Muon does to a matrix: its directions stay, their sizes become alike.
#include "train/muon.h"

#include <cmath>

#include "train/testing.h"

namespace minke {
namespace {

// Σ over i of size_i · u_i v_iᵀ with orthonormal u and v (columns of the identity, turned).
std::vector<float> matrix_of(int64_t rows, int64_t columns, const std::vector<double>& sizes) {
  std::vector<float> values(static_cast<size_t>(rows * columns), 0.0F);
  for (size_t i = 0; i < sizes.size(); ++i) {
    // u_i = (e_2i + e_2i+1) / √2, v_i = (e_2i - e_2i+1) / √2.
    for (const int64_t row : {2 * static_cast<int64_t>(i), 2 * static_cast<int64_t>(i) + 1}) {
      for (const int64_t column : {2 * static_cast<int64_t>(i), 2 * static_cast<int64_t>(i) + 1}) {
        const double sign = column % 2 == 0 ? 0.5 : -0.5;
        values[static_cast<size_t>(row * columns + column)] = static_cast<float>(sizes[i] * sign);
      }
    }
  }
  return values;
}

TEST(Muon, BringsSingularValuesNearOne) {
  const std::vector<double> sizes = {9.0, 2.0, 0.7, 0.5};
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{8, 12}, {12, 8}, {8, 8}}) {
    std::vector<float> values = matrix_of(rows, columns, sizes);
    orthogonalise(values, rows, columns);
    for (size_t i = 0; i < sizes.size(); ++i) {
      // The matrix is still of those vectors, so one element tells the size of each.
      const auto at = static_cast<size_t>(2 * static_cast<int64_t>(i) * columns) + 2 * i;
      EXPECT_GT(2.0F * values[at], 0.6F) << rows << "x" << columns << " " << i;
      EXPECT_LT(2.0F * values[at], 1.3F) << rows << "x" << columns << " " << i;
    }
    const std::vector<float> original = matrix_of(rows, columns, sizes);
    for (size_t at = 0; at < values.size(); ++at) {
      const bool was_zero = original[at] == 0.0F;
      EXPECT_TRUE(!was_zero || std::abs(values[at]) < 1e-5F) << at << " " << values[at];
    }
  }
}

TEST(Muon, MovesEachMatrixOfAStackForItself) {
  auto ops = testing::make_ops();
  Weight stack = {.name = "w", .shape = {3, 8, 12}};
  Weight single = {.name = "w", .shape = {8, 12}};
  testing::fill_weight(stack, 1, 1.0);
  testing::fill_weight(single, 1, 1.0);
  const auto count = static_cast<size_t>(single.shape.count());
  const std::vector<float> before(stack.f32(), stack.f32() + 3 * count);
  std::vector<float> gradient(3 * count);
  for (uint32_t i = 0; i < gradient.size(); ++i) {
    gradient[i] = static_cast<float>(testing::spread(5, i));
  }
  std::vector<float> momentum(3 * count, 0.0F);
  std::vector<float> alone(count, 0.0F);
  const MuonStep step = {.momentum = 0.9, .learning_rate = 0.1, .weight_decay = 0.2};
  const std::span<float> values(stack.mutable_f32(), 3 * count);
  muon_step(ops->pool(), stack, values, gradient, momentum, step);
  for (size_t index = 0; index < 3; ++index) {
    std::ranges::copy(std::span(before).subspan(index * count, count), single.mutable_f32());
    std::ranges::fill(alone, 0.0F);
    muon_step(ops->pool(), single, {single.mutable_f32(), count},
              std::span(gradient).subspan(index * count, count), alone, step);
    EXPECT_TRUE(std::ranges::equal(std::span(single.f32(), count),
                                   std::span(stack.f32(), 3 * count).subspan(index * count, count)))
        << index;
  }
}

}  // namespace
}  // namespace minke
