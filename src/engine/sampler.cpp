#include "engine/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "core/check.h"
#include "core/random.h"

namespace minke {
namespace {

constexpr auto kBlock = static_cast<size_t>(kLogitBlock);
constexpr double kGreedyBelow = 1e-3;    // temperatures below are 0: the weights would be, too
constexpr size_t kSortedOutright = 256;  // so few candidates are sorted, more go through buckets
constexpr double kTemperatureMax = 100.0;
constexpr int64_t kLogprobsMax = 10'000;
constexpr size_t kStopStringsMax = 64;
constexpr size_t kStopBytesMax = 4096;

// The sampler's random numbers are a stream of their own, apart from any other use of a seed.
constexpr uint64_t kSamplingStream = 0x73616d706c650000u;

}  // namespace

SamplerOptions SamplerOptions::from(const SamplingOptions& options, uint64_t seed) {
  return {.temperature = options.temperature,
          .top_k = options.top_k,
          .top_p = options.top_p,
          .min_p = options.min_p,
          .repeat_penalty = options.repeat_penalty,
          .presence_penalty = options.presence_penalty,
          .frequency_penalty = options.frequency_penalty,
          .repeat_window = options.repeat_window,
          .seed = seed,
          .stream = 0};
}

Status check_sampling(const SamplingOptions& options) {
  const auto range = [](const char* name, double value, double low, double high) -> Status {
    if (value >= low && value <= high) return {};  // false for NaN
    return misuse(fmt::format("{} must be in [{:g}, {:g}], got {:g}", name, low, high, value));
  };
  MINKE_TRY(range("temperature", options.temperature, 0, kTemperatureMax));
  MINKE_TRY(range("top_p", options.top_p, 0, 1));
  MINKE_TRY(range("min_p", options.min_p, 0, 1));
  MINKE_TRY(range("repeat_penalty", options.repeat_penalty, 0.01, 100));
  MINKE_TRY(range("presence_penalty", options.presence_penalty, -100, 100));
  MINKE_TRY(range("frequency_penalty", options.frequency_penalty, -100, 100));
  const auto at_least = [](const char* name, int64_t value, int64_t low) -> Status {
    if (value >= low) return {};
    return misuse(fmt::format("{} must be at least {}, got {}", name, low, value));
  };
  MINKE_TRY(at_least("top_k", options.top_k, 0));
  MINKE_TRY(at_least("repeat_window", options.repeat_window, -1));
  MINKE_TRY(at_least("tokens_max", options.tokens_max, -1));
  MINKE_TRY(at_least("think_budget", options.think_budget, -1));
  MINKE_TRY(at_least("logprobs_top", options.logprobs_top, -1));
  if (options.logprobs_top > kLogprobsMax) {
    return misuse(
        fmt::format("logprobs_top must be at most {}, got {}", kLogprobsMax, options.logprobs_top));
  }
  if (options.stop.size() > kStopStringsMax) {
    return misuse(
        fmt::format("at most {} stop strings, got {}", kStopStringsMax, options.stop.size()));
  }
  for (const std::string& stop : options.stop) {
    if (stop.empty()) return misuse("a stop string is empty: it would stop every answer at once");
    if (stop.size() > kStopBytesMax) {
      return misuse(fmt::format("a stop string has {} bytes, at most {} are allowed", stop.size(),
                                kStopBytesMax));
    }
  }
  return {};
}

// Calls pass(first block, how many, logits): once for all whole blocks, where they lie, and once
// for a last block that is filled up with -infinity.
template <typename Pass>
void Sampler::in_blocks(std::span<const float> logits, Pass pass) {
  const size_t whole = logits.size() / kBlock;
  if (whole > 0) pass(size_t{0}, static_cast<int64_t>(whole), logits.data());
  const size_t rest = logits.size() - whole * kBlock;
  if (rest == 0) return;
  std::array<float, kBlock> padded;
  padded.fill(-std::numeric_limits<float>::infinity());
  std::copy_n(logits.data() + whole * kBlock, rest, padded.data());
  pass(whole, int64_t{1}, padded.data());
}

Result<float> Sampler::scan(std::span<const float> logits) {
  CHECK(!logits.empty());
  block_largest_.resize((logits.size() + kBlock - 1) / kBlock);
  bool valid = true;
  in_blocks(logits, [&](size_t first, int64_t blocks, const float* values) {
    valid &= kernels_.scan(values, blocks, block_largest_.data() + first);
  });
  const float largest = valid ? *std::ranges::max_element(block_largest_) : 0;
  if (valid && largest > -std::numeric_limits<float>::infinity()) return largest;
  if (valid) {
    return fail(
        "the model's logits are all -infinity: no token can follow. Its weights are damaged, "
        "or this model needs something that minke does not compute");
  }
  const auto bad = std::ranges::find_if(
      logits, [](float x) { return !(x <= std::numeric_limits<float>::max()); });
  return fail(
      fmt::format("the model's logit for token {} is {}, not a number that can be compared. "
                  "Its weights are damaged, or they overflow on this input",
                  bad - logits.begin(), *bad));
}

double Sampler::weigh_all(std::span<const float> logits, float largest, float inverse_temperature) {
  block_weight_.resize(block_largest_.size());
  in_blocks(logits, [&](size_t first, int64_t blocks, const float* values) {
    kernels_.weigh_blocks(values, blocks, block_largest_.data() + first, largest,
                          inverse_temperature, block_weight_.data() + first);
  });
  double total = 0;
  for (const double weight : block_weight_) total += weight;
  return total;
}

int32_t Sampler::draw_from_all(std::span<const float> logits, float largest,
                               float inverse_temperature, double total, double chance) {
  double left = chance * total;
  size_t block = 0;
  size_t last_with_weight = 0;
  for (; block < block_weight_.size(); ++block) {
    if (block_weight_[block] == 0) continue;
    last_with_weight = block;
    if (left < block_weight_[block]) break;
    left -= block_weight_[block];
  }
  if (block == block_weight_.size()) block = last_with_weight;
  // The block's tokens one by one. Rounding may leave a crumb behind the last one, which gets it.
  const size_t begin = block * kBlock;
  std::array<float, kBlock> weights{};
  in_blocks(logits.subspan(begin, std::min(kBlock, logits.size() - begin)),
            [&](size_t, int64_t, const float* values) {
              kernels_.weigh(values, 1, largest, inverse_temperature, weights.data());
            });
  int32_t token = -1;
  for (size_t i = 0; i < kBlock; ++i) {
    const auto weight = static_cast<double>(weights[i]);
    if (weight == 0) continue;
    token = static_cast<int32_t>(begin + i);
    if (left < weight) break;
    left -= weight;
  }
  CHECK_GE(token, 0);
  return token;
}

void Sampler::gather_top_k(std::span<const float> logits, int64_t count) {
  // A heap with the worst of the kept on top: the smallest logit, of equals the highest id.
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  };
  candidates_.clear();
  const auto kept = static_cast<size_t>(std::min<int64_t>(count, std::ssize(logits)));
  for (size_t block = 0; block < block_largest_.size(); ++block) {
    // Ids ascend, so an equal logit never displaces one that is kept.
    if (candidates_.size() == kept && !(block_largest_[block] > candidates_.front().logit))
      continue;
    const size_t end = std::min(logits.size(), (block + 1) * kBlock);
    for (size_t i = block * kBlock; i < end; ++i) {
      if (candidates_.size() < kept) {
        candidates_.push_back({logits[i], static_cast<int32_t>(i)});
        std::ranges::push_heap(candidates_, better);
      } else if (logits[i] > candidates_.front().logit) {
        std::ranges::pop_heap(candidates_, better);
        candidates_.back() = {logits[i], static_cast<int32_t>(i)};
        std::ranges::push_heap(candidates_, better);
      }
    }
  }
}

