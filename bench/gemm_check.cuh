// What gemm_check.cu is given. Seen by host and device code (C++20).
#pragma once

#include <cstdint>

namespace minke::bench {

struct FillArguments {
  void* out = nullptr;
  int64_t count = 0;
  uint32_t seed = 0;
  float scale = 1.0F;  // of the normal values
};

// The product by its definition, in fp32.
struct ReferenceArguments {
  const void* a = nullptr;  // [m, k]
  const void* b = nullptr;  // [n, k]
  float* out = nullptr;     // [m, n]
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  const float* a_scales = nullptr;  // [k / 128, m]
  const float* b_scales = nullptr;  // [ceil(n / 128), k / 128]
};

struct Difference {
  double error_squares = 0;
  double reference_squares = 0;
  unsigned long long not_numbers = 0;
  unsigned long long unequal = 0;  // values whose bits differ
  float error_max = 0;
  float reference_max = 0;
};

struct CompareArguments {
  const void* out = nullptr;
  const void* reference = nullptr;
  int64_t count = 0;
  Difference* difference = nullptr;
};

}  // namespace minke::bench
