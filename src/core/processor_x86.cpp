#include "core/processor.h"

namespace minke {

void pause_briefly() { __builtin_ia32_pause(); }

uint64_t float_control() { return __builtin_ia32_stmxcsr(); }
void set_float_control(uint64_t control) { __builtin_ia32_ldmxcsr(static_cast<unsigned>(control)); }
uint64_t with_denormals_as_zero(uint64_t control) {
  return control | 0x8040u;  // FTZ and DAZ
}

}  // namespace minke
