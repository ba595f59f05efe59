#include "train/init.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <tuple>
#include <utility>

#include "core/random.h"
#include "kernels/panels.h"
#include "models/registry.h"

namespace minke {
namespace {

// Matrices of a stack are packed one after the other, in whole panels.
Status check_stacks(const ModelConfig& c) {
  const bool mixture = c.mixture.route.experts > 0;
  const bool latent = c.latent.kv_rank > 0;
  const std::tuple<const char*, int64_t, bool> sizes[] = {
      {"expert_dim", c.mixture.expert_dim, mixture},
      {"dim", c.dim, mixture},
      {"kv_rank", c.latent.kv_rank, latent},
      {"value_dim", c.latent.value_dim, latent}};
  for (const auto& [name, value, matters] : sizes) {
    if (matters && (value <= 0 || value % kPanelOutputs != 0)) {
      return misuse(fmt::format("a new model's {} is {}, expected a multiple of {}", name, value,
                                kPanelOutputs));
    }
  }
  const RouteSpec& route = c.mixture.route;
  if (mixture && (route.used < 1 || route.groups < 1 || route.experts % route.groups != 0 ||
                  route.groups_used < 1 || route.groups_used > route.groups ||
                  route.used > route.experts / route.groups * route.groups_used)) {
    return misuse(
        fmt::format("a new model's tokens go to {} of {} experts, in {} of {} groups: the groups "
                    "must be equal and hold as many",
                    route.used, route.experts, route.groups_used, route.groups));
  }
  return {};
}

Status check_config(const ModelConfig& c) {
  const std::pair<const char*, int64_t> sizes[] = {
      {"layers", c.layers},     {"dim", c.dim},         {"heads", c.heads},
      {"kv_heads", c.kv_heads}, {"ffn_dim", c.ffn_dim}, {"vocab_size", c.vocab_size},
      {"head_dim", c.head_dim}};
  for (const auto& [name, value] : sizes) {
    if (value <= 0) {
      return misuse(fmt::format("a new model's {} is {}, expected at least 1", name, value));
    }
  }
  if (c.heads % c.kv_heads != 0) {
    return misuse(
        fmt::format("a new model has {} heads and {} KV heads; the second must divide "
                    "the first",
                    c.heads, c.kv_heads));
  }
  const auto rotary_dim = 2 * static_cast<int64_t>(c.rope.frequencies.size());
  if (c.head_dim % 2 != 0 || rotary_dim > c.head_dim) {
    return misuse(
        fmt::format("a new model's head_dim is {}, expected an even number of at least "
                    "the {} elements that its rotary frequencies turn",
                    c.head_dim, rotary_dim));
  }
  return check_stacks(c);
}

// 0 for weights that start as a constant.
double standard_deviation(const Weight& weight, const ModelConfig& config) {
  if (weight.shape.rank() < 2) return 0.0;
  const std::string_view name = weight.name;
  if (name == "token_embd.weight") return 0.02;
  const double plain = 1.0 / std::sqrt(static_cast<double>(weight.in_dim()));
  const bool to_residual = name.ends_with("attn_output.weight") || name.contains(".ffn_down");
  return to_residual ? plain / std::sqrt(2.0 * static_cast<double>(config.layers)) : plain;
}

void fill(Weight& weight, const ModelConfig& config, uint64_t seed, uint64_t stream) {
  float* values = weight.mutable_f32();
  const int64_t count = weight.shape.count();
  const double deviation = standard_deviation(weight, config);
  if (deviation == 0.0) {
    std::fill(values, values + count, weight.name.ends_with("norm.weight") ? 1.0F : 0.0F);
    return;
  }
  for (int64_t i = 0; i < count; i += 2) {
    const auto pair = normal_pair(seed, stream, static_cast<uint64_t>(i / 2));
    values[i] = static_cast<float>(pair[0] * deviation);
    if (i + 1 < count) values[i + 1] = static_cast<float>(pair[1] * deviation);
  }
}

}  // namespace

Result<std::unique_ptr<Model>> make_initialised_model(const ModelConfig& config, uint64_t seed,
                                                      Ops& ops) {
  MINKE_TRY(check_config(config));
  std::unique_ptr<Model> model = make_model(config);
  uint64_t stream = 0;
  Status status;
  model->visit([&](Weight& weight) {
    if (!status || !weight.present()) return;
    const auto bytes = static_cast<size_t>(weight.shape.count()) * sizeof(float);
    auto memory = Buffer::allocate(bytes, weight.name.c_str());
    if (!memory) {
      status = std::unexpected(std::move(memory).error());
      return;
    }
    weight.type = QuantType::kF32;
    weight.storage = *std::move(memory);
    weight.rows = weight.storage.data();
    fill(weight, config, seed, stream++);
    status = ops.prepare(weight, /*keep_rows=*/true);
  });
  MINKE_TRY(status);
  return model;
}

}  // namespace minke
