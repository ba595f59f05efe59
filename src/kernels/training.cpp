#include "kernels/training.h"

#include "kernels/cpu/training_lanes.h"
#include "kernels/kernels.h"

namespace minke {

constinit const TrainingKernels training_kernels_reference = kTrainingKernels;

const TrainingKernels& training_kernels() { return *chosen_kernels().training; }

}  // namespace minke
