// The passes of kernels/logits.h, for the instruction set that the including file is compiled for:
// in 16 lanes. Internal to src/kernels.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

#include "kernels/cpu/lanes.h"
#include "kernels/logits.h"

namespace minke {
namespace {

[[gnu::always_inline]] inline void load_weight(const float* from, float largest,
                                               float inverse_temperature, Floats& w) {
  load(from, w);
  w = (w - largest) * inverse_temperature;
  exp_weight(w);
}

bool scan_lanes(const float* logits, int64_t blocks, float* block_largest) {
  const Floats limit = Floats{} + std::numeric_limits<float>::max();
  Ints valid = Ints{} - 1;
  for (int64_t block = 0; block < blocks; ++block) {
    const float* from = logits + block * kLogitBlock;
    Floats largest[kVectors];
    for (int64_t v = 0; v < kVectors; ++v) {
      load(from + v * kWidth, largest[v]);
      valid &= (largest[v] <= limit);  // false for NaN and +infinity
    }
    for (int64_t i = kLanes; i < kLogitBlock; i += kLanes) {
      for (int64_t v = 0; v < kVectors; ++v) {
        Floats x;
        load(from + i + v * kWidth, x);
        valid &= (x <= limit);
        largest[v] = x > largest[v] ? x : largest[v];
      }
    }
    float lanes[kLanes];
    std::memcpy(lanes, largest, sizeof lanes);
    for (int64_t width = kLanes / 2; width >= 1; width /= 2) {
      for (int64_t i = 0; i < width; ++i) {
        lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width];
      }
    }
    block_largest[block] = lanes[0];
  }
  int32_t all = -1;
  for (int64_t i = 0; i < kWidth; ++i) all &= valid[i];
  return all != 0;
}

void weigh_lanes(const float* logits, int64_t blocks, float largest, float inverse_temperature,
                 float* weights) {
  for (int64_t i = 0; i < blocks * kLogitBlock; i += kWidth) {
    Floats w;
    load_weight(logits + i, largest, inverse_temperature, w);
    std::memcpy(weights + i, &w, sizeof w);
  }
}

void weigh_blocks_lanes(const float* logits, int64_t blocks, const float* block_largest,
                        float largest, float inverse_temperature, double* block_weight) {
  for (int64_t block = 0; block < blocks; ++block) {
    if ((block_largest[block] - largest) * inverse_temperature < kNegligibleLogWeight) {
      block_weight[block] = 0;
      continue;
    }
    const float* from = logits + block * kLogitBlock;
    Floats sums[kVectors] = {};
    for (int64_t i = 0; i < kLogitBlock; i += kLanes) {
      for (int64_t v = 0; v < kVectors; ++v) {
        Floats w;
        load_weight(from + i + v * kWidth, largest, inverse_temperature, w);
        sums[v] += w;
      }
    }
    float halves[kLanes];
    std::memcpy(halves, sums, sizeof halves);
    double lanes[kLanes];
    for (int64_t i = 0; i < kLanes; ++i) lanes[i] = static_cast<double>(halves[i]);
    for (int64_t width = kLanes / 2; width >= 1; width /= 2) {
      for (int64_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
    }
    block_weight[block] = lanes[0];
  }
}

constexpr LogitKernels kLogitKernels = {
    .scan = scan_lanes, .weigh = weigh_lanes, .weigh_blocks = weigh_blocks_lanes};

}  // namespace
}  // namespace minke
