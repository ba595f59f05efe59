// Stacks of matrices against the same matrices one by one: the same bits, rows with a peak
// included.
#include <gtest/gtest.h>

#include <cstring>

#include "core/random.h"
#include "ops/cpu_ops.h"

namespace minke {
namespace {

Weight stack(QuantType type, int64_t count, int64_t out_dim, int64_t in_dim, uint64_t seed,
             CpuOps& ops) {
  Weight w{.name = "stack", .shape = {count, out_dim, in_dim}, .type = type};
  const int64_t values = w.shape.count();
  std::vector<float> plain;
  for (int64_t i = 0; i < values; i += 2) {
    for (const double value : normal_pair(seed, 1, static_cast<uint64_t>(i))) {
      plain.push_back(static_cast<float>(0.1 * value));
    }
  }
  w.storage = Buffer::allocate_or_die(row_bytes(type, values), "a test's weight");
  quant_format(type).encode(plain.data(), w.storage.data(), values, nullptr);
  w.rows = w.storage.data();
  EXPECT_TRUE(ops.prepare(w, true));
  return w;
}

Weight one_of(const Weight& all, int64_t index, CpuOps& ops) {
  const int64_t out_dim = all.shape[1];
  Weight w{.name = "one", .shape = {out_dim, all.in_dim()}, .type = all.type};
  w.rows = all.rows + static_cast<size_t>(index * out_dim) * row_bytes(all.type, all.in_dim());
  EXPECT_TRUE(ops.prepare(w, true));
  return w;
}

// Every fifth row has one element that outweighs all others.
Tensor inputs(CpuOps& ops, Shape shape, uint64_t seed) {
  Tensor x = ops.empty(shape);
  for (int64_t row = 0; row < x.rows(); ++row) {
    for (int64_t i = 0; i < x.dim(); ++i) {
      x.row(row)[i] = static_cast<float>(
          normal_pair(seed, static_cast<uint64_t>(row), static_cast<uint64_t>(i))[0]);
    }
    if (row % 5 == 1) x.row(row)[row % x.dim()] = 300.0F;
  }
  return x;
}

void expect_same_row(const float* got, const float* want, int64_t count, const std::string& what) {
  EXPECT_EQ(std::memcmp(got, want, static_cast<size_t>(count) * sizeof(float)), 0) << what;
}

class Stacks : public testing::TestWithParam<QuantType> {};

TEST_P(Stacks, HeadsAreProductsOfTheirOwn) {
  for (const int64_t rows : {1, 11}) {
    CpuOps ops(*available_kernels().back(), 2);
    const Weight w = stack(GetParam(), 3, 48, 256, 7, ops);
    const Tensor x = inputs(ops, {rows, 3, 256}, 5);
    const Tensor got = ops.linear_by_heads(x, w);
    for (int64_t head = 0; head < 3; ++head) {
      const Weight alone = one_of(w, head, ops);
      const Tensor want =
          ops.linear(ops.slice(x.reshaped({rows, 3 * 256}), head * 256, 256), alone, {});
      for (int64_t row = 0; row < rows; ++row) {
        expect_same_row(got.row(row * 3 + head), want.row(row), 48,
                        quant_name(GetParam()) + std::string(", head ") + std::to_string(head));
      }
    }
  }
}

TEST_P(Stacks, AMixtureIsItsExpertsOneByOne) {
  constexpr int64_t kExperts = 6, kDim = 256, kWidth = 288;
  const RouteSpec spec = {.experts = kExperts, .used = 2, .normalise = true, .scale = 1.5F};
  for (const int64_t rows : {1, 4, 23}) {
    CpuOps ops(*available_kernels().back(), 3);
    const QuantType type = GetParam();
    // Rows of 288 values: no multiple of 256.
    const QuantType down_type =
        kWidth % quant_format(type).block_size == 0 ? type : QuantType::kQ8_0;
    const Weight gate = stack(type, kExperts, kWidth, kDim, 1, ops);
    const Weight up = stack(type, kExperts, kWidth, kDim, 2, ops);
    const Weight down = stack(down_type, kExperts, kDim, kWidth, 3, ops);
    const Tensor x = inputs(ops, {rows, kDim}, 6);
    const Tensor logits = inputs(ops, {rows, kExperts}, 8);
    const Tensor got = ops.mixture(x, logits, {}, spec, gate, up, down);
    const Routes routes = route(logits.values(), {}, spec);
    std::vector<Tensor> outputs;
    for (int64_t expert = 0; expert < kExperts; ++expert) {
      const Tensor hidden = ops.swiglu(ops.linear(x, one_of(gate, expert, ops), {}),
                                       ops.linear(x, one_of(up, expert, ops), {}));
      outputs.push_back(ops.linear(hidden, one_of(down, expert, ops), {}));
    }
    for (int64_t row = 0; row < rows; ++row) {
      std::vector<float> want(kDim, 0.0F);
      for (int64_t i = row * 2; i < row * 2 + 2; ++i) {
        const auto entry = static_cast<size_t>(i);
        const float* expert = outputs[static_cast<size_t>(routes.experts[entry])].row(row);
        for (size_t d = 0; d < kDim; ++d) want[d] += routes.weights[entry] * expert[d];
      }
      expect_same_row(got.row(row), want.data(), kDim,
                      quant_name(type) + std::string(", row ") + std::to_string(row));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Stacks,
                         testing::Values(QuantType::kQ4_0, QuantType::kQ4_K, QuantType::kQ6_K,
                                         QuantType::kBF16, QuantType::kF32),
                         [](const auto& set) { return std::string(quant_name(set.param)); });

}  // namespace
}  // namespace minke
