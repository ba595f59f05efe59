// Passes over a row of logits, for choosing tokens: largest values, and weights exp((x - largest) /
// temperature), of blocks of kLogitBlock at a time, so that whoever looks for likely tokens can
// pass over blocks that have none.
//
// One definition for all instruction sets (cpu/logits_lanes.h): 16 lanes, each operation rounded
// alone, compiled once for each set. Pure functions, safe from any thread.
#pragma once

#include <cstdint>

namespace minke {

inline constexpr int64_t kLogitBlock = 64;
// Weights below e^-32 of the largest are zero.
inline constexpr float kNegligibleLogWeight = -32.0F;

struct LogitKernels {
  // The largest of each whole block, to block_largest [blocks]. False when some value is NaN or
  // +infinity, and then the largest values mean nothing.
  bool (*scan)(const float* logits, int64_t blocks, float* block_largest);
  // weights[i] = exp((logits[i] - largest) * inverse_temperature), for whole blocks; logits are at
  // most `largest`.
  void (*weigh)(const float* logits, int64_t blocks, float largest, float inverse_temperature,
                float* weights);
  // The sum of these weights of each block: 16 lanes in fp32, then the lanes in double.
  void (*weigh_blocks)(const float* logits, int64_t blocks, const float* block_largest,
                       float largest, float inverse_temperature, double* block_weight);
};

// For the instruction set that runs everything else (kernels.h).
const LogitKernels& logit_kernels();

// With the instructions that every processor has.
extern const LogitKernels logit_kernels_reference;

}  // namespace minke
