// How the GPU reads each panel format (kernels/panels.h is the definition of the bytes; the panels
// are the processor's own). A panel's 16 outputs are the 16 rows of an integer mma; lane l of the
// warp has outputs l / 4 and l / 4 + 8.
//
// The order of K inside a run of 32 is free, since its sum is exact: lane l, with j = l % 4, takes
// values 8j .. 8j + 3 for the first half of the instruction's K and 8j + 4 .. 8j + 7 for the
// second. That is one word of nibbles an output, and one 8-byte load of activations (tiles.h).
//
// Quants are unsigned; what they exceed the true value by, kOffset, is taken off by starting the
// sum at -kOffset times the sum of the activations.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/arithmetic.cuh"
#include "kernels/cuda/ptx/memory.h"
#include "kernels/panel_format.h"

namespace minke::cuda {

// Weights in global memory are read once; in shared memory they are read like anything else.
template <bool kStream>
__device__ inline uint32_t load_word(const std::byte* at) {
  if constexpr (kStream) {
    return ptx::load_stream(at);
  } else {
    return *reinterpret_cast<const uint32_t*>(at);
  }
}
template <bool kStream>
__device__ inline float load_half(const std::byte* at) {
  if constexpr (kStream) {
    return half_bits_to_float(__ldg(reinterpret_cast<const unsigned short*>(at)));
  } else {
    return half_bits_to_float(*reinterpret_cast<const unsigned short*>(at));
  }
}
template <bool kStream>
__device__ inline float load_float(const std::byte* at) {
  return __uint_as_float(load_word<kStream>(at));
}
__device__ inline uint32_t low_nibbles(uint32_t word) { return word & 0x0f0f0f0fu; }
__device__ inline uint32_t high_nibbles(uint32_t word) { return word >> 4 & 0x0f0f0f0fu; }
// Bit `bit` of each byte of `bits`, as bit 4.
__device__ inline uint32_t bit_to_4(uint32_t bits, int bit) {
  return (bits >> bit & 0x01010101u) << 4;
}

// --- Formats with a scale for a run of 32 --------------------------------------------------------
// unpack(run_bytes, o, j, low, high): the two words of output o that lane j takes.
// scale and min: of output o, from the group and from the run's own bytes.

template <bool kStream>
struct RunScales {
  static __device__ float scale(const std::byte* group, const std::byte*, int run, int o) {
    return load_half<kStream>(group + (run * 16 + o) * 2);
  }
};

template <bool kStream>
struct Q4_0 : RunScales<kStream> {
  static constexpr PanelFormat kFormat = PanelFormat::kQ4_0;
  static constexpr int kOffset = 8;
  static constexpr bool kMin = false;
  static constexpr int kRunBytes = 256;
  static __device__ int payload(int scales) { return scales; }
  static __device__ void unpack(const std::byte* run, int o, int j, uint32_t& low, uint32_t& high) {
    const uint32_t word = load_word<kStream>(run + j * 64 + o * 4);
    low = low_nibbles(word);
    high = high_nibbles(word);
  }
};

template <bool kStream>
struct Q4_1 : Q4_0<kStream> {
  static constexpr PanelFormat kFormat = PanelFormat::kQ4_1;
  static constexpr int kOffset = 0;
  static constexpr bool kMin = true;
  static __device__ int payload(int scales) { return 2 * scales; }
  static __device__ float min(const std::byte* group, const std::byte*, int scales, int run,
                              int o) {
    return load_half<kStream>(group + scales + (run * 16 + o) * 2);
  }
};

template <bool kStream>
struct Q5_0 : RunScales<kStream> {
  static constexpr PanelFormat kFormat = PanelFormat::kQ5_0;
  static constexpr int kOffset = 16;
  static constexpr bool kMin = false;
  static constexpr int kRunBytes = 320;
  static __device__ int payload(int scales) { return scales; }
  static __device__ void unpack(const std::byte* run, int o, int j, uint32_t& low, uint32_t& high) {
    const uint32_t word = load_word<kStream>(run + j * 64 + o * 4);
    const uint32_t bits = load_word<kStream>(run + 256 + o * 4);
    low = low_nibbles(word) | bit_to_4(bits, 2 * j);
    high = high_nibbles(word) | bit_to_4(bits, 2 * j + 1);
  }
};

template <bool kStream>
struct Q8_0 : RunScales<kStream> {
  static constexpr PanelFormat kFormat = PanelFormat::kQ8_0;
  static constexpr int kOffset = 128;
  static constexpr bool kMin = false;
  static constexpr int kRunBytes = 512;
  static __device__ int payload(int scales) { return scales; }
  static __device__ void unpack(const std::byte* run, int o, int j, uint32_t& low, uint32_t& high) {
    low = load_word<kStream>(run + j * 128 + o * 4);
    high = load_word<kStream>(run + j * 128 + 64 + o * 4);
  }
};

// Scales lie with each run, as fp32.
template <bool kStream>
struct Run8 {
  static constexpr PanelFormat kFormat = PanelFormat::kRun8;
  static constexpr int kOffset = 128;
  static constexpr bool kMin = true;
  static constexpr int kRunBytes = 640;
  static __device__ int payload(int) { return 0; }
  static __device__ void unpack(const std::byte* run, int o, int j, uint32_t& low, uint32_t& high) {
    Q8_0<kStream>::unpack(run + 128, o, j, low, high);
  }
  static __device__ float scale(const std::byte*, const std::byte* run_bytes, int, int o) {
    return load_float<kStream>(run_bytes + o * 4);
  }
  static __device__ float min(const std::byte*, const std::byte* run_bytes, int, int, int o) {
    return load_float<kStream>(run_bytes + 64 + o * 4);
  }
};

// --- Super-blocks of 256 -------------------------------------------------------------------------
// A Scales holds what one output needs of a group: d, dmin and the integer scales and minimums.
// kSubs 8: unpack(group, run, ...) as above, and scale(run). kSubs 16: unpack16(group, sub, o, j),
// the word of values 4j .. 4j + 3 of the sub-block, and four_scales(group, quad, o), those of
// sub-blocks 4 quad .. 4 quad + 3 as signed bytes. mins(j): minimums of sub-blocks 4j .. 4j + 3
// of 16.

template <bool kStream>
struct K4 {
  static constexpr int kOffset = 0;
  static constexpr bool kMin = true;
  static constexpr int kSubs = 8;
  struct Scales {
    float d;
    float dmin;
    uint32_t rows[3];
    __device__ int scale(int run) const {
      return static_cast<int>((run < 4 ? rows[0] : rows[1]) >> 8 * (run % 4) & 63u);
    }
    __device__ uint32_t mins(int j) const {
      const uint32_t word = j < 2
                                ? rows[2] & 0x3f3f3f3fu
                                : (rows[0] >> 6 & 0x03030303u) | (rows[1] >> 6 & 0x03030303u) << 2 |
                                      (rows[2] >> 6 & 0x03030303u) << 4;
      return __byte_perm(word, 0, j % 2 == 0 ? 0x1100 : 0x3322);
    }
  };
  static __device__ Scales load(const std::byte*, const std::byte* group, int64_t, int o) {
    return {load_half<kStream>(group + o * 2),
            load_half<kStream>(group + 32 + o * 2),
            {load_word<kStream>(group + 64 + o * 4), load_word<kStream>(group + 128 + o * 4),
             load_word<kStream>(group + 192 + o * 4)}};
  }
};

template <bool kStream>
struct Q4_K : K4<kStream> {
  static constexpr PanelFormat kFormat = PanelFormat::kQ4_K;
  static __device__ void unpack(const std::byte* group, int run, int o, int j, uint32_t& low,
                                uint32_t& high) {
    Q4_0<kStream>::unpack(group + 256 + run * 256, o, j, low, high);
  }
};

template <bool kStream>
struct Q5_K : K4<kStream> {
  static constexpr PanelFormat kFormat = PanelFormat::kQ5_K;
  static __device__ void unpack(const std::byte* group, int run, int o, int j, uint32_t& low,
                                uint32_t& high) {
    Q5_0<kStream>::unpack(group + 256 + run * 320, o, j, low, high);
  }
};

template <bool kStream>
struct Q6_K {
  static constexpr PanelFormat kFormat = PanelFormat::kQ6_K;
  static constexpr int kOffset = 32;
  static constexpr bool kMin = false;
  static constexpr int kSubs = 16;
  struct Scales {
    float d;
  };
  static __device__ Scales load(const std::byte* panel, const std::byte*, int64_t g, int o) {
    return {load_half<true>(panel + (g * 16 + o) * 2)};  // the panel's head stays in global memory
  }
  static __device__ uint32_t four_scales(const std::byte* group, int quad, int o) {
    return load_word<kStream>(group + quad * 64 + o * 4);
  }
  static __device__ uint32_t unpack16(const std::byte* group, int sub, int o, int j) {
    const std::byte* part = group + 256 + sub * 192;
    const uint32_t word = load_word<kStream>(part + j / 2 * 64 + o * 4);
    const uint32_t bits = load_word<kStream>(part + 128 + o * 4);
    return low_nibbles(word >> 4 * (j % 2)) | (bits >> 2 * j & 0x03030303u) << 4;
  }
};

template <bool kStream>
struct Super8 {
  static constexpr PanelFormat kFormat = PanelFormat::kSuper8;
  static constexpr int kOffset = 128;
  static constexpr bool kMin = true;
  static constexpr int kSubs = 16;
  struct Scales {
    float d;
    float dmin;
    const std::byte* bytes;  // of the output
    __device__ uint32_t mins(int j) const { return four_apart(bytes + 384 + j * 64); }
  };
  // Four bytes, 16 apart.
  static __device__ uint32_t four_apart(const std::byte* at) {
    uint32_t word = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) word |= static_cast<uint32_t>(at[i * 16]) << 8 * i;
    return word;
  }
  static __device__ uint32_t four_scales(const std::byte* group, int quad, int o) {
    return four_apart(group + 128 + quad * 64 + o);
  }
  static __device__ Scales load(const std::byte*, const std::byte* group, int64_t, int o) {
    return {load_float<kStream>(group + o * 4), load_float<kStream>(group + 64 + o * 4), group + o};
  }
  static __device__ uint32_t unpack16(const std::byte* group, int sub, int o, int j) {
    return load_word<kStream>(group + 640 + sub * 256 + j * 64 + o * 4);
  }
};

template <typename F>
constexpr bool kIsSuper = requires { F::kSubs; };

// Bytes of a group of `runs` runs, and where a panel's groups begin: group_bytes and
// panel_header_bytes of kernels/panels.h.
template <typename F>
__device__ inline int group_bytes_of(int runs) {
  if constexpr (F::kFormat == PanelFormat::kQ4_K) {
    return 2304;
  } else if constexpr (F::kFormat == PanelFormat::kQ5_K) {
    return 2816;
  } else if constexpr (F::kFormat == PanelFormat::kQ6_K) {
    return 3328;
  } else if constexpr (F::kFormat == PanelFormat::kSuper8) {
    return 4736;
  } else {
    return F::payload((runs * 32 + 63) / 64 * 64) + runs * F::kRunBytes;
  }
}
template <typename F>
__device__ inline int64_t header_bytes_of(int64_t groups) {
  return F::kFormat == PanelFormat::kQ6_K ? (groups * 32 + 63) / 64 * 64 : 0;
}

}  // namespace minke::cuda
