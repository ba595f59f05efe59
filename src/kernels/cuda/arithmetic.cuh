// The elementary functions of the numerics contract on the GPU: operation for operation what
// kernels/math.h and kernels/reference do on the processor, and so the same bits. The build spells
// out what the compiler may do: no fused operations but fmaf, IEEE division and square root,
// denormals as zero.
#pragma once

#include <cstdint>

namespace minke::cuda {

// exact_exp of kernels/math.h.
__device__ inline float exp_exact(float x) {
  if (x < -87.3F) return 0.0F;
  x = x > 88.3F ? 88.3F : x;  // NaN passes
  const float n = rintf(x * 1.44269504F);
  float r = fmaf(n, -0.693359375F, x);
  r = fmaf(n, 2.12194440e-4F, r);
  float p = 1.9875691500e-4F;
  p = fmaf(p, r, 1.3981999507e-3F);
  p = fmaf(p, r, 8.3334519073e-3F);
  p = fmaf(p, r, 4.1665795894e-2F);
  p = fmaf(p, r, 1.6666665459e-1F);
  p = fmaf(p, r, 5.0000001201e-1F);
  p = fmaf(p * r, r, r) + 1.0F;
  if (!(n == n)) return x;
  return p * __int_as_float((static_cast<int32_t>(n) + 127) << 23);
}

__device__ inline float silu_exact(float x) { return x / (1.0F + exp_exact(-x)); }

// To bf16, to nearest even, denormals to zero; NaN stays one. In the low half of the result.
__device__ inline uint32_t bf16_bits(float value) {
  uint32_t bits = __float_as_uint(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (bits >> 16) | 0x40u;
  if ((bits & 0x7f800000u) == 0) bits &= 0x80000000u;
  return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}
__device__ inline float bf16_low(uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ inline float bf16_high(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }
__device__ inline float rounded_to_bf16(float value) {
  return __uint_as_float(bf16_bits(value) << 16);
}

// sum + a0 b0 + a1 b1 as the processor's vdpbf16ps adds them: the odd product first.
__device__ inline float add_pair(float sum, float a0, float b0, float a1, float b1) {
  return fmaf(a0, b0, fmaf(a1, b1, sum));
}

// fp16 to fp32, denormals of fp16 included.
__device__ inline float half_bits_to_float(uint32_t bits) {
  float value;
  asm("{ .reg .b16 h; cvt.u16.u32 h, %1; cvt.f32.f16 %0, h; }" : "=f"(value) : "r"(bits & 0xffffu));
  return value;
}

}  // namespace minke::cuda
