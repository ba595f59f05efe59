// CudaOps against CpuOps, bit for bit, op by op. Without a GPU every test is left out and says so.
#include "ops/cuda_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "core/random.h"
#include "ops/cpu_ops.h"

namespace minke {
namespace {

std::vector<float> normal(size_t count, uint64_t stream) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>(normal_pair(7, stream, i)[0]);
  }
  return values;
}

Weight make_weight(Shape shape, QuantType type, uint64_t stream) {
  Weight weight = {.name = "blk.0.test.weight", .shape = shape, .type = type};
  const std::vector<float> values = normal(static_cast<size_t>(shape.count()), stream);
  weight.storage = Buffer::allocate_or_die(row_bytes(type, shape.count()), "a test's weight");
  quant_format(type).encode(values.data(), weight.storage.data(), shape.count(), nullptr);
  weight.rows = weight.storage.data();
  return weight;
}

class CudaOpsTest : public testing::Test {
 protected:
  void SetUp() override {
    Result<std::unique_ptr<CudaOps>> made = CudaOps::create(2);
    if (!made) GTEST_SKIP() << made.error().message;
    gpu_ = *std::move(made);
    Result<std::unique_ptr<CpuOps>> cpu = CpuOps::create(2);
    ASSERT_TRUE(cpu.has_value());
    cpu_ = *std::move(cpu);
  }

  static Tensor on_cpu(CpuOps& ops, const std::vector<float>& values, Shape shape) {
    const Tensor x = ops.empty(shape);
    std::ranges::copy(values, x.f32());
    return x;
  }
  Tensor on_gpu(const std::vector<float>& values, Shape shape) {
    const Tensor x = gpu_->empty(shape);
    gpu_->device().upload(x.storage()->data, values.data(), values.size() * sizeof(float));
    return x;
  }
  // Both sides start with the same values.
  struct Pair {
    Tensor cpu;
    Tensor gpu;
  };
  Pair both(const std::vector<float>& values, Shape shape) {
    return {on_cpu(*cpu_, values, shape), on_gpu(values, shape)};
  }
  void expect_same(const Tensor& gpu, const Tensor& cpu, const std::string& what) {
    const Result<std::span<float>> got = gpu_->read(gpu);
    ASSERT_TRUE(got.has_value()) << what << ": " << got.error().message;
    const std::span<const float> want = cpu.values();
    ASSERT_EQ(got->size(), want.size()) << what;
    if (std::memcmp(got->data(), want.data(), want.size_bytes()) == 0) return;
    size_t differing = 0;
    size_t first = want.size();
    for (size_t i = 0; i < want.size(); ++i) {
      if (std::memcmp(&(*got)[i], &want[i], sizeof(float)) == 0) continue;
      first = std::min(first, i);
      ++differing;
    }
    const auto dim = static_cast<size_t>(cpu.dim());
    ADD_FAILURE() << what << ": first at [" << first / dim << ", " << first % dim << "]: got "
                  << (*got)[first] << ", want " << want[first] << "; " << differing << " of "
                  << want.size() << " differ";
  }

  std::unique_ptr<CudaOps> gpu_;
  std::unique_ptr<CpuOps> cpu_;
};

TEST_F(CudaOpsTest, NormsSumsAndGatedUnits) {
  for (const int64_t dim : {32, 576, 1536, 8960}) {
    Weight norm = make_weight({dim}, QuantType::kF32, 3);
    ASSERT_TRUE(gpu_->prepare(norm, true).has_value());
    for (const int64_t rows : {1, 3, 9}) {
      const std::string what = std::to_string(rows) + " rows of " + std::to_string(dim);
      const auto count = static_cast<size_t>(rows * dim);
      gpu_->begin_step();
      const Pair a = both(normal(count, 1), {rows, dim});
      const Pair b = both(normal(count, 2), {rows, dim});
      expect_same(gpu_->rms_norm(a.gpu, norm, 1e-6F), cpu_->rms_norm(a.cpu, norm, 1e-6F),
                  "rms_norm, " + what);
      expect_same(gpu_->swiglu(a.gpu, b.gpu), cpu_->swiglu(a.cpu, b.cpu), "swiglu, " + what);
      const Pair sum = {cpu_->add(a.cpu, b.cpu), gpu_->add(a.gpu, b.gpu)};
      expect_same(gpu_->rms_norm(sum.gpu, norm, 1e-6F), cpu_->rms_norm(sum.cpu, norm, 1e-6F),
                  "rms_norm of a sum, " + what);
      expect_same(sum.gpu, sum.cpu, "the sum, " + what);
      expect_same(gpu_->add(a.gpu, sum.gpu), cpu_->add(a.cpu, sum.cpu), "add, " + what);
      const std::vector<int32_t> rows_wanted = {static_cast<int32_t>(rows - 1), 0};
      expect_same(gpu_->gather_rows(gpu_->add(a.gpu, b.gpu), rows_wanted),
                  cpu_->gather_rows(sum.cpu, rows_wanted), "gather_rows, " + what);
    }
  }
}

