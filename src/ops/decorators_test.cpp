// Shadow and Traced, around the best kernels of this processor.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "core/random.h"
#include "kernels/kv_store.h"
#include "ops/cpu_ops.h"
#include "ops/decorator.h"
#include "ops/shadow.h"
#include "ops/traced.h"

namespace minke {
namespace {

constexpr int64_t kRows = 5;
constexpr int64_t kDim = 32;

Weight make_weight(const char* name, Shape shape, QuantType type, uint64_t stream) {
  Weight weight = {.name = name, .shape = shape, .type = type};
  std::vector<float> values;
  for (int64_t i = 0; i < shape.count(); ++i) {
    values.push_back(static_cast<float>(normal_pair(1, stream, static_cast<uint64_t>(i))[0]));
  }
  weight.storage = Buffer::allocate_or_die(row_bytes(type, shape.count()), "a test's weight");
  quant_format(type).encode(values.data(), weight.storage.data(), shape.count(), nullptr);
  weight.rows = weight.storage.data();
  return weight;
}

// A layer of a sort: every op once.
struct Layer {
  Weight table = make_weight("table", {8, kDim}, QuantType::kF32, 1);
  Weight quantised = make_weight("blk.3.q8.weight", {2 * kDim, kDim}, QuantType::kQ8_0, 2);
  Weight bf16 = make_weight("blk.12.bf16.weight", {kDim, kDim}, QuantType::kBF16, 3);
  Weight norm = make_weight("norm", {kDim}, QuantType::kF32, 4);
  Weight none;
  RopeSpec rope = {.frequencies = {1.0F, 0.1F}};
  std::vector<int32_t> pages = {0};
  Batch batch = {.tokens = {1, 2, 3, 4, 5},
                 .positions = {0, 1, 2, 3, 4},
                 .sequences = {{.row_count = kRows, .pages = pages}},
                 .logit_rows = {4}};
  KvStore kv = *KvStore::create({.layers = 1, .kv_heads = 2, .head_dim = 16}, 1);

  void prepare(Ops& ops) {
    for (Weight* weight : {&table, &quantised, &bf16}) {
      ASSERT_TRUE(ops.prepare(*weight, true).has_value());
    }
  }
  Tensor run(Ops& ops) {
    ops.begin_step();
    const Tensor x = ops.rms_norm(ops.embed(batch.tokens, table), norm, 1e-5F);
    const Tensor wide = ops.linear(x, quantised, none);  // [rows, 64]
    const Tensor q = ops.rope(wide.reshaped({kRows, 4, 16}), batch.positions, rope);
    const Tensor k = ops.linear(x, bf16, none).reshaped({kRows, 2, 16});
    const Tensor mixed = ops.attention(q, k, k, batch, kv, 0,
                                       {.heads = 4, .kv_heads = 2, .head_dim = 16, .scale = 0.25F});
    return ops.gather_rows(ops.swiglu(mixed, ops.add(wide, wide)), batch.logit_rows);
  }
};

// An Ops with a fault: one bit of one result.
class Faulty final : public OpsDecorator {
 public:
  using OpsDecorator::OpsDecorator;
  Tensor linear(const Tensor& x, const Weight& w, const Weight& bias) override {
    Tensor y = inner_.linear(x, w, bias);
    if (w.name != "blk.12.bf16.weight") return y;
    uint32_t bits;
    std::memcpy(&bits, &y.row(3)[17], sizeof bits);
    bits ^= 1u;
    std::memcpy(&y.row(3)[17], &bits, sizeof bits);
    return y;
  }
};

TEST(Shadow, EveryKernelSetEqualsTheReference) {
  for (const Kernels* kernels : available_kernels()) {
    CpuOps fast(*kernels, 2);
    CpuOps reference(reference_kernels(), 2);
    Shadow shadow(fast, reference);
    Layer layer;
    layer.prepare(shadow);
    const Tensor shadowed = layer.run(shadow);
    EXPECT_FALSE(shadow.departure().has_value()) << shadow.departure()->str();
    const Tensor plain = layer.run(fast);
    EXPECT_EQ(std::memcmp(shadowed.f32(), plain.f32(), plain.values().size_bytes()), 0);
  }
}

TEST(Shadow, NamesTheFirstOpThatDeparts) {
  CpuOps inner(reference_kernels(), 1);
  CpuOps reference(reference_kernels(), 1);
  Faulty faulty(inner);
  Shadow shadow(faulty, reference);
  Layer layer;
  layer.prepare(shadow);
  layer.run(shadow);
  ASSERT_TRUE(shadow.departure().has_value());
  const Departure& departure = *shadow.departure();
  EXPECT_EQ(departure.op, "linear blk.12.bf16.weight");
  EXPECT_EQ(departure.step, 1);
  EXPECT_EQ(departure.call, 4);
  EXPECT_EQ(departure.row, 3);
  EXPECT_EQ(departure.column, 17);
  EXPECT_EQ(departure.differing, 1);
  EXPECT_EQ(departure.count, kRows * kDim);
  EXPECT_NE(departure.got, departure.want);
  EXPECT_TRUE(departure.str().starts_with(
      "step 1, op 4, linear blk.12.bf16.weight: first at [3, 17]: got "))
      << departure.str();
}

TEST(Traced, CountsOpsAndJoinsLayers) {
  CpuOps inner(reference_kernels(), 1);
  Traced traced(inner);
  Layer layer;
  layer.prepare(traced);
  const Tensor first = layer.run(traced);
  const Tensor second = layer.run(traced);
  const auto& totals = traced.totals();
  EXPECT_EQ(totals.at("prepare").calls, 3);
  EXPECT_EQ(totals.at("linear blk.*.q8.weight").calls, 2);
  EXPECT_EQ(totals.at("linear blk.*.bf16.weight").calls, 2);
  for (const char* op :
       {"embed", "rms_norm", "rope", "attention", "swiglu", "add", "gather_rows"}) {
    EXPECT_EQ(totals.at(op).calls, 2) << op;
    EXPECT_GE(totals.at(op).seconds, 0.0) << op;
  }
  EXPECT_EQ(totals.size(), size_t{10});
  const std::string table = traced.table();
  EXPECT_EQ(std::ranges::count(table, '\n'), 10);
  EXPECT_NE(table.find("linear blk.*.q8.weight"), std::string::npos);
  traced.clear();
  EXPECT_TRUE(traced.totals().empty());
}

}  // namespace
}  // namespace minke
