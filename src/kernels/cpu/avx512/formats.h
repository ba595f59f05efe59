// How AVX-512 unpacks each panel format (kernels/panels.h is the definition of the bytes). A format
// gives its quants as unsigned bytes, eight values of K at a time: `low` holds values 8r..8r+3 of
// 16 outputs, `high` 8r+4..8r+7. What they exceed the true value by, kOffset, is taken off by
// starting the integer sum at -kOffset times the sum of the activations.
#pragma once

#include "kernels/cpu/avx512/vec.h"

namespace minke::avx512 {

struct Bytes8 {
  __m512i low;
  __m512i high;
};

inline __m512i load64(const std::byte* at) { return _mm512_load_si512(at); }
inline Bytes8 split_nibbles(__m512i row) {
  const __m512i mask = _mm512_set1_epi8(15);
  return {_mm512_and_si512(row, mask), _mm512_and_si512(_mm512_srli_epi16(row, 4), mask)};
}
// nibbles | (bits & mask): one instruction.
inline __m512i merge_bits(__m512i nibbles, __m512i bits, __m512i mask) {
  return _mm512_ternarylogic_epi32(nibbles, bits, mask, 0xf8);
}

// --- Formats with one fp16 scale for a run of 32 values ------------------------------------------

struct RunNibbles {  // 256 bytes a run
  static constexpr int64_t kRunBytes = 256;
  static int64_t payload(int64_t scales) { return scales; }
  static Bytes8 bytes(const std::byte* run, int64_t r) {
    return split_nibbles(load64(run + r * 64));
  }
};

struct Q4_0 : RunNibbles {
  static constexpr PanelFormat kFormat = PanelFormat::kQ4_0;
  static constexpr int kOffsetShift = 3;  // offset 8
  static constexpr bool kOffset = true;
  static constexpr bool kMin = false;
};

struct Q4_1 : RunNibbles {
  static constexpr PanelFormat kFormat = PanelFormat::kQ4_1;
  static constexpr int kOffsetShift = 0;
  static constexpr bool kOffset = false;
  static constexpr bool kMin = true;
  static int64_t payload(int64_t scales) { return 2 * scales; }
};

struct Q5_0 {
  static constexpr PanelFormat kFormat = PanelFormat::kQ5_0;
  static constexpr int kOffsetShift = 4;  // offset 16
  static constexpr bool kOffset = true;
  static constexpr bool kMin = false;
  static constexpr int64_t kRunBytes = 320;
  static int64_t payload(int64_t scales) { return scales; }
  static Bytes8 bytes(const std::byte* run, int64_t r) {
    const Bytes8 nibbles = split_nibbles(load64(run + r * 64));
    const __m512i bits = load64(run + 256);
    const __m512i mask = _mm512_set1_epi8(16);
    // Bit 2r is the low half's fifth bit, 2r + 1 the high half's; bring each to bit 4.
    const auto bit_to_4 = [&](uint64_t bit) {
      return bit <= 4 ? _mm512_slli_epi32(bits, static_cast<unsigned>(4 - bit))
                      : _mm512_srli_epi32(bits, static_cast<unsigned>(bit - 4));
    };
    const auto first = static_cast<uint64_t>(2 * r);
    return {merge_bits(nibbles.low, bit_to_4(first), mask),
            merge_bits(nibbles.high, bit_to_4(first + 1), mask)};
  }
};

struct Q8_0 {
  static constexpr PanelFormat kFormat = PanelFormat::kQ8_0;
  static constexpr int kOffsetShift = 7;  // offset 128
  static constexpr bool kOffset = true;
  static constexpr bool kMin = false;
  static constexpr int64_t kRunBytes = 512;
  static int64_t payload(int64_t scales) { return scales; }
  static Bytes8 bytes(const std::byte* run, int64_t r) {
    return {load64(run + r * 128), load64(run + r * 128 + 64)};
  }
};

// Scales lie with each run, as fp32.
struct Run8 {
  static constexpr PanelFormat kFormat = PanelFormat::kRun8;
  static constexpr int kOffsetShift = 7;
  static constexpr bool kOffset = true;
  static constexpr bool kMin = true;
  static constexpr int64_t kRunBytes = 640;
  static int64_t payload(int64_t) { return 0; }
  static Bytes8 bytes(const std::byte* run, int64_t r) {
    return {load64(run + 128 + r * 128), load64(run + 128 + r * 128 + 64)};
  }
};

template <typename F>
__m512 run_scale(const std::byte* group, const std::byte* run_bytes, int64_t run) {
  if constexpr (F::kFormat == PanelFormat::kRun8) {
    return _mm512_load_ps(run_bytes);
  } else {
    return half_to_float(group + run * 32);
  }
}
template <typename F>
__m512 run_min(const std::byte* group, const std::byte* run_bytes, int64_t scales, int64_t run) {
  if constexpr (F::kFormat == PanelFormat::kRun8) {
    return _mm512_load_ps(run_bytes + 64);
  } else {
    return half_to_float(group + scales + run * 32);
  }
}

// --- Super-blocks of 256
// ---------------------------------------------------------------------------

// Scales and minimums of Q4_K and Q5_K: words of four 6-bit values.
struct K4Scales {
  __m512 d;
  __m512 dmin;
  __m512i scales[2];
  __m512i mins[2];
};
inline K4Scales load_k4_scales(const std::byte* group) {
  const __m512i mask6 = _mm512_set1_epi8(63);
  const __m512i row0 = load64(group + 64);
  const __m512i row1 = load64(group + 128);
  const __m512i row2 = load64(group + 192);
  const __m512i bits01 = _mm512_and_si512(_mm512_srli_epi16(row0, 6), _mm512_set1_epi8(3));
  const __m512i bits23 = _mm512_and_si512(_mm512_srli_epi16(row1, 4), _mm512_set1_epi8(12));
  const __m512i bits45 = _mm512_and_si512(_mm512_srli_epi16(row2, 2), _mm512_set1_epi8(48));
  return {
      half_to_float(group),
      half_to_float(group + 32),
      {_mm512_and_si512(row0, mask6), _mm512_and_si512(row1, mask6)},
      {_mm512_and_si512(row2, mask6), _mm512_or_si512(bits01, _mm512_or_si512(bits23, bits45))}};
}

template <typename Self>
struct K4 {
  static constexpr bool kOffset = false;
  static constexpr int kOffsetShift = 0;
  static constexpr bool kMin = true;
  static constexpr int64_t kSubs = 8;  // a scale for each 32 values
  static constexpr int64_t kHeaderBytes = 256;
  using Scales = K4Scales;
  static Scales load_scales(const std::byte*, const std::byte* group, int64_t) {
    return load_k4_scales(group);
  }
  static __m512i scale(const Scales& scales, int64_t sub) {
    const __m512i words = scales.scales[sub / 4];
    return _mm512_and_si512(_mm512_srl_epi32(words, _mm_cvtsi64_si128(8 * (sub % 4))),
                            _mm512_set1_epi32(255));
  }
  // The four pairs of minimums that QuantGroup::shifted_pairs goes with.
  static __m512i min_pair(const Scales& scales, int64_t pair) {
    const __m512i words = scales.mins[pair / 2];
    return pair % 2 == 0 ? _mm512_and_si512(words, _mm512_set1_epi32(0x00ff00ff))
                         : _mm512_srli_epi16(words, 8);
  }
};

struct Q4_K : K4<Q4_K> {
  static constexpr PanelFormat kFormat = PanelFormat::kQ4_K;
  static constexpr int64_t kGroupBytes = 2304;
  static Bytes8 bytes(const std::byte* group, int64_t r) {
    return split_nibbles(load64(group + 256 + r * 64));
  }
};

struct Q5_K : K4<Q5_K> {
  static constexpr PanelFormat kFormat = PanelFormat::kQ5_K;
  static constexpr int64_t kGroupBytes = 2816;
  static Bytes8 bytes(const std::byte* group, int64_t r) {
    return Q5_0::bytes(group + 256 + (r >> 2) * 320, r & 3);
  }
};

struct Q6_K {
  static constexpr PanelFormat kFormat = PanelFormat::kQ6_K;
  static constexpr int64_t kGroupBytes = 3328;
  static constexpr int64_t kHeaderBytes = 256;
  static constexpr bool kOffset = true;
  static constexpr int kOffsetShift = 5;  // offset 32
  static constexpr bool kMin = false;
  static constexpr int64_t kSubs = 16;
  struct Scales {
    __m512 d;
    const std::byte* scales;
  };
  static Scales load_scales(const std::byte* panel, const std::byte* group, int64_t g) {
    return {half_to_float(panel + g * 32), group};
  }
  static __m512i scale(const Scales& scales, int64_t sub) {
    const __m512i words = load64(scales.scales + sub / 4 * 64);
    const __m512i top = _mm512_sll_epi32(words, _mm_cvtsi64_si128(24 - 8 * (sub % 4)));
    return _mm512_srai_epi32(top, 24);
  }
  static Bytes8 bytes(const std::byte* group, int64_t r) {
    const std::byte* part = group + 256 + (r >> 1) * 192;
    const Bytes8 nibbles = split_nibbles(load64(part + (r & 1) * 64));
    const __m512i bits = load64(part + 128);
    const __m512i mask = _mm512_set1_epi8(48);
    if ((r & 1) == 0) {
      return {merge_bits(nibbles.low, _mm512_slli_epi32(bits, 4), mask),
              merge_bits(nibbles.high, _mm512_slli_epi32(bits, 2), mask)};
    }
    return {merge_bits(nibbles.low, bits, mask),
            merge_bits(nibbles.high, _mm512_srli_epi32(bits, 2), mask)};
  }
};

struct Super8 {
  static constexpr PanelFormat kFormat = PanelFormat::kSuper8;
  static constexpr int64_t kGroupBytes = 640 + 4096;
  static constexpr int64_t kHeaderBytes = 640;
  static constexpr bool kOffset = true;
  static constexpr int kOffsetShift = 7;
  static constexpr bool kMin = true;
  static constexpr int64_t kSubs = 16;
  struct Scales {
    __m512 d;
    __m512 dmin;
    const std::byte* group;
  };
  static Scales load_scales(const std::byte*, const std::byte* group, int64_t) {
    return {_mm512_load_ps(group), _mm512_load_ps(group + 64), group};
  }
  static __m512i scale(const Scales& scales, int64_t sub) {
    return _mm512_cvtepi8_epi32(
        _mm_load_si128(reinterpret_cast<const __m128i*>(scales.group + 128 + sub * 16)));
  }
  static __m512i min(const Scales& scales, int64_t sub) {
    return _mm512_cvtepu8_epi32(
        _mm_load_si128(reinterpret_cast<const __m128i*>(scales.group + 384 + sub * 16)));
  }
  static Bytes8 bytes(const std::byte* group, int64_t r) {
    return {load64(group + 640 + r * 128), load64(group + 640 + r * 128 + 64)};
  }
};

}  // namespace minke::avx512
