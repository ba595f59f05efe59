// Loops that keep a processor's multipliers as busy as they can be: what kernels/peaks.h measures
// with.
#pragma once

#include <cstdint>
#include <string_view>

namespace minke {

struct PeakLoop {
  void (*run)(int64_t rounds) = nullptr;  // null where there is no such loop
  double ops_a_round = 0;                 // a multiply and an add count as two
};

struct PeakLoops {
  PeakLoop int8;
  PeakLoop bf16;
  PeakLoop bf16_tiles;
  PeakLoop fp32;
};

// With the instructions of the kernels named `isa`; for "reference" the best that any processor may
// be expected to have.
PeakLoops peak_loops(std::string_view isa);

}  // namespace minke
