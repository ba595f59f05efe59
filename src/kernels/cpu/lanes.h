// Loops that are written once for all instruction sets: 16 lanes, in as many of the compiler's own
// vectors as the set needs for them that the including file is compiled for; no fused operations,
// so all sets give the same bits. Internal to src/kernels.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/logits.h"

namespace minke {
namespace {

#if defined(__AVX512F__)
constexpr int64_t kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int64_t kVectorBytes = 32;
#else
constexpr int64_t kVectorBytes = 16;  // every processor has these
#endif
using Floats = float __attribute__((vector_size(kVectorBytes)));
using Ints = int32_t __attribute__((vector_size(kVectorBytes)));
constexpr int64_t kWidth = kVectorBytes / 4;
constexpr int64_t kLanes = 16;
constexpr int64_t kVectors = kLanes / kWidth;

// Vectors go by reference: how they would go by value depends on the instruction set.
[[gnu::always_inline]] inline void load(const float* from, Floats& v) {
  std::memcpy(&v, from, sizeof v);
}

// x becomes exp(x), for x <= 0, and 0 below kNegligibleLogWeight and for NaN; 2 ulp off at most.
// x = n ln2 + r; e^r by a polynomial of degree 6.
[[gnu::always_inline]] inline void exp_weight(Floats& x) {
  const Floats lowest = Floats{} - 64.0F;
  const Floats clamped = x > lowest ? x : lowest;
  constexpr float kRoundMagic = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  const Floats shifted = clamped * 1.44269504F + kRoundMagic;
  const Floats n = shifted - kRoundMagic;
  const Floats r = (clamped - n * 0.693359375F) + n * 2.12194440e-4F;
  Floats p = r * 1.9875691500e-4F + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = (p * r) * r + r + 1.0F;
  Ints bits;
  std::memcpy(&bits, &p, sizeof bits);
  Ints exponent;
  std::memcpy(&exponent, &shifted, sizeof exponent);
  bits += (exponent - 0x4B400000) << 23;           // 0x4B400000 is the magic number's own pattern
  bits &= (x >= Floats{} + kNegligibleLogWeight);  // all ones or all zeros
  std::memcpy(&x, &bits, sizeof x);
}

}  // namespace
}  // namespace minke
