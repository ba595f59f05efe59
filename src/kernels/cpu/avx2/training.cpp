#include "kernels/cpu/avx2/vec.h"
#include "kernels/cpu/training_lanes.h"

namespace minke::avx2 {

constinit const TrainingKernels training = kTrainingKernels;

}  // namespace minke::avx2
