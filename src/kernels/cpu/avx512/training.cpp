#include "kernels/cpu/avx512/vec.h"
#include "kernels/cpu/training_lanes.h"

namespace minke::avx512 {

constinit const TrainingKernels training = kTrainingKernels;

}  // namespace minke::avx512
