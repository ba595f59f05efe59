#include "engine/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <string_view>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/logits.h"

namespace minke {
namespace {

using ::testing::HasSubstr;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

SamplerOptions plain(double temperature) {
  return {.temperature = temperature, .top_k = 0, .top_p = 1.0, .min_p = 0.0};
}

std::vector<float> random_logits(size_t count, unsigned seed, float spread = 3.0F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

int32_t sample_at(Sampler& sampler, std::vector<float>& logits, int64_t position,
                  const SamplerOptions& options) {
  const std::vector<int32_t> history(static_cast<size_t>(position), 0);
  return sampler.sample(logits, history, options).value();
}

// The definition in sampler.h, in doubles and without short cuts: the chance of each token.
std::vector<double> reference(const std::vector<float>& logits, const SamplerOptions& options) {
  struct Token {
    double weight;
    float logit;
    size_t id;
  };
  const float largest = *std::ranges::max_element(logits);
  std::vector<Token> tokens;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double x =
        (static_cast<double>(logits[i]) - static_cast<double>(largest)) / options.temperature;
    tokens.push_back({x < -32 ? 0 : std::exp(x), logits[i], i});
  }
  std::ranges::stable_sort(tokens,
                           [](const Token& a, const Token& b) { return a.logit > b.logit; });
  if (options.top_k > 0 && options.top_k < std::ssize(tokens)) {
    tokens.resize(static_cast<size_t>(options.top_k));
  }
  const auto sum = [&] {
    double total = 0;
    for (const Token& token : tokens) total += token.weight;
    return total;
  };
  if (options.top_p < 1) {
    const double wanted = options.top_p * sum();
    double mass = 0;
    size_t kept = 0;
    while (kept < tokens.size() && (kept == 0 || mass < wanted)) mass += tokens[kept++].weight;
    tokens.resize(kept);
  }
  std::erase_if(tokens, [&](const Token& token) { return token.weight < options.min_p; });
  std::vector<double> chances(logits.size(), 0);
  const double total = sum();
  for (const Token& token : tokens) chances[token.id] = token.weight / total;
  return chances;
}

// Chi-square over the tokens that are expected at least five times; the others share one cell.
void expect_distribution(std::vector<float> logits, const SamplerOptions& options) {
  constexpr int kDraws = 5'000;
  Sampler sampler;
  std::vector<int> counts(logits.size(), 0);
  std::vector<int32_t> history;
  for (int i = 0; i < kDraws; ++i) {
    ++counts[static_cast<size_t>(sampler.sample(logits, history, options).value())];
    history.push_back(0);
  }
  const std::vector<double> chances = reference(logits, options);
  double chi_square = 0;
  double rest_expected = 0;
  double rest_seen = 0;
  int cells = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const double expected = chances[i] * kDraws;
    if (expected == 0) {
      EXPECT_EQ(counts[i], 0) << "token " << i << " was cut off";
    }
    if (expected < 5) {
      rest_expected += expected;
      rest_seen += counts[i];
      continue;
    }
    ++cells;
    chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  if (rest_expected >= 5) {
    ++cells;
    chi_square += (rest_seen - rest_expected) * (rest_seen - rest_expected) / rest_expected;
  }
  // The seed is fixed, so this holds or it does not: no flakiness at 4.5 sigma.
  const double freedom = std::max(cells - 1, 1);
  EXPECT_LT(chi_square, freedom + 4.5 * std::sqrt(2 * freedom) + 3)
      << cells << " cells, temperature " << options.temperature;
}

TEST(Sampler, GreedyTakesTheLowestOfEqualIds) {
  Sampler sampler;
  std::vector<float> logits(1000, 0.0F);
  logits[137] = logits[500] = logits[731] = 4.0F;
  EXPECT_EQ(sample_at(sampler, logits, 0, plain(0)), 137);
  logits[999] = 5.0F;
  EXPECT_EQ(sample_at(sampler, logits, 0, plain(0)), 999);
}

TEST(Sampler, EveryVocabularySize) {
  Sampler sampler;
  for (size_t count = 1; count < 200; ++count) {
    std::vector<float> logits = random_logits(count, static_cast<unsigned>(count));
    const auto best = std::ranges::max_element(logits) - logits.begin();
    EXPECT_EQ(sample_at(sampler, logits, 3, plain(0)), best);
    for (const double top_p : {1.0, 0.9}) {
      SamplerOptions options = plain(1.0);
      options.top_p = top_p;
      const int32_t token = sample_at(sampler, logits, 3, options);
      EXPECT_GE(token, 0);
      EXPECT_LT(static_cast<size_t>(token), count);
    }
  }
}

TEST(Sampler, FollowsTheSoftmax) {
  for (const double temperature : {0.3, 0.6, 1.0, 2.0}) {
    expect_distribution(random_logits(50, 1, 1.5F), plain(temperature));
    expect_distribution(random_logits(3000, 2, 2.0F), plain(temperature));
  }
}

TEST(Sampler, FollowsItsDefinitionUnderEveryCut) {
  for (const double temperature : {0.6, 1.0, 3.0}) {
    for (const int64_t top_k : {0, 5, 700}) {
      for (const double top_p : {1.0, 0.95, 0.3}) {
        for (const double min_p : {0.0, 0.05}) {
          SamplerOptions options = plain(temperature);
          options.top_k = top_k;
          options.top_p = top_p;
          options.min_p = min_p;
          expect_distribution(random_logits(1000, 7, 2.0F), options);
        }
      }
    }
  }
}

TEST(Sampler, TiesAtABorderGoToLowerIds) {
  std::vector<float> logits(300, 1.0F);
  SamplerOptions options = plain(1.0);
  options.top_k = 3;
  expect_distribution(logits, options);
  options.top_k = 0;
  options.top_p = 0.1;
  expect_distribution(logits, options);
}

TEST(Sampler, IsAFunctionOfSeedStreamAndPosition) {
  Sampler one;
  Sampler other;
  std::vector<float> logits = random_logits(5000, 3);
  SamplerOptions options = plain(1.0);
  options.top_p = 0.95;
  options.seed = 42;
  std::vector<int32_t> forward;
  for (int64_t position = 0; position < 50; ++position) {
    forward.push_back(sample_at(one, logits, position, options));
  }
  for (int64_t position = 49; position >= 0; --position) {
    EXPECT_EQ(sample_at(other, logits, position, options), forward[static_cast<size_t>(position)]);
  }
  const auto differs = [&](const SamplerOptions& changed) {
    int differences = 0;
    for (int64_t position = 0; position < 50; ++position) {
      differences +=
          sample_at(one, logits, position, changed) != forward[static_cast<size_t>(position)];
    }
    return differences;
  };
  SamplerOptions changed = options;
  changed.seed = 43;
  EXPECT_GT(differs(changed), 25);
  changed = options;
  changed.stream = 1;
  EXPECT_GT(differs(changed), 25);
}

TEST(Sampler, PenaltiesCountWithinTheirWindowAndLeaveNoTrace) {
  Sampler sampler;
  std::vector<float> logits = {2.0F, 1.9F, -1.0F, 1.5F};
  const std::vector<float> before = logits;
  SamplerOptions options = plain(0);
  const auto pick = [&](const std::vector<int32_t>& history) {
    return sampler.sample(logits, history, options).value();
  };
  options.repeat_penalty = 1.2;
  EXPECT_EQ(pick({0}), 1);     // 2.0 / 1.2 < 1.9
  EXPECT_EQ(pick({0, 1}), 0);  // both divided
  EXPECT_EQ(pick({}), 0);
  options.repeat_window = 1;
  EXPECT_EQ(pick({0, 1}), 0);  // token 0 is out of sight
  options.repeat_window = 64;
  options.repeat_penalty = 1.0;
  options.presence_penalty = 0.2;
  EXPECT_EQ(pick({0}), 1);
  options.presence_penalty = 0;
  options.frequency_penalty = 0.06;
  EXPECT_EQ(pick({0}), 0);
  EXPECT_EQ(pick({0, 0}), 1);
  EXPECT_EQ(logits, before);
}

TEST(Sampler, RefusesWhatIsNoNumberAndSaysWhere) {
  Sampler sampler;
  std::vector<float> logits = random_logits(200, 4);
  logits[150] = std::nanf("");
  const Result<int32_t> nan = sampler.sample(logits, {}, plain(1.0));
  ASSERT_FALSE(nan);
  EXPECT_THAT(nan.error().message, HasSubstr("token 150 is nan"));
  EXPECT_FALSE(sampler.sample(logits, {}, plain(0)));
  EXPECT_FALSE(sampler.log_sum_exp(logits));
  logits[150] = kInfinity;
  EXPECT_FALSE(sampler.sample(logits, {}, plain(1.0)));
  std::ranges::fill(logits, -kInfinity);
  EXPECT_FALSE(sampler.sample(logits, {}, plain(1.0)));
  logits[77] = -4.0F;
  for (const double temperature : {0.0, 1.0}) {
    SamplerOptions options = plain(temperature);
    EXPECT_EQ(sample_at(sampler, logits, 1, options), 77);
    options.top_k = 5;
    EXPECT_EQ(sample_at(sampler, logits, 1, options), 77);
    options.top_k = 0;
    options.top_p = 0.9;
    EXPECT_EQ(sample_at(sampler, logits, 1, options), 77);
  }
}

TEST(Sampler, SurvivesExtremeOptionsAndLogits) {
  Sampler sampler;
  std::vector<float> logits = {3.0e38F, -3.0e38F, 1.0F, 2.9e38F};
  for (const double temperature : {0.0, 1e-9, 1e-3, 0.5, 100.0}) {
    for (const double top_p : {0.0, 0.5, 1.0}) {
      for (const double min_p : {0.0, 1.0}) {
        SamplerOptions options = plain(temperature);
        options.top_p = top_p;
        options.min_p = min_p;
        EXPECT_EQ(sample_at(sampler, logits, 0, options), 0);
      }
    }
  }
}

TEST(Sampler, LogprobsAreTheLogSoftmax) {
  Sampler sampler;
  for (const size_t count : {1, 63, 64, 65, 5000, 151'936}) {
    const std::vector<float> logits = random_logits(count, static_cast<unsigned>(count));
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
    EXPECT_NEAR(sampler.log_sum_exp(logits).value(), std::log(sum), 3e-7) << count;
  }
}

TEST(Sampler, TopIsSortedAndComplete) {
  Sampler sampler;
  std::vector<float> logits = random_logits(10'000, 5);
  logits[17] = logits[9000] = 20.0F;
  const double log_sum = sampler.log_sum_exp(logits).value();
  const std::vector<TokenLogprob> top = sampler.top(logits, log_sum, 20);
  ASSERT_EQ(top.size(), 20u);
  EXPECT_EQ(top[0].token, 17);
  EXPECT_EQ(top[1].token, 9000);
  std::vector<float> sorted = logits;
  std::ranges::sort(sorted, std::greater());
  for (size_t i = 0; i < top.size(); ++i) {
    EXPECT_EQ(top[i].logprob, static_cast<double>(sorted[i]) - log_sum);
  }
  EXPECT_EQ(sampler.top(std::vector<float>{1, 2}, 0, 20).size(), 2u);
}

TEST(LogitKernels, EveryInstructionSetGivesTheSameBits) {
  constexpr int64_t kBlocks = 300;
  std::vector<const LogitKernels*> sets;
  for (const Kernels* set : available_kernels()) sets.push_back(set->logits);
  std::vector<float> logits = random_logits(kBlocks * kLogitBlock, 6, 9.0F);
  logits[100] = -kInfinity;
  const float largest = *std::ranges::max_element(logits);
  std::vector<float> block_largest(kBlocks);
  std::vector<float> weights(logits.size());
  std::vector<double> sums(kBlocks);
  for (size_t set = 0; set < sets.size(); ++set) {
    std::vector<float> other_largest(kBlocks);
    std::vector<float> other_weights(logits.size());
    std::vector<double> other_sums(kBlocks);
    EXPECT_TRUE(sets[set]->scan(logits.data(), kBlocks, other_largest.data()));
    sets[set]->weigh(logits.data(), kBlocks, largest, 1.7F, other_weights.data());
    sets[set]->weigh_blocks(logits.data(), kBlocks, other_largest.data(), largest, 1.7F,
                            other_sums.data());
    if (set == 0) {
      block_largest = other_largest;
      weights = other_weights;
      sums = other_sums;
      for (size_t i = 0; i < logits.size(); ++i) {
        const double x = (static_cast<double>(logits[i]) - static_cast<double>(largest)) * 1.7;
        const double want = x < -32 ? 0 : std::exp(x);
        ASSERT_NEAR(weights[i], want, 4e-6 * want) << "logit " << logits[i];
      }
    }
    EXPECT_EQ(block_largest, other_largest);
    EXPECT_EQ(std::memcmp(weights.data(), other_weights.data(), weights.size() * 4), 0);
    EXPECT_EQ(std::memcmp(sums.data(), other_sums.data(), sums.size() * 8), 0);
  }
}

TEST(CheckSampling, NamesTheOptionAndItsRange) {
  const auto message = [](auto change) {
    SamplingOptions options;
    change(options);
    const Status status = check_sampling(options);
    return status ? std::string() : status.error().message;
  };
  EXPECT_EQ(message([](auto&) {}), "");
  EXPECT_EQ(message([](auto& o) { o.temperature = -1; }),
            "temperature must be in [0, 100], got -1");
  EXPECT_THAT(message([](auto& o) { o.top_p = std::nan(""); }), HasSubstr("top_p must be"));
  EXPECT_THAT(message([](auto& o) { o.min_p = 1.5; }), HasSubstr("min_p must be in [0, 1]"));
  EXPECT_THAT(message([](auto& o) { o.top_k = -1; }), HasSubstr("top_k must be at least 0"));
  EXPECT_THAT(message([](auto& o) { o.repeat_penalty = 0; }), HasSubstr("repeat_penalty"));
  EXPECT_THAT(message([](auto& o) { o.tokens_max = -2; }), HasSubstr("tokens_max"));
  EXPECT_THAT(message([](auto& o) { o.stop = {""}; }), HasSubstr("empty"));
  EXPECT_THAT(message([](auto& o) { o.stop.assign(65, "x"); }), HasSubstr("at most 64"));
}

}  // namespace
}  // namespace minke
