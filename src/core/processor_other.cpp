#include "core/processor.h"

namespace minke {

void pause_briefly() {}

uint64_t float_control() { return 0; }
void set_float_control(uint64_t) {}
uint64_t with_denormals_as_zero(uint64_t control) { return control; }

}  // namespace minke
