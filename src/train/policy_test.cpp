// The formulas of the papers, term by term.
#include "train/policy.h"

#include <gtest/gtest.h>

#include <cmath>

namespace minke {
namespace {

// -d loss / d log p by differences, where log p moves the ratio and the reference's distance alike.
double pull_by_differences(const PolicyOptions& options, double delta, double advantage,
                           double logprob, double reference) {
  constexpr double kStep = 1e-6;
  const auto loss = [&](double moved) {
    return policy_term(options, delta + moved, advantage, logprob + moved, reference).loss;
  };
  return -(loss(kStep) - loss(-kStep)) / (2.0 * kStep);
}

TEST(Policy, PullIsTheLossesDerivative) {
  const PolicyOptions options = {.clip_low = 0.2, .clip_high = 0.28, .kl = 0.3};
  for (const double advantage : {-1.5, 0.7}) {
    for (const double delta : {-0.5, -0.1, 0.0, 0.1, 0.2, 0.4}) {
      for (const double reference : {-1.0, -2.0, -3.5}) {
        const PolicyTerm term = policy_term(options, delta, advantage, -2.0, reference);
        EXPECT_NEAR(term.pull, pull_by_differences(options, delta, advantage, -2.0, reference),
                    1e-6)
            << advantage << " " << delta << " " << reference;
      }
    }
  }
}

TEST(Policy, ClipsOnlyWhereTheRatioHasGoneTooFarItsWay) {
  const PolicyOptions options = {.clip_low = 0.2, .clip_high = 0.28};
  EXPECT_TRUE(policy_term(options, 0.3, 1.0, 0.0, 0.0).clipped);    // 1.35 > 1.28
  EXPECT_FALSE(policy_term(options, 0.2, 1.0, 0.0, 0.0).clipped);   // 1.22
  EXPECT_FALSE(policy_term(options, -0.5, 1.0, 0.0, 0.0).clipped);  // may come back
  EXPECT_TRUE(policy_term(options, -0.3, -1.0, 0.0, 0.0).clipped);  // 0.74 < 0.8
  EXPECT_FALSE(policy_term(options, 0.5, -1.0, 0.0, 0.0).clipped);  // may come back
  EXPECT_EQ(policy_term(options, 0.3, 1.0, 0.0, 0.0).pull, 0.0);
  EXPECT_DOUBLE_EQ(policy_term(options, 0.3, 1.0, 0.0, 0.0).loss, -1.28);
  // k3: exp(d) - d - 1.
  const PolicyOptions with = {.kl = 0.5};
  EXPECT_NEAR(policy_term(with, 0.0, 0.0, -2.0, -1.5).kl, std::exp(0.5) - 1.5, 1e-12);
}

TEST(Policy, AdvantagesAreOfTheGroup) {
  const std::vector<double> rewards = {1.0, 0.0, 0.0, 1.0};
  const std::vector<double> plain = group_advantages(rewards, false);
  EXPECT_EQ(plain, (std::vector<double>{0.5, -0.5, -0.5, 0.5}));
  const std::vector<double> divided = group_advantages(rewards, true);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(divided[i], plain[i] / 0.5, 1e-5);
  EXPECT_EQ(group_advantages(std::vector<double>{0.3, 0.3}, true), (std::vector<double>{0.0, 0.0}));
}

TEST(Policy, WeightsOfAStepAddUpToOne) {
  // Two answers of 3 and 5 tokens, of which 10 were allowed.
  const auto sum = [](const PolicyOptions& options) {
    return 3.0 * policy_weight(options, 3, 2, 8, 10) + 5.0 * policy_weight(options, 5, 2, 8, 10);
  };
  EXPECT_DOUBLE_EQ(sum(*PolicyOptions::named("grpo")), 1.0);
  EXPECT_DOUBLE_EQ(sum(*PolicyOptions::named("dapo")), 1.0);
  EXPECT_DOUBLE_EQ(sum(*PolicyOptions::named("gspo")), 1.0);
  EXPECT_DOUBLE_EQ(sum(*PolicyOptions::named("dr_grpo")), 8.0 / 20.0);
  // By answer a short one's token counts more; by token all count alike.
  EXPECT_GT(policy_weight(*PolicyOptions::named("grpo"), 3, 2, 8, 10),
            policy_weight(*PolicyOptions::named("grpo"), 5, 2, 8, 10));
  EXPECT_FALSE(PolicyOptions::named("ppo").has_value());
}

}  // namespace
}  // namespace minke
