// Learning from a teacher's likelihoods: the loss against its definition in double, its gradient
// against differences, and a student that comes to its teacher.
#include <gtest/gtest.h>

#include <cmath>

#include "train/supervised.h"
#include "train/testing.h"

namespace minke {
namespace {

using testing::make_ops;
using testing::spread;
using testing::spread_tensor;

// The definition, in double and from nothing but logits.
double divergence(const std::vector<double>& student, std::span<const int32_t> tokens,
                  std::span<const double> probabilities, double temperature) {
  double sum = 0.0;
  for (const double logit : student) sum += std::exp(logit / temperature);
  double result = 0.0, p_rest = 1.0, q_rest = 1.0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const double q = std::exp(student[static_cast<size_t>(tokens[i])] / temperature) / sum;
    result += probabilities[i] * std::log(probabilities[i] / q);
    p_rest -= probabilities[i];
    q_rest -= q;
  }
  return tokens.size() < student.size() ? result + p_rest * std::log(p_rest / q_rest) : result;
}

TEST(Likeliest, AreTheLargestWithTheirProbabilities) {
  const auto ops = make_ops();
  const BackwardContext context{*ops, ops->pool()};
  Tensor logits = ops->empty({2, 5});
  const float values[] = {0, 3, 1, 3, 9, -1, 0, 2, 1, 9};
  std::copy(std::begin(values), std::end(values), logits.values().begin());
  // The fifth column is no token of both.
  const auto top = likeliest_tokens(context, logits, 2, 2.0, 4);
  ASSERT_TRUE(top) << top.error().message;
  EXPECT_EQ(top->tokens, (std::vector<int32_t>{1, 3, 2, 3}));
  const double sum = std::exp(0) + 2 * std::exp(1.5) + std::exp(0.5);
  EXPECT_NEAR(top->probabilities[0], std::exp(1.5) / sum, 1e-7);
  EXPECT_EQ(top->probabilities[0], top->probabilities[1]);
  // More than there are.
  EXPECT_EQ(likeliest_tokens(context, logits, 64, 1.0, 4)->k, 4);
}

TEST(DistillationLoss, IsItsDefinitionAndItsGradientTheDifferences) {
  const auto ops = make_ops();
  const BackwardContext context{*ops, ops->pool()};
  constexpr int64_t kRows = 4, kVocabulary = 23;
  Tensor logits = spread_tensor(*ops, {kRows, kVocabulary}, 1, 3.0);
  const Tensor teacher_logits = spread_tensor(*ops, {kRows, kVocabulary}, 2, 4.0);
  const std::vector<int32_t> targets = {3, kIgnoreTarget, 22, 0};
  constexpr float kWeight = 0.25F;
  for (const int64_t k : {1, 5, 23}) {
    for (const double temperature : {1.0, 2.5}) {
      for (const double text_weight : {0.0, 0.3, 1.0}) {
        const auto top = likeliest_tokens(context, teacher_logits, k, temperature, kVocabulary);
        ASSERT_TRUE(top);
        const auto definition = [&](int64_t changed_row, int64_t changed_column, double by) {
          double loss = 0.0;
          for (int64_t row = 0; row < kRows; ++row) {
            const auto index = static_cast<size_t>(row);
            if (targets[index] == kIgnoreTarget) continue;
            std::vector<double> values(logits.row(row), logits.row(row) + kVocabulary);
            if (row == changed_row) values[static_cast<size_t>(changed_column)] += by;
            const auto begin = index * static_cast<size_t>(k);
            const auto count = static_cast<size_t>(k);
            const double kl =
                divergence(values, std::span(top->tokens).subspan(begin, count),
                           std::span(top->probabilities).subspan(begin, count), temperature);
            double sum = 0.0;
            for (const double value : values) sum += std::exp(value);
            const double logprob = values[static_cast<size_t>(targets[index])] - std::log(sum);
            loss += kWeight * ((1.0 - text_weight) * kl - text_weight * logprob);
          }
          return loss;
        };
        const auto loss =
            distillation_loss(context, logits, targets, *top, kWeight,
                              {.temperature = temperature, .text_weight = text_weight});
        ASSERT_TRUE(loss) << loss.error().message;
        EXPECT_NEAR(loss->tokens.loss, definition(-1, 0, 0.0), 1e-5) << k << " " << temperature;
        for (int64_t row = 0; row < kRows; ++row) {
          for (int64_t column = 0; column < kVocabulary; ++column) {
            const double difference =
                testing::derivative([&](double by) { return definition(row, column, by); }, 1e-3);
            EXPECT_NEAR(loss->tokens.dlogits.row(row)[column], difference, 2e-6)
                << k << " " << temperature << " " << text_weight << " at " << row << ", " << column;
          }
        }
      }
    }
  }
}

TEST(DistillationLoss, IsNothingBetweenEquals) {
  const auto ops = make_ops();
  const BackwardContext context{*ops, ops->pool()};
  const Tensor logits = spread_tensor(*ops, {3, 40}, 5, 6.0);
  const std::vector<int32_t> targets = {1, 2, 3};
  const auto top = likeliest_tokens(context, logits, 8, 1.0, 40);
  const auto loss = distillation_loss(context, logits, targets, *top, 1.0F, {});
  ASSERT_TRUE(loss);
  EXPECT_NEAR(loss->divergence, 0.0, 1e-5);
  for (const float value : loss->tokens.dlogits.values()) EXPECT_NEAR(value, 0.0F, 1e-6F);
}

}  // namespace
}  // namespace minke
