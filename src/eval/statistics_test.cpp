#include "eval/statistics.h"

#include <gtest/gtest.h>

#include <vector>

namespace minke {
namespace {

TEST(PassAtK, IsUnbiased) {
  EXPECT_DOUBLE_EQ(pass_at_k(4, 1, 1), 0.25);
  EXPECT_DOUBLE_EQ(pass_at_k(4, 1, 4), 1);
  EXPECT_DOUBLE_EQ(pass_at_k(4, 0, 4), 0);
  EXPECT_DOUBLE_EQ(pass_at_k(4, 4, 2), 1);
  // 1 - C(7,2)/C(10,2) = 1 - 21/45
  EXPECT_NEAR(pass_at_k(10, 3, 2), 24.0 / 45, 1e-12);
  EXPECT_DOUBLE_EQ(pass_at_k(10, 9, 2), 1);
}

TEST(MeanShare, IsWilsonsIntervalForZerosAndOnes) {
  // 10 of 50: the published 95% interval.
  std::vector<double> values(50, 0.0);
  std::fill(values.begin(), values.begin() + 10, 1.0);
  const Share share = mean_share(values);
  EXPECT_DOUBLE_EQ(share.value, 0.2);
  EXPECT_NEAR(share.low, 0.112, 0.002);
  EXPECT_NEAR(share.high, 0.330, 0.002);
}

TEST(MeanShare, IsNeverSureOfAllOrNothing) {
  const Share none = mean_share(std::vector<double>(20, 0.0));
  EXPECT_EQ(none.value, 0);
  EXPECT_EQ(none.low, 0);
  EXPECT_NEAR(none.high, 0.161, 0.001);
  const Share all = mean_share(std::vector<double>(20, 1.0));
  EXPECT_EQ(all.high, 1);
  EXPECT_NEAR(all.low, 0.839, 0.001);
  const Share nothing = mean_share({});
  EXPECT_EQ(nothing.low, 0);
  EXPECT_EQ(nothing.high, 1);
}

TEST(MeanShare, ManySamplesOfAProblemNarrowIt) {
  // Problems that are alike, each half right, against problems that are all or nothing.
  std::vector<double> halves, extremes;
  for (int i = 0; i < 40; ++i) {
    halves.push_back(i % 2 ? 0.45 : 0.55);
    extremes.push_back(i % 2);
  }
  const Share narrow = mean_share(halves), wide = mean_share(extremes);
  EXPECT_LT(narrow.high - narrow.low, 0.5 * (wide.high - wide.low));
}

}  // namespace
}  // namespace minke
