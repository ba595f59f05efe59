#include "kernels/gemm_f32.h"

#include <gtest/gtest.h>

#include <cstring>
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

struct Form {
  const char* name;
  void (*run)(const GemmF32&);
};

// Every form that this processor can run, whatever MINKE_ISA says.
std::vector<Form> forms() {
  std::vector<Form> all = {{"chosen", [](const GemmF32& gemm) { gemm_f32(gemm); }}};
  for (const Kernels* set : available_kernels()) all.push_back({set->name, set->gemm_f32});
  return all;
}

struct Size {
  int64_t rows, columns, depth;
};

// C has spare columns and rows that no form may write, A and B have strides longer than a row.
void compare(const Size& size, bool transposed_a, bool accumulate) {
  constexpr int64_t kSpare = 5;
  const int64_t a_stride = (transposed_a ? size.rows : size.depth) + kSpare;
  const int64_t b_stride = size.columns + kSpare;
  const std::vector<float> a = random_values((transposed_a ? size.depth : size.rows) * a_stride, 1);
  const std::vector<float> b = random_values(size.depth * b_stride, 2);
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
  gemm_f32_reference(gemm);
  for (const Form& form : forms()) {
    std::vector<float> got = start;
    gemm.c = got.data();
    form.run(gemm);
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(std::memcmp(&got[i], &want[i], sizeof(float)), 0)
          << form.name << " at [" << i / b_stride << ", " << i % b_stride << "]: got " << got[i]
          << ", want " << want[i] << "; " << size.rows << " x " << size.columns << " x "
          << size.depth;
    }
  }
}

TEST(GemmF32, AllFormsMatchTheReferenceBitForBit) {
  for (const int64_t rows : {1, 2, 5, 6, 11, 12, 13, 29}) {
    for (const int64_t columns : {1, 7, 8, 15, 16, 17, 31, 32, 33, 64}) {
      for (const bool transposed_a : {false, true}) {
        compare({rows, columns, 9}, transposed_a, false);
        compare({rows, columns, 9}, transposed_a, true);
      }
    }
  }
  // Depths around the block that a tile runs over.
  for (const int64_t depth : {0, 1, 255, 256, 257, 600}) {
    compare({13, 33, depth}, true, false);
    compare({13, 33, depth}, false, true);
  }
}

TEST(GemmF32, ReferenceIsAProduct) {
  const float a[] = {1, 2, 3, 4, 5, 6};  // [2, 3]
  const float b[] = {1, 0, 2, 1, 0, 3};  // [3, 2]
  float c[] = {10, 20, 30, 40};
  gemm_f32_reference({.rows = 2,
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

TEST(GemmF32, ThreadsDoNotShowInTheBits) {
  const std::vector<float> a = random_values(100 * 70, 1);
  const std::vector<float> b = random_values(70 * 48, 2);
  std::vector<float> first;
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    std::vector<float> c(100 * 48);
    gemm_f32(pool, {.rows = 100,
                    .columns = 48,
                    .depth = 70,
                    .a = a.data(),
                    .a_row_stride = 70,
                    .a_k_stride = 1,
                    .b = b.data(),
                    .b_stride = 48,
                    .c = c.data(),
                    .c_stride = 48});
    if (first.empty()) first = c;
    EXPECT_EQ(c, first) << threads << " threads";
  }
}

}  // namespace
}  // namespace minke
