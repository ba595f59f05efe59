#include "kernels/logits.h"

#include <string_view>

#include "kernels/cpu/logits_lanes.h"
#include "kernels/kernels.h"

namespace minke {

const LogitKernels& logit_kernels_baseline() { return kLogitKernels; }

const LogitKernels& logit_kernels() {
  static const LogitKernels* const chosen = [] {
    const Result<const Kernels*> set = select_kernels();
    const std::string_view name = set ? (*set)->name : "reference";
#if defined(__x86_64__)
    if (name == "avx512" || name == "amx") return &logit_kernels_avx512();
    if (name == "avx2") return &logit_kernels_avx2();
#endif
    return &logit_kernels_baseline();
  }();
  return *chosen;
}

}  // namespace minke
