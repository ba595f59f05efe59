// Routes against hand-made cases: who is chosen, between equals too, and with what weights.
#include "ops/routing.h"

#include <gtest/gtest.h>

#include <cmath>

namespace minke {
namespace {

TEST(Routing, SoftmaxTakesTheLargestAndKeepsTheirShares) {
  const std::vector<float> logits = {0.0F, 2.0F, 1.0F, -1.0F};
  const Routes routes = route(logits, {}, {.experts = 4, .used = 2});
  EXPECT_EQ(routes.experts, (std::vector<int32_t>{1, 2}));
  const double sum = std::exp(0.0) + std::exp(2.0) + std::exp(1.0) + std::exp(-1.0);
  EXPECT_NEAR(routes.weights[0], std::exp(2.0) / sum, 1e-6);
  EXPECT_NEAR(routes.weights[1], std::exp(1.0) / sum, 1e-6);
}

TEST(Routing, NormalisedWeightsAddUpToTheScale) {
  const std::vector<float> logits = {0.3F, -0.2F, 0.9F, 0.1F, 0.4F, 0.5F, -3.0F, 0.0F};
  const Routes routes = route(
      logits, {},
      {.experts = 4, .used = 3, .score = ExpertScore::kSigmoid, .normalise = true, .scale = 2.5F});
  ASSERT_EQ(routes.weights.size(), 6u);  // of two tokens
  EXPECT_NEAR(routes.weights[0] + routes.weights[1] + routes.weights[2], 2.5F, 1e-5F);
  EXPECT_NEAR(routes.weights[3] + routes.weights[4] + routes.weights[5], 2.5F, 1e-5F);
}

TEST(Routing, BetweenEqualsTheFirstWins) {
  const std::vector<float> logits(6, 1.0F);
  const Routes routes = route(logits, {}, {.experts = 6, .used = 2});
  EXPECT_EQ(routes.experts, (std::vector<int32_t>{0, 1}));
}

TEST(Routing, ABiasChoosesAndDoesNotWeigh) {
  const std::vector<float> logits = {1.0F, 0.0F};
  const std::vector<float> bias = {0.0F, 1.0F};
  const Routes routes =
      route(logits, bias, {.experts = 2, .used = 1, .score = ExpertScore::kSigmoid});
  EXPECT_EQ(routes.experts, (std::vector<int32_t>{1}));
  EXPECT_NEAR(routes.weights[0], 0.5F, 1e-6F);
}

// The best expert of all stands in a group whose second is poor.
TEST(Routing, GroupsGoByTheirTwoBestInV3AndByTheirBestInV2) {
  const std::vector<float> logits = {3.0F, -5.0F, 2.0F, 2.0F};
  RouteSpec spec = {.experts = 4, .used = 1, .groups = 2, .groups_used = 1};
  EXPECT_EQ(route(logits, {}, spec).experts, (std::vector<int32_t>{0}));
  spec.score = ExpertScore::kSigmoid;
  EXPECT_EQ(route(logits, {}, spec).experts, (std::vector<int32_t>{2}));
}

// Scores plus bias below zero still stand before experts of groups that were not chosen.
TEST(Routing, GroupsThatWereNotChosenStayOutBelowZero) {
  const std::vector<float> logits = {-2.0F, -2.0F, -2.0F, -2.0F};
  const std::vector<float> bias = {-1.0F, -1.5F, -3.0F, -3.0F};
  const RouteSpec spec = {
      .experts = 4, .used = 2, .groups = 2, .groups_used = 1, .score = ExpertScore::kSigmoid};
  EXPECT_EQ(route(logits, bias, spec).experts, (std::vector<int32_t>{0, 1}));
}

TEST(Routing, NoNumberIsNoCrash) {
  const std::vector<float> logits = {std::nanf(""), 1.0F, std::nanf(""), 0.0F};
  const RouteSpec spec = {.experts = 4, .used = 2, .groups = 2, .groups_used = 1};
  EXPECT_EQ(route(logits, {}, spec).experts.size(), 2u);
}

}  // namespace
}  // namespace minke
