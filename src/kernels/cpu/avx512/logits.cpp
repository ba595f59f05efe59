#include "kernels/cpu/avx512/vec.h"
#include "kernels/cpu/logits_lanes.h"

namespace minke::avx512 {

constinit const LogitKernels logits = kLogitKernels;

}  // namespace minke::avx512
