#include "core/processor.h"

namespace minke {

void pause_briefly() { asm volatile("yield"); }

uint64_t float_control() {
  uint64_t control;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  return control;
}
void set_float_control(uint64_t control) { asm volatile("msr fpcr, %0" ::"r"(control)); }
uint64_t with_denormals_as_zero(uint64_t control) {
  return control | (uint64_t{1} << 24);  // FZ
}

}  // namespace minke
