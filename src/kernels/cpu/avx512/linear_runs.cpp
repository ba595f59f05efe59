// Products with formats of one scale a run of 32.
#include "kernels/cpu/avx512/linear_quantised.h"

namespace minke::avx512 {

void linear_q4_0(const LinearTask& task, int64_t begin, int64_t end) {
  linear_quantised<Q4_0>(task, begin, end);
}
void linear_q4_1(const LinearTask& task, int64_t begin, int64_t end) {
  linear_quantised<Q4_1>(task, begin, end);
}
void linear_q5_0(const LinearTask& task, int64_t begin, int64_t end) {
  linear_quantised<Q5_0>(task, begin, end);
}
void linear_q8_0(const LinearTask& task, int64_t begin, int64_t end) {
  linear_quantised<Q8_0>(task, begin, end);
}
void linear_run8(const LinearTask& task, int64_t begin, int64_t end) {
  linear_quantised<Run8>(task, begin, end);
}

}  // namespace minke::avx512
