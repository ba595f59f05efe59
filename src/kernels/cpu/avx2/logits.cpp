#include "kernels/cpu/avx2/vec.h"
#include "kernels/cpu/logits_lanes.h"

namespace minke::avx2 {

constinit const LogitKernels logits = kLogitKernels;

}  // namespace minke::avx2
