#include "kernels/logits.h"

#include "kernels/cpu/logits_lanes.h"
#include "kernels/kernels.h"

namespace minke {

constinit const LogitKernels logit_kernels_reference = kLogitKernels;

const LogitKernels& logit_kernels() { return *chosen_kernels().logits; }

}  // namespace minke
