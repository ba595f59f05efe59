#include "engine/step_cost.h"

#include <gtest/gtest.h>

namespace minke {
namespace {

TEST(StepCost, InterpolatesAndIsMonotoneByDefault) {
  const StepCost cost;
  EXPECT_EQ(cost.relative(1), 1.0);
  EXPECT_NEAR(cost.relative(6), (1.03 + 1.7) / 2, 1e-9);
  for (int64_t rows = 1; rows < 200; ++rows) {
    EXPECT_LE(cost.relative(rows), cost.relative(rows + 1)) << rows;
  }
  EXPECT_NEAR(cost.relative(128), 24.0, 1e-9);
}

TEST(StepCost, FollowsWhatStepsTake) {
  StepCost cost;
  cost.observe(4, 0.040);
  EXPECT_EQ(cost.relative(4), 1.03);  // nothing to relate it to yet
  cost.observe(1, 0.020);
  EXPECT_NEAR(cost.relative(4), 2.0, 1e-9);
  for (int i = 0; i < 100; ++i) cost.observe(4, 0.020);
  EXPECT_NEAR(cost.relative(4), 1.0, 0.01);
}

int64_t length(int64_t rows, double tokens, DraftOffer offer) {
  return best_draft_length(StepCost(), rows, tokens, offer).count;
}

TEST(DraftLength, FollowsCostAndAcceptance) {
  EXPECT_EQ(length(1, 1, {.acceptance = 0.02, .limit = 15}), 0);
  EXPECT_EQ(length(1, 1, {.acceptance = 0.5, .limit = 15}), 3);   // up to four rows are nearly free
  EXPECT_GE(length(1, 1, {.acceptance = 0.98, .limit = 15}), 7);  // quotation: as far as it goes
  EXPECT_EQ(length(1, 1, {.acceptance = 0.98, .limit = 2}), 2);   // but no further than allowed
  EXPECT_EQ(length(16, 16, {.acceptance = 0.3, .limit = 15}), 0);  // in a full batch each row costs
}

TEST(DraftLength, WhatAGuessCostsCounts) {
  // A step and a third for 1.3 or 1.7 tokens.
  EXPECT_EQ(length(1, 1, {.acceptance = 0.3, .cost_each = 0.33, .limit = 8}), 0);
  EXPECT_GE(length(1, 1, {.acceptance = 0.7, .cost_each = 0.33, .limit = 8}), 1);
  EXPECT_LT(length(1, 1, {.acceptance = 0.7, .cost_each = 0.33, .limit = 8}),
            length(1, 1, {.acceptance = 0.7, .cost_each = 0.03, .limit = 8}));
  const DraftLength best =
      best_draft_length(StepCost(), 1, 1, {.acceptance = 1.0, .cost_each = 0.5, .limit = 1});
  EXPECT_NEAR(best.gain, 2 / 1.5, 1e-9);
}

}  // namespace
}  // namespace minke