void Sampler::gather_above(std::span<const float> logits, float threshold) {
  candidates_.clear();
  for (size_t block = 0; block < block_largest_.size(); ++block) {
    if (block_largest_[block] < threshold) continue;
    const size_t begin = block * kBlock;
    const size_t end = std::min(logits.size(), begin + kBlock);
    // Each is written, and stays when it counts: no branch that is guessed wrong.
    size_t size = candidates_.size();
    candidates_.resize(size + kBlock);
    for (size_t i = begin; i < end; ++i) {
      candidates_[size] = {logits[i], static_cast<int32_t>(i)};
      size += logits[i] >= threshold ? 1 : 0;
    }
    candidates_.resize(size);
  }
}

double Sampler::weigh_candidates(float largest, float inverse_temperature) {
  const size_t blocks = (candidates_.size() + kBlock - 1) / kBlock;
  weights_.assign(blocks * kBlock, -std::numeric_limits<float>::infinity());
  for (size_t i = 0; i < candidates_.size(); ++i) weights_[i] = candidates_[i].logit;
  kernels_.weigh(weights_.data(), static_cast<int64_t>(blocks), largest, inverse_temperature,
                 weights_.data());
  weights_.resize(candidates_.size());
  double total = 0;
  for (const float weight : weights_) total += static_cast<double>(weight);
  return total;
}

