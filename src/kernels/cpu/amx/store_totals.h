// Where the products of all rows and some panels go once they are summed.
#pragma once

#include "kernels/cpu/avx512/vec.h"

namespace minke::amx {

// `totals` is [panel][rows][16]. Row by row: the outputs of a row lie beside each other, those of a
// panel a page apart.
inline void store_totals(const LinearTask& task, int64_t begin, int64_t end, const float* totals) {
  for (int64_t row = 0; row < task.rows; ++row) {
    for (int64_t p = begin; p < end; ++p) {
      const float* at = totals + ((p - begin) * task.rows + row) * 16;
      avx512::store_outputs(task, p, row, _mm512_load_ps(at));
    }
  }
}

}  // namespace minke::amx
