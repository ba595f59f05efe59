// Warp-wide integer products (PTX ISA, "mma"). A is 16 rows of K values, B is K values of 8
// columns, C and D are 16 x 8. Lane l holds, with g = l / 4 and j = l % 4:
//   A, K = 32: registers (row g, k 4j..), (row g + 8, k 4j..), (row g, k 16 + 4j..), (g + 8, ...)
//   A, K = 16: registers (row g, k 4j..), (row g + 8, k 4j..)
//   B, K = 32: registers (k 4j.., column g), (k 16 + 4j.., column g); K = 16: the first alone
//   C and D:   (row g, columns 2j, 2j + 1), (row g + 8, columns 2j, 2j + 1)
// Sums are exact in 32 bits.
#pragma once

#include <cstdint>

namespace minke::ptx {

// d += a b, unsigned bytes times signed bytes.
__device__ inline void mma_u8s8_k32(int32_t (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                    uint32_t b1) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ inline void mma_u8s8_k16(int32_t (&d)[4], uint32_t a0, uint32_t a1, uint32_t b0) {
  asm("mma.sync.aligned.m16n8k16.row.col.s32.u8.s8.s32 "
      "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a0), "r"(a1), "r"(b0));
}
// d += a b, both unsigned.
__device__ inline void mma_u8u8_k16(int32_t (&d)[4], uint32_t a0, uint32_t a1, uint32_t b0) {
  asm("mma.sync.aligned.m16n8k16.row.col.s32.u8.u8.s32 "
      "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a0), "r"(a1), "r"(b0));
}

}  // namespace minke::ptx
