// What the tests of this room share: small models, numbers that a few lines of Python can repeat,
// and derivatives by differences.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/rope_scaling.h"
#include "ops/cpu_ops.h"
#include "train/init.h"
#include "train/tape.h"

namespace minke::testing {

// In [-1, 1), a function of (stream, index) that tests/golden/make_tiny_gradients.py repeats.
inline double spread(uint32_t stream, uint32_t index) {
  uint32_t h = index * 2654435761u + stream * 2246822519u + 374761393u;
  h ^= h >> 15;
  h *= 2246822519u;
  h ^= h >> 13;
  h *= 3266489917u;
  h ^= h >> 16;
  return static_cast<double>(h) / 2147483648.0 - 1.0;
}

inline std::unique_ptr<CpuOps> make_ops(int threads = 2) {
  auto ops = CpuOps::create(threads);
  EXPECT_TRUE(ops.has_value());
  return *std::move(ops);
}

inline Tensor spread_tensor(Ops& ops, Shape shape, uint32_t stream, double scale = 1.0) {
  Tensor tensor = ops.empty(shape);
  for (uint32_t i = 0; i < tensor.values().size(); ++i) {
    tensor.values()[i] = static_cast<float>(spread(stream, i) * scale);
  }
  return tensor;
}

inline void fill_weight(Weight& weight, uint32_t stream, double scale, double offset = 0.0) {
  const auto count = static_cast<size_t>(weight.shape.count());
  if (weight.storage.data() == nullptr) {
    weight.storage = Buffer::allocate_or_die(count * sizeof(float), "a test's weight");
    weight.rows = weight.storage.data();
  }
  for (uint32_t i = 0; i < count; ++i) {
    weight.mutable_f32()[i] = static_cast<float>(offset + spread(stream, i) * scale);
  }
}

// Two blocks of a family: "llama", "qwen2", "qwen3", "qwen3moe", "deepseek-v2-lite" (a softmax
// chooses experts, queries come straight from the input) or "deepseek-v3" (sigmoids, groups, a bias
// for balance, low-rank queries); the first block of DeepSeek's is dense.
inline ModelConfig tiny_config(const std::string& family, bool tied) {
  const bool deepseek = family.starts_with("deepseek");
  ModelConfig config = {.architecture = deepseek ? "deepseek2" : family,
                        .name = "tiny",
                        .layers = 2,
                        .dim = 48,
                        .heads = 6,
                        .kv_heads = 2,
                        .head_dim = 8,
                        .ffn_dim = 80,
                        .vocab_size = 37,
                        .context_max = 256,
                        .norm_epsilon = 1e-5F,
                        .tied_embeddings = tied,
                        .qkv_bias = family == "qwen2",
                        .qk_norm = family.starts_with("qwen3")};
  config.rope.pairs = family == "llama" || deepseek ? RopePairs::kAdjacent : RopePairs::kHalves;
  config.rope.frequencies = rope_frequencies(10000.0, 8);
  if (family == "qwen3moe" || deepseek) {
    config.mixture = {.route = {.experts = 8, .used = 3}, .expert_dim = 32};
    config.mixture.route.normalise = family != "deepseek-v2-lite";
  }
  if (!deepseek) return config;
  config.mixture.dense_layers = 1;
  config.mixture.shared = 2;
  config.kv_heads = 1;
  config.head_dim = 32 + 8;
  config.latent = {.kv_rank = 32,
                   .nope_dim = 12,
                   .rope_dim = 8,
                   .value_dim = 16,
                   .score_scale = 1.0F / std::sqrt(12.0F + 8.0F)};
  if (family != "deepseek-v3") return config;
  config.latent.q_rank = 20;
  config.mixture.shared = 1;
  config.mixture.has_bias = true;
  config.mixture.route.groups = 4;
  config.mixture.route.groups_used = 2;
  config.mixture.route.score = ExpertScore::kSigmoid;
  config.mixture.route.scale = 2.5F;
  return config;
}

// Weights large enough that attention is far from even and every gradient counts.
inline std::unique_ptr<Model> tiny_model(const ModelConfig& config, Ops& ops) {
  auto model = make_initialised_model(config, /*seed=*/1, ops);
  EXPECT_TRUE(model.has_value());
  uint32_t stream = 100;
  (*model)->visit([&](Weight& weight) {
    const bool norm = weight.name.ends_with("norm.weight");
    const double scale =
        weight.shape.rank() == 1 ? 0.2 : 2.5 / std::sqrt(static_cast<double>(weight.in_dim()));
    fill_weight(weight, stream++, scale, norm ? 1.0 : 0.0);
    EXPECT_TRUE(ops.prepare(weight, true).has_value());
  });
  return *std::move(model);
}

inline std::vector<int32_t> spread_tokens(uint32_t stream, int64_t count, int64_t vocabulary) {
  std::vector<int32_t> tokens;
  for (uint32_t i = 0; i < count; ++i) {
    const double unit = (spread(stream, i) + 1.0) / 2.0;
    tokens.push_back(static_cast<int32_t>(unit * static_cast<double>(vocabulary)));
  }
  return tokens;
}

// f'(0) from f at ±h and ±2h, with an error of order h⁴.
inline double derivative(const std::function<double(double)>& f, double h) {
  return (8.0 * (f(h) - f(-h)) - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h);
}

}  // namespace minke::testing