TEST_F(CudaOpsTest, TurnsHeads) {
  for (const RopePairs pairs : {RopePairs::kAdjacent, RopePairs::kHalves}) {
    RopeSpec spec = {.pairs = pairs};
    for (int i = 0; i < 24; ++i) {
      spec.frequencies.push_back(std::pow(10000.0F, -static_cast<float>(i) / 24.0F));
    }
    spec.magnitude = 1.1F;
    const std::vector<int32_t> positions = {0, 5, 4099, 17};
    const Pair x = both(normal(4 * 3 * 64, 4), {4, 3, 64});  // 48 of 64 values turn
    cpu_->begin_step();
    gpu_->begin_step();
    expect_same(gpu_->rope(x.gpu, positions, spec), cpu_->rope(x.cpu, positions, spec), "rope");
  }
}

class CudaLinear : public CudaOpsTest, public testing::WithParamInterface<QuantType> {};

TEST_P(CudaLinear, EqualsTheProcessor) {
  const QuantType type = GetParam();
  const std::vector<int64_t> dims = quant_format(type).block_size == 256
                                        ? std::vector<int64_t>{256, 1536, 4608}
                                        : std::vector<int64_t>{32, 576, 1536, 4864};
  for (const int64_t dim : dims) {
    Weight wide = make_weight({200, dim}, type, 5);
    Weight narrow = make_weight({40, dim}, type, 6);
    Weight other = make_weight({48, dim}, QuantType::kF32, 8);
    Weight bias = make_weight({200}, QuantType::kF32, 7);
    Weight none;
    ASSERT_TRUE(gpu_->prepare(bias, true).has_value());
    // The two backends keep their own panels.
    std::vector<Weight*> weights = {&wide, &narrow, &other};
    const auto packed = [&](Ops& ops) {
      std::vector<std::shared_ptr<const PackedWeight>> made;
      for (Weight* weight : weights) {
        weight->packed = nullptr;
        EXPECT_TRUE(ops.prepare(*weight, true).has_value());
        made.push_back(weight->packed);
      }
      return made;
    };
    const auto on_cpu_panels = packed(*cpu_);
    const auto on_gpu_panels = packed(*gpu_);
    for (const int64_t rows : {1, 2, 8, 9, 17, 32, 33, 64, 129, 300}) {
      std::vector<float> values = normal(static_cast<size_t>(rows * dim), 9);
      // Every fifth row has one element that holds nearly all of its energy.
      for (int64_t row = 2; row < rows; row += 5) {
        values[static_cast<size_t>(row * dim + row % dim)] = 900.0F;
      }
      if (rows > 3) {
        std::fill_n(values.begin() + 3 * dim, dim, 0.0F);
      }
      const Pair x = both(values, {rows, dim});
      const auto run = [&](Ops& ops, const Tensor& input, const auto& panels) {
        for (size_t i = 0; i < weights.size(); ++i) weights[i]->packed = panels[i];
        return std::vector<Tensor>{ops.linear(input, wide, bias), ops.linear(input, narrow, none),
                                   ops.linear(input, other, none)};
      };
      const std::vector<Tensor> want = run(*cpu_, x.cpu, on_cpu_panels);
      const std::vector<Tensor> got = run(*gpu_, x.gpu, on_gpu_panels);
      const std::string what = std::to_string(rows) + " rows of " + std::to_string(dim);
      expect_same(got[0], want[0], "with bias, " + what);
      expect_same(got[1], want[1], "without, " + what);
      expect_same(got[2], want[2], "fp32 beside it, " + what);
      if (HasFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaLinear,
                         testing::Values(QuantType::kQ4_0, QuantType::kQ4_1, QuantType::kQ5_0,
                                         QuantType::kQ5_1, QuantType::kQ8_0, QuantType::kQ2_K,
                                         QuantType::kQ3_K, QuantType::kQ4_K, QuantType::kQ5_K,
                                         QuantType::kQ6_K, QuantType::kF32, QuantType::kF16,
                                         QuantType::kBF16),
                         [](const auto& type) { return std::string(quant_name(type.param)); });

struct Heads {
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;
};
class CudaAttention : public CudaOpsTest, public testing::WithParamInterface<Heads> {};

// A prompt in two pieces beside sequences that generate, then a step in which all generate.
TEST_P(CudaAttention, EqualsTheProcessor) {
  const auto [heads, kv_heads, head_dim] = GetParam();
  const KvSpec kv = {.layers = 2, .kv_heads = kv_heads, .head_dim = head_dim};
  KvStore cpu_kv = *KvStore::create(kv, 12);
  KvStore gpu_kv = *KvStore::create(kv, 12, gpu_->memory());
  RopeSpec rope = {.pairs = RopePairs::kHalves};
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    rope.frequencies.push_back(
        std::pow(10000.0F, -2.0F * static_cast<float>(i) / static_cast<float>(head_dim)));
  }
  const std::vector<int32_t> pages[3] = {{3, 1, 4, 10}, {5, 9, 2, 6}, {0, 7, 8, 11}};
  int64_t lengths[3] = {0, 0, 0};
  uint64_t stream = 20;
  const std::vector<std::vector<int64_t>> steps = {
      {150, 3, 0}, {40, 1, 100}, {1, 1, 1}, {2, 70, 4}, {1, 1, 1}};
  for (const std::vector<int64_t>& counts : steps) {
    Batch batch;
    for (size_t s = 0; s < 3; ++s) {
      if (counts[s] == 0) continue;
      batch.sequences.push_back({.first_row = static_cast<int64_t>(batch.tokens.size()),
                                 .row_count = counts[s],
                                 .first_position = lengths[s],
                                 .pages = pages[s]});
      for (int64_t i = 0; i < counts[s]; ++i) {
        batch.tokens.push_back(0);
        batch.positions.push_back(static_cast<int32_t>(lengths[s]++));
      }
    }
    const auto rows = static_cast<int64_t>(batch.tokens.size());
    const auto random = [&](int64_t count) {
      return both(normal(static_cast<size_t>(rows * count * head_dim), ++stream),
                  {rows, count, head_dim});
    };
    const Pair q = random(heads);
    const Pair k = random(kv_heads);
    const Pair v = random(kv_heads);
    const AttentionSpec spec = {.heads = heads,
                                .kv_heads = kv_heads,
                                .head_dim = head_dim,
                                .scale = 1.0F / std::sqrt(static_cast<float>(head_dim))};
    cpu_->begin_step();
    gpu_->begin_step();
    const auto run = [&](Ops& ops, const Tensor& q0, const Tensor& k0, const Tensor& v0,
                         KvStore& store) {
      return ops.attention(ops.rope(q0, batch.positions, rope), ops.rope(k0, batch.positions, rope),
                           v0, batch, store, 1, spec);
    };
    const Tensor want = run(*cpu_, q.cpu, k.cpu, v.cpu, cpu_kv);
    const Tensor got = run(*gpu_, q.gpu, k.gpu, v.gpu, gpu_kv);
    expect_same(got, want, std::to_string(rows) + " rows");
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaAttention,
                         testing::Values(Heads{12, 2, 128}, Heads{9, 3, 64}, Heads{4, 4, 32},
                                         Heads{16, 2, 96}, Heads{2, 1, 64}),
                         [](const auto& set) {
                           return "Heads" + std::to_string(set.param.heads) + "Of" +
                                  std::to_string(set.param.head_dim);
                         });

}  // namespace
}  // namespace minke
