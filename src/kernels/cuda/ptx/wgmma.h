// Products of a warpgroup (four warps) on the tensor cores, in the background (PTX ISA,
// "Asynchronous warpgroup level matrix multiply-accumulate instructions"). A is 64 rows, B is N
// rows (columns of the product), both of K values side by side in shared memory, as a SharedMatrix
// says. D is fp32 in registers: thread t of the 128 holds, with row = 16 (t / 32) + t % 32 / 4 and
// column = 2 (t % 4),
//   d[4 i + 0], d[4 i + 1]: (row, 8 i + column), (row, 8 i + column + 1)
//   d[4 i + 2], d[4 i + 3]: the same of row + 8
// Everything here is executed by all threads of the warpgroup together.
#pragma once

#include <cstdint>

#include "kernels/cuda/ptx/memory.h"

namespace minke::ptx {

// Where an operand lies ("Matrix-descriptor layout"): rows of 128 bytes, their 16-byte pieces
// exchanged by piece ^= row % 8 (the 128-byte swizzle), groups of 8 rows 1,024 bytes apart. `at` is
// aligned to 1,024 bytes.
class SharedMatrix {
 public:
  // The address inside the block: bits 24 on say which block of the cluster.
  __device__ explicit SharedMatrix(const void* at)
      : bits_(kLayout | (shared_address(at) & 0x3ffffU) >> 4) {}
  // The operand that starts `bytes` further on: a multiple of 1,024 (other rows, another stage), or
  // of 32 inside the rows' 128 (later values of the same rows).
  __device__ SharedMatrix after(uint32_t bytes) const { return SharedMatrix(bits_ + (bytes >> 4)); }
  __device__ uint64_t bits() const { return bits_; }

 private:
  __device__ explicit SharedMatrix(uint64_t bits) : bits_(bits) {}
  // Bits 62 and 63: the 128-byte swizzle. From bit 32: bytes between groups of 8 rows / 16. From
  // bit 16: what this layout does not use, 1 by custom. From bit 0: address / 16.
  static constexpr uint64_t kLayout =
      uint64_t{1} << 62 | uint64_t{1024 / 16} << 32 | uint64_t{1} << 16;
  uint64_t bits_;
};

// Orders what was done with the registers of D before it against the products after it
// ("wgmma.fence").
__device__ inline void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

// Closes a group of products ("wgmma.commit_group").
__device__ inline void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

// Until at most kPending groups are under way ("wgmma.wait_group").
template <int kPending>
__device__ inline void wgmma_wait() {
  static_assert(kPending >= 0 && kPending <= 7);
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// Keeps the compiler from reading d before the wait in front of this.
template <int kCount>
__device__ inline void wgmma_results(float (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

#define MINKE_FLOATS_8(d, i)                                                                  \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), \
      "+f"(d[i + 6]), "+f"(d[i + 7])
#define MINKE_FLOATS_64(d, i)                                                          \
  MINKE_FLOATS_8(d, i), MINKE_FLOATS_8(d, i + 8), MINKE_FLOATS_8(d, i + 16),           \
      MINKE_FLOATS_8(d, i + 24), MINKE_FLOATS_8(d, i + 32), MINKE_FLOATS_8(d, i + 40), \
      MINKE_FLOATS_8(d, i + 48), MINKE_FLOATS_8(d, i + 56)

// d = a b, or d += a b: bf16, K = 16, N = 256 ("wgmma.mma_async").
__device__ inline void wgmma_bf16_n256(float (&d)[128], SharedMatrix a, SharedMatrix b, bool add) {
  asm volatile(
      "{\n"
      ".reg .pred add;\n"
      "setp.ne.b32 add, %130, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15,"
      " %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31,"
      " %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47,"
      " %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63,"
      " %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79,"
      " %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95,"
      " %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111,"
      " %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, "
      "%127}, "
      "%128, %129, add, 1, 1, 0, 0;\n"
      "}"
      : MINKE_FLOATS_64(d, 0), MINKE_FLOATS_64(d, 64)
      : "l"(a.bits()), "l"(b.bits()), "r"(static_cast<uint32_t>(add))
      : "memory");
}

// The same: E4M3, K = 32, N = 128.
__device__ inline void wgmma_e4m3_n128(float (&d)[64], SharedMatrix a, SharedMatrix b, bool add) {
  asm volatile(
      "{\n"
      ".reg .pred add;\n"
      "setp.ne.b32 add, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15,"
      " %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31,"
      " %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47,"
      " %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "%64, %65, add, 1, 1;\n"
      "}"
      : MINKE_FLOATS_64(d, 0)
      : "l"(a.bits()), "l"(b.bits()), "r"(static_cast<uint32_t>(add))
      : "memory");
}

#undef MINKE_FLOATS_64
#undef MINKE_FLOATS_8

}  // namespace minke::ptx
