// On a processor that is no x86 there are neither AVX2 nor AVX-512 nor AMX kernels, nor loops for
// its peaks.
#include "kernels/cpu/peak_loops.h"
#include "kernels/kernels.h"

namespace minke {

const Kernels* avx2_kernels() { return nullptr; }
const Kernels* avx512_kernels() { return nullptr; }
const Kernels* amx_kernels() { return nullptr; }

PeakLoops peak_loops(std::string_view) { return {}; }

}  // namespace minke
