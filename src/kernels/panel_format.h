// The layouts of packed weights, by name. Seen by GPU code too (C++20).
#pragma once

#include <cstdint>

namespace minke {

// Formats by what a group holds. Runs are 32 values; `n` is the number of runs in the group (8, or
// fewer in the last one).
enum class PanelFormat : uint8_t {
  // One scale a run:          d fp16[n][16] padded to 64 bytes, then by run
  kQ4_0,  // value = d (q - 8):   nibbles 256
  kQ4_1,  // value = d q + m:     (m fp16[n][16] after d) nibbles 256
  kQ5_0,  // value = d (q - 16):  nibbles 256, high bits 64
  kQ8_0,  // value = d (q - 128): bytes 512
  kRun8,  // value = d (q - 128) + m: d fp32[16], m fp32[16], bytes 512 (Q5_1, IQ4_NL, MXFP4)
  // Super-blocks of 256: n is always 8
  kQ4_K,    // d dmin fp16[16], 6-bit scales and mins 192, nibbles 2048
  kQ5_K,    // the same, then 8 times: nibbles 256, high bits 64
  kQ6_K,    // scales int8 256, then 16 times: nibbles 128, high bits 64; the panel's d come first
  kSuper8,  // d dmin fp32[16], scales int8[16][16], mins uint8[16][16], bytes 4096 (Q2_K Q3_K ...)
  // No groups
  kF32,   // fp32[K][16]
  kF16,   // fp16[K][16]
  kBF16,  // bf16[ceil(K / 2)][16][2]
};
inline constexpr int kPanelFormats = 12;

}  // namespace minke