// Zeroes the weights of candidates outside the smallest set, largest first, that has the mass.
void Sampler::keep_top_p(double mass_wanted) {
  order_.clear();
  double mass = 0;
  if (candidates_.size() <= kSortedOutright) {
    for (uint32_t i = 0; i < candidates_.size(); ++i) order_.push_back(i);
  } else {
    // With many candidates only those around the border need an order: buckets of weights that
    // agree in their first bits (a 128th of an octave) are counted, largest first, and only the one
    // in which the mass is reached is sorted.
    const auto bucket_of = [](float weight) { return std::bit_cast<uint32_t>(weight) >> 16; };
    constexpr size_t kBuckets = 0x3F81;  // weights are 1 at most
    bucket_mass_.assign(kBuckets, 0);
    for (const float weight : weights_) {
      bucket_mass_[bucket_of(weight)] += static_cast<double>(weight);
    }
    size_t border = kBuckets - 1;
    while (border > 0 && mass + bucket_mass_[border] < mass_wanted) mass += bucket_mass_[border--];
    for (uint32_t i = 0; i < weights_.size(); ++i) {
      const size_t bucket = bucket_of(weights_[i]);
      if (bucket < border) weights_[i] = 0;
      if (bucket == border) order_.push_back(i);
    }
  }
  std::ranges::sort(order_, [&](uint32_t a, uint32_t b) {
    const Candidate& x = candidates_[a];
    const Candidate& y = candidates_[b];
    return x.logit != y.logit ? x.logit > y.logit : x.token < y.token;
  });
  for (const uint32_t i : order_) {
    // The first of all is kept whatever top_p is.
    const bool reached = mass >= mass_wanted && mass > 0;
    mass += static_cast<double>(weights_[i]);
    if (reached) weights_[i] = 0;
  }
}

int32_t Sampler::draw_from_candidates(double chance) const {
  double total = 0;
  for (const float weight : weights_) total += static_cast<double>(weight);
  double left = chance * total;
  int32_t token = -1;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    const auto weight = static_cast<double>(weights_[i]);
    if (weight == 0) continue;
    token = candidates_[i].token;
    if (left < weight) break;
    left -= weight;
  }
  CHECK_GE(token, 0);
  return token;
}

