// Test matrices, the products of matrices by their definition, and what two results differ by.
#include "gemm_check.cuh"
#include "kernels/cuda/arithmetic.cuh"
#include "kernels/cuda/ptx/convert.h"

namespace minke::bench {
namespace {

__device__ inline int64_t thread_index() { return int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }
__device__ inline int64_t thread_count() { return int64_t{gridDim.x} * blockDim.x; }

__device__ inline uint32_t mixed(uint64_t x) {
  x = (x ^ x >> 33) * 0xff51afd7ed558ccdULL;
  x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53ULL;
  return static_cast<uint32_t>(x >> 32);
}

// Nearly normal: the sum of the four bytes of a random word and of another.
__device__ inline float normal(int64_t index, uint32_t seed) {
  const uint32_t x = mixed(static_cast<uint64_t>(index) * 2 + (uint64_t{seed} << 40));
  const uint32_t y = mixed(static_cast<uint64_t>(index) * 2 + 1 + (uint64_t{seed} << 40));
  const auto sum_of_halves = [](uint32_t word) {
    return static_cast<float>(word & 0xffff) + static_cast<float>(word >> 16);
  };
  // Four values even in [0, 65535]: mean 131,070, standard deviation 37,837.
  return (sum_of_halves(x) + sum_of_halves(y) - 131070.0F) * (1.0F / 37837.0F);
}

__device__ inline float e4m3_value(uint8_t bits) {
  const int exponent = bits >> 3 & 15;
  const auto mantissa = static_cast<float>(bits & 7);
  const float size = exponent == 0 ? mantissa * 0.001953125F  // 2^-9
                                   : (8.0F + mantissa) * exp2f(static_cast<float>(exponent - 10));
  return (bits & 128) != 0 ? -size : size;
}

__device__ inline float value_of(uint16_t bits) {
  return __uint_as_float(static_cast<uint32_t>(bits) << 16);
}
__device__ inline float value_of(uint8_t bits) { return e4m3_value(bits); }
__device__ inline float value_of(float value) { return value; }

constexpr int kSide = 16;

// 16 x 16 threads, one value of out each. kScaled: a part for each 128 values of k, scaled.
template <typename T, bool kScaled>
__device__ inline void reference(const ReferenceArguments& r) {
  __shared__ float a[kSide][kSide];
  __shared__ float b[kSide][kSide + 1];
  const int x = static_cast<int>(threadIdx.x) % kSide;
  const int y = static_cast<int>(threadIdx.x) / kSide;
  const int64_t row = int64_t{blockIdx.y} * kSide + y;
  const int64_t column = int64_t{blockIdx.x} * kSide + x;
  const int64_t b_row = int64_t{blockIdx.x} * kSide + y;
  float total = 0.0F;
  float part = 0.0F;
  for (int64_t k = 0; k < r.k; k += kSide) {
    const bool in_k = k + x < r.k;
    a[y][x] = in_k && row < r.m ? value_of(static_cast<const T*>(r.a)[row * r.k + k + x]) : 0.0F;
    b[y][x] =
        in_k && b_row < r.n ? value_of(static_cast<const T*>(r.b)[b_row * r.k + k + x]) : 0.0F;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kSide; ++i) part = fmaf(a[y][i], b[x][i], part);
    __syncthreads();
    if (kScaled && (k + kSide) % 128 == 0 && row < r.m && column < r.n) {
      const float scale =
          r.a_scales[k / 128 * r.m + row] * r.b_scales[column / 128 * (r.k / 128) + k / 128];
      total = fmaf(part, scale, total);
      part = 0.0F;
    }
  }
  if (row < r.m && column < r.n) r.out[row * r.n + column] = kScaled ? total : part;
}

template <typename T>
__device__ inline void compare(const CompareArguments& c) {
  double error_squares = 0;
  double reference_squares = 0;
  unsigned long long not_numbers = 0;
  float error_max = 0;
  float reference_max = 0;
  for (int64_t i = thread_index(); i < c.count; i += thread_count()) {
    const float value = value_of(static_cast<const T*>(c.out)[i]);
    const float wanted = static_cast<const float*>(c.reference)[i];
    const float error = fabsf(value - wanted);
    if (!(error == error)) {
      ++not_numbers;
      continue;
    }
    error_squares += static_cast<double>(error) * error;
    reference_squares += static_cast<double>(wanted) * wanted;
    error_max = fmaxf(error_max, error);
    reference_max = fmaxf(reference_max, fabsf(wanted));
  }
  atomicAdd(&c.difference->error_squares, error_squares);
  atomicAdd(&c.difference->reference_squares, reference_squares);
  if (not_numbers != 0) atomicAdd(&c.difference->not_numbers, not_numbers);
  // Bits of floats that are not negative are ordered as the floats are.
  atomicMax(reinterpret_cast<unsigned*>(&c.difference->error_max), __float_as_uint(error_max));
  atomicMax(reinterpret_cast<unsigned*>(&c.difference->reference_max),
            __float_as_uint(reference_max));
}

}  // namespace

extern "C" __global__ void fill_bf16(const FillArguments f) {
  for (int64_t i = thread_index(); i < f.count; i += thread_count()) {
    static_cast<uint16_t*>(f.out)[i] =
        static_cast<uint16_t>(cuda::bf16_bits(f.scale * normal(i, f.seed)));
  }
}
extern "C" __global__ void fill_e4m3(const FillArguments f) {
  for (int64_t i = thread_index(); i < f.count; i += thread_count()) {
    static_cast<uint8_t*>(f.out)[i] =
        static_cast<uint8_t>(ptx::e4m3_pair(f.scale * normal(i, f.seed), 0.0F));
  }
}
// Between half of f.scale and one and a half of it.
extern "C" __global__ void fill_scales(const FillArguments f) {
  for (int64_t i = thread_index(); i < f.count; i += thread_count()) {
    const uint32_t random = mixed(static_cast<uint64_t>(i) + (uint64_t{f.seed} << 40));
    static_cast<float*>(f.out)[i] =
        f.scale * (0.5F + static_cast<float>(random >> 8) * (1.0F / 16777216.0F));
  }
}
// Bytes of a NaN, whether the values are bf16 or fp32.
extern "C" __global__ void fill_nan(const FillArguments f) {
  for (int64_t i = thread_index(); i < f.count; i += thread_count()) {
    static_cast<uint16_t*>(f.out)[i] = 0x7fff;
  }
}

// Grid: (n / 16, m / 16), 256 threads.
extern "C" __global__ void reference_bf16(const ReferenceArguments r) {
  reference<uint16_t, false>(r);
}
extern "C" __global__ void reference_fp8(const ReferenceArguments r) {
  reference<uint8_t, true>(r);
}

extern "C" __global__ void compare_bf16(const CompareArguments c) { compare<uint16_t>(c); }
extern "C" __global__ void compare_f32(const CompareArguments c) { compare<float>(c); }
// Two results, 16 bits at a time.
extern "C" __global__ void compare_bits(const CompareArguments c) {
  unsigned long long unequal = 0;
  for (int64_t i = thread_index(); i < c.count; i += thread_count()) {
    unequal +=
        static_cast<const uint16_t*>(c.out)[i] != static_cast<const uint16_t*>(c.reference)[i];
  }
  if (unequal != 0) atomicAdd(&c.difference->unequal, unequal);
}

}  // namespace minke::bench
