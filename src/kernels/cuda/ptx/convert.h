// Conversions (PTX ISA, "cvt").
#pragma once

#include <cstdint>

namespace minke::ptx {

// Two fp32 as bf16, to nearest even: `low` in the low half.
__device__ inline uint32_t bf16_pair(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

// Two fp32 as E4M3, to nearest even, at most 448 in size: `low` in the low byte.
__device__ inline uint16_t e4m3_pair(float low, float high) {
  uint16_t pair;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
  return pair;
}

}  // namespace minke::ptx
