#include "kernels/gemm_bf16.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/random.h"
#include "kernels/kernels.h"

namespace minke {
namespace {

std::vector<float> random_values(int64_t count, uint64_t stream) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(normal_pair(3, stream, static_cast<uint64_t>(i))[0]));
  }
  return values;
}

struct Size {
  int64_t rows, columns, depth;
};

void expect_same(const std::vector<float>& got, const std::vector<float>& want, int64_t stride,
                 const std::string& what) {
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(want[i]))
        << what << " at [" << i / stride << ", " << i % stride << "]: got " << got[i] << ", want "
        << want[i];
  }
}

// C has spare columns and rows that no form may write, A and B have strides longer than a row. Not
// a number of what lies beyond A and B may be used.
void compare(const Size& size, bool transposed_a, bool accumulate) {
  const FlushDenormals guard;
  constexpr int64_t kSpare = 5;
  const int64_t a_stride = (transposed_a ? size.rows : size.depth) + kSpare;
  const int64_t b_stride = size.columns + kSpare;
  std::vector<float> a = random_values((transposed_a ? size.depth : size.rows) * a_stride, 1);
  std::vector<float> b = random_values(size.depth * b_stride, 2);
  const auto poison = [](std::vector<float>& values, int64_t stride) {
    for (size_t i = 0; i < values.size(); ++i) {
      if (static_cast<int64_t>(i) % stride >= stride - kSpare) values[i] = NAN;
    }
  };
  poison(a, a_stride);
  poison(b, b_stride);
  const std::vector<float> start = random_values((size.rows + 1) * b_stride, 3);
  GemmF32 gemm = {.rows = size.rows,
                  .columns = size.columns,
                  .depth = size.depth,
                  .a = a.data(),
                  .a_row_stride = transposed_a ? 1 : a_stride,
                  .a_k_stride = transposed_a ? a_stride : 1,
                  .b = b.data(),
                  .b_stride = b_stride,
                  .c_stride = b_stride,
                  .accumulate = accumulate};
  std::vector<float> want = start;
  gemm.c = want.data();
  gemm_bf16_reference(gemm);
  ThreadPool pool(2);
  for (const Kernels* set : available_kernels()) {
    for (ThreadPool* threads : {static_cast<ThreadPool*>(nullptr), &pool}) {
      std::vector<float> got = start;
      gemm.c = got.data();
      gemm_bf16_with(*set->gemm_bf16, threads, gemm, {});
      expect_same(got, want, b_stride,
                  std::string(set->name) + ", " + std::to_string(size.rows) + " x " +
                      std::to_string(size.columns) + " x " + std::to_string(size.depth));
    }
  }
}

TEST(GemmBf16, AllSetsMatchTheReferenceBitForBit) {
  for (const int64_t rows : {1, 15, 31, 32, 33, 64, 67}) {
    for (const int64_t columns : {1, 16, 17, 31, 32, 33, 65}) {
      for (const bool transposed_a : {false, true}) {
        compare({rows, columns, 37}, transposed_a, false);
        compare({rows, columns, 37}, transposed_a, true);
      }
    }
  }
  for (const int64_t depth : {0, 1, 2, 31, 32, 33, 64, 511, 512, 513}) {
    compare({33, 34, depth}, true, false);
    compare({33, 34, depth}, false, true);
  }
  // Around what is packed at a time.
  compare({40, 33, 2048 + 17}, true, false);
  compare({40, 33, 2 * 2048 + 1}, false, true);
  compare({1024 + 40, 40, 40}, true, true);
  compare({5, 8192 + 40, 33}, false, false);
  compare({160, 300, 100}, false, true);
}

// Products and sums so small that they are denormals count as zero, which tiles do by themselves.
TEST(GemmBf16, DenormalsAreZero) {
  const FlushDenormals guard;
  std::vector<float> a = random_values(8 * 64, 1);
  std::vector<float> b = random_values(64 * 8, 2);
  for (float& value : a) value *= 1e-19F;
  for (float& value : b) value *= 1e-19F;
  std::vector<float> want(64);
  GemmF32 gemm = {.rows = 8,
                  .columns = 8,
                  .depth = 64,
                  .a = a.data(),
                  .a_row_stride = 64,
                  .a_k_stride = 1,
                  .b = b.data(),
                  .b_stride = 8,
                  .c = want.data(),
                  .c_stride = 8};
  gemm_bf16_reference(gemm);
  for (const Kernels* set : available_kernels()) {
    std::vector<float> got(64);
    gemm.c = got.data();
    gemm_bf16_with(*set->gemm_bf16, nullptr, gemm, {});
    expect_same(got, want, 8, set->name);
  }
}

TEST(GemmBf16, ReferenceIsAProductOfRoundedOperands) {
  const float a[] = {1, 2, 3, 4, 5, 6 + 1e-3F};  // [2, 3]; the last one rounds to 6
  const float b[] = {1, 0, 2, 1, 0, 3};          // [3, 2]
  float c[] = {10, 20, 30, 40};
  gemm_bf16_reference({.rows = 2,
                       .columns = 2,
                       .depth = 3,
                       .a = a,
                       .a_row_stride = 3,
                       .a_k_stride = 1,
                       .b = b,
                       .b_stride = 2,
                       .c = c,
                       .c_stride = 2,
                       .accumulate = true});
  const float want[] = {15, 31, 44, 63};
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(c[i], want[i]) << i;
}

// B in a weight's blocks is what its blocks decode to.
TEST(GemmBf16, TakesWeightsOfAnyFormat) {
  ThreadPool pool(2);
  constexpr int64_t kRows = 33, kColumns = 8192 + 256, kDepth = 40;
  const std::vector<float> a = random_values(kRows * kDepth, 1);
  const std::vector<float> values = random_values(kDepth * kColumns, 2);
  for (const QuantType type : {QuantType::kF32, QuantType::kF16, QuantType::kBF16, QuantType::kQ8_0,
                               QuantType::kQ4_0, QuantType::kQ4_K, QuantType::kQ6_K}) {
    const QuantFormat& format = quant_format(type);
    std::vector<std::byte> blocks(row_bytes(type, kDepth * kColumns));
    format.encode(values.data(), blocks.data(), kDepth * kColumns, nullptr);
    std::vector<float> decoded(values.size());
    format.decode(blocks.data(), decoded.data(), kDepth * kColumns);
    std::vector<float> got(kRows * kColumns), want(kRows * kColumns);
    GemmF32 gemm = {.rows = kRows,
                    .columns = kColumns,
                    .depth = kDepth,
                    .a = a.data(),
                    .a_row_stride = kDepth,
                    .a_k_stride = 1,
                    .b = decoded.data(),
                    .b_stride = kColumns,
                    .c = want.data(),
                    .c_stride = kColumns};
    gemm_bf16(pool, gemm);
    gemm.b = nullptr;
    gemm.c = got.data();
    gemm_bf16(pool, gemm, {.type = type, .rows = blocks.data()});
    expect_same(got, want, kColumns, format.name);
  }
}

}  // namespace
}  // namespace minke
