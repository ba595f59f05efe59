#include "train/optimiser.h"

#include <cstring>
#include <limits>

#include "train/testing.h"

namespace minke {
namespace {

using testing::fill_weight;
using testing::spread;

class OptimiserTest : public ::testing::Test {
 protected:
  void SetUp() override {
    matrix_ = {.name = "m", .shape = {3, 5}};
    norm_ = {.name = "n", .shape = {7}};
    fill_weight(matrix_, 1, 1.0);
    fill_weight(norm_, 2, 1.0);
    ASSERT_TRUE(ops_->prepare(matrix_, true).has_value());
  }

  static void set_gradients(const Gradients& gradients, uint32_t stream, double scale) {
    for (const Gradients::Entry& entry : gradients.entries()) {
      for (uint32_t i = 0; i < entry.values().size(); ++i) {
        entry.values()[i] = static_cast<float>(spread(stream, i) * scale);
      }
      ++stream;
    }
  }

  std::unique_ptr<CpuOps> ops_ = testing::make_ops();
  Weight matrix_;
  Weight norm_;
};

// The algorithm as its paper has it, in double, one value at a time.
struct PaperAdamW {
  double m = 0.0;
  double v = 0.0;
  double w = 0.0;
  void step(double g, double rate, double decay, int t) {
    m = 0.8 * m + 0.2 * g;
    v = 0.95 * v + 0.05 * g * g;
    const double m_hat = m / (1.0 - std::pow(0.8, t));
    const double v_hat = v / (1.0 - std::pow(0.95, t));
    w -= rate * decay * w;
    w -= rate * m_hat / (std::sqrt(v_hat) + 1e-6);
  }
};

TEST_F(OptimiserTest, FollowsThePaper) {
  Weight* const weights[] = {&matrix_, &norm_};
  Gradients gradients(weights);
  Optimiser adamw(
      gradients, *ops_, ops_->pool(),
      {.beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-6, .weight_decay = 0.3, .clip_norm = 2.6});
  std::vector<std::vector<PaperAdamW>> paper;
  for (Weight* weight : weights) {
    auto& values = paper.emplace_back(weight->shape.count());
    for (size_t i = 0; i < values.size(); ++i) values[i].w = weight->f32()[i];
  }
  for (int t = 1; t <= 5; ++t) {
    const double rate = 0.01 * t;
    // The first gradients are too long and are clipped; the last are not.
    set_gradients(gradients, static_cast<uint32_t>(10 * t), 3.0 / t);
    double squares = 0.0;
    for (const auto& entry : gradients.entries()) {
      for (float g : entry.values()) squares += static_cast<double>(g) * g;
    }
    const double norm = std::sqrt(squares);
    EXPECT_EQ(norm > 2.6, t < 4) << norm;
    const Result<OptimiserReport> report = adamw.step(gradients, rate);
    ASSERT_TRUE(report.has_value());
    EXPECT_TRUE(report->applied);
    EXPECT_NEAR(report->gradient_norm, norm, 1e-9);
    for (size_t index = 0; index < 2; ++index) {
      for (size_t i = 0; i < paper[index].size(); ++i) {
        // A norm (one dimension) does not decay.
        paper[index][i].step(
            static_cast<double>(gradients.entries()[index].values()[i]) * std::min(1.0, 2.6 / norm),
            rate, index == 0 ? 0.3 : 0.0, t);
        EXPECT_NEAR(weights[index]->f32()[i], paper[index][i].w, 2e-6) << "step " << t;
      }
    }
  }
  EXPECT_EQ(adamw.steps(), 5);
}

TEST_F(OptimiserTest, TheForwardSeesTheNewWeights) {
  Weight* const weights[] = {&matrix_};
  Gradients gradients(weights);
  Optimiser adamw(gradients, *ops_, ops_->pool(), {.weight_decay = 0.0});
  set_gradients(gradients, 5, 1.0);
  ASSERT_TRUE(adamw.step(gradients, 0.5).has_value());
  // The identity reads the matrix back through its packed form.
  Tensor identity = ops_->empty({5, 5});
  for (size_t i = 0; i < 25; ++i) identity.values()[i] = i % 6 == 0 ? 1.0F : 0.0F;
  const Weight no_bias;
  const Tensor read = ops_->linear(identity, matrix_, no_bias);
  for (int64_t in = 0; in < 5; ++in) {
    for (int64_t out = 0; out < 3; ++out) {
      EXPECT_EQ(read.row(in)[out], matrix_.f32()[out * 5 + in]);
    }
  }
}

TEST_F(OptimiserTest, GradientsThatAreNotFiniteChangeNothing) {
  Weight* const weights[] = {&matrix_, &norm_};
  Gradients gradients(weights);
  Optimiser adamw(gradients, *ops_, ops_->pool(), {});
  const std::vector<float> before(matrix_.f32(), matrix_.f32() + 15);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    set_gradients(gradients, 5, 1.0);
    gradients.entries()[1].values()[6] = bad;
    const Result<OptimiserReport> report = adamw.step(gradients, 0.1);
    ASSERT_TRUE(report.has_value());
    EXPECT_FALSE(report->applied);
    EXPECT_EQ(std::memcmp(before.data(), matrix_.f32(), 15 * sizeof(float)), 0);
  }
  EXPECT_EQ(adamw.steps(), 0);
}

TEST(LearningRate, WarmsUpThenFallsAlongACosine) {
  const LearningRate rate = {
      .peak = 2.0, .final_share = 0.1, .warmup_steps = 4, .total_steps = 104};
  EXPECT_DOUBLE_EQ(rate.at(0), 0.5);
  EXPECT_DOUBLE_EQ(rate.at(3), 2.0);
  EXPECT_DOUBLE_EQ(rate.at(4), 2.0);
  EXPECT_NEAR(rate.at(54), 1.1, 1e-12);  // halfway between 2.0 and 0.2
  EXPECT_NEAR(rate.at(104), 0.2, 1e-12);
  EXPECT_NEAR(rate.at(100000), 0.2, 1e-12);
}

TEST(LearningRate, StaysAndThenFallsLinearly) {
  const LearningRate rate = {.peak = 2.0,
                             .final_share = 0.0,
                             .warmup_steps = 10,
                             .total_steps = 110,
                             .decay = Decay::kWsd,
                             .decay_share = 0.2};
  EXPECT_DOUBLE_EQ(rate.at(50), 2.0);
  EXPECT_DOUBLE_EQ(rate.at(89), 2.0);
  EXPECT_NEAR(rate.at(100), 1.0, 1e-12);
  EXPECT_NEAR(rate.at(110), 0.0, 1e-12);
}

}  // namespace
}  // namespace minke