int32_t Sampler::pick(std::span<const float> logits, float largest, const SamplerOptions& options,
                      int64_t position) {
  if (options.temperature < kGreedyBelow) {
    const auto block =
        static_cast<size_t>(std::ranges::find(block_largest_, largest) - block_largest_.begin());
    size_t i = block * kBlock;
    while (logits[i] != largest) ++i;
    return static_cast<int32_t>(i);
  }
  const auto temperature = static_cast<float>(options.temperature);
  const float inverse = 1.0F / temperature;
  const double chance =
      uniform(options.seed, kSamplingStream + options.stream, static_cast<uint64_t>(position));
  const bool cut_k = options.top_k > 0 && options.top_k < std::ssize(logits);
  const bool cut_p = options.top_p < 1.0;
  if (!cut_k && !cut_p && options.min_p <= 0) {
    const double total = weigh_all(logits, largest, inverse);
    return draw_from_all(logits, largest, inverse, total, chance);
  }
  if (cut_k) {
    gather_top_k(logits, options.top_k);
    std::ranges::sort(candidates_, {}, &Candidate::token);
    const double total = weigh_candidates(largest, inverse);
    if (cut_p) keep_top_p(options.top_p * total);
  } else if (cut_p) {
    // The likeliest few have most of the mass: widen the net until they have what is asked for.
    const double wanted = options.top_p * weigh_all(logits, largest, inverse);
    for (const float depth : {3.0F, 8.0F, -kNegligibleLogWeight}) {
      gather_above(logits, largest - depth * temperature);
      if (weigh_candidates(largest, inverse) >= wanted) break;
    }
    keep_top_p(wanted);
  } else {
    // A little below, because the rule is about weights, and they are rounded.
    const double depth = std::min(-std::log(options.min_p) * 1.001 + 0.001, 32.0);
    gather_above(logits, largest - static_cast<float>(depth) * temperature);
    weigh_candidates(largest, inverse);
  }
  if (options.min_p > 0) {
    const auto least = static_cast<float>(options.min_p);
    for (float& weight : weights_) weight = weight < least ? 0 : weight;
  }
  return draw_from_candidates(chance);
}

void Sampler::penalise(std::span<float> logits, std::span<const int32_t> history,
                       const SamplerOptions& options) {
  saved_.clear();
  if (options.repeat_penalty == 1.0 && options.presence_penalty == 0.0 &&
      options.frequency_penalty == 0.0) {
    return;
  }
  if (options.repeat_window >= 0 && options.repeat_window < std::ssize(history)) {
    history = history.last(static_cast<size_t>(options.repeat_window));
  }
  counts_.resize(logits.size(), 0);
  for (const int32_t token : history) {
    const auto i = static_cast<size_t>(token);
    if (counts_[i]++ == 0) saved_.emplace_back(token, logits[i]);
  }
  for (const auto& [token, logit] : saved_) {
    const auto i = static_cast<size_t>(token);
    auto value = static_cast<double>(logit);
    value = value > 0 ? value / options.repeat_penalty : value * options.repeat_penalty;
    value -= options.presence_penalty + options.frequency_penalty * counts_[i];
    logits[i] = static_cast<float>(value);
    counts_[i] = 0;
  }
}

Result<int32_t> Sampler::sample(std::span<float> logits, std::span<const int32_t> history,
                                const SamplerOptions& options) {
  penalise(logits, history, options);
  const Result<float> largest = scan(logits);
  Result<int32_t> token = 0;
  if (largest) {
    token = pick(logits, *largest, options, std::ssize(history));
  } else {
    token = std::unexpected(largest.error());
  }
  for (const auto& [saved, logit] : saved_) logits[static_cast<size_t>(saved)] = logit;
  return token;
}

Result<double> Sampler::log_sum_exp(std::span<const float> logits, double temperature) {
  MINKE_ASSIGN(const float largest, scan(logits));
  const auto inverse = static_cast<float>(1.0 / temperature);
  return static_cast<double>(largest) / temperature + std::log(weigh_all(logits, largest, inverse));
}

std::vector<TokenLogprob> Sampler::top(std::span<const float> logits, double log_sum_exp,
                                       int64_t count) {
  std::vector<TokenLogprob> result;
  if (count <= 0 || !scan(logits)) return result;
  gather_top_k(logits, count);
  std::ranges::sort(candidates_, [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  });
  result.reserve(candidates_.size());
  for (const Candidate& candidate : candidates_) {
    result.push_back({candidate.token, static_cast<double>(candidate.logit) - log_sum_exp});
  }
  return result;
}

}  // namespace minke
