// The loops in x86 assembly, so that no compiler gets in the way.
#include "kernels/cpu/peak_loops.h"

#include "kernels/cpu/amx/tiles.h"

namespace minke {
namespace {

// `step` twelve times over twelve registers, `rounds` times.
#define MINKE_TWELVE(step)                                                                  \
  step("0") step("1") step("2") step("3") step("4") step("5") step("6") step("7") step("8") \
      step("9") step("10") step("11")
#define MINKE_PEAK_LOOP(name, step, registers)                                                     \
  void name(int64_t rounds) {                                                                      \
    asm volatile(MINKE_CLEAR(registers) "1:\n\t" MINKE_TWELVE(step)                                \
                     MINKE_TWELVE(step) "dec %0\n\tjnz 1b\n\tvzeroupper"                           \
                 : "+r"(rounds)                                                                    \
                 :                                                                                 \
                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", \
                   "xmm10", "xmm11", "xmm12", "xmm13", "cc");                                      \
  }
#define MINKE_CLEAR(registers) "vzeroall\n\t"
#define MINKE_VNNI(r) "vpdpbusd %%zmm12, %%zmm13, %%zmm" r "\n\t"
#define MINKE_DPBF16(r) "vdpbf16ps %%zmm12, %%zmm13, %%zmm" r "\n\t"
#define MINKE_FMA512(r) "vfmadd231ps %%zmm12, %%zmm13, %%zmm" r "\n\t"
#define MINKE_MADD256(r) "vpmaddubsw %%ymm12, %%ymm13, %%ymm" r "\n\t"
#define MINKE_FMA256(r) "vfmadd231ps %%ymm12, %%ymm13, %%ymm" r "\n\t"
MINKE_PEAK_LOOP(vnni_loop, MINKE_VNNI, zmm)
MINKE_PEAK_LOOP(dpbf16_loop, MINKE_DPBF16, zmm)
MINKE_PEAK_LOOP(fma512_loop, MINKE_FMA512, zmm)
MINKE_PEAK_LOOP(madd256_loop, MINKE_MADD256, ymm)
MINKE_PEAK_LOOP(fma256_loop, MINKE_FMA256, ymm)

// The same number of tile products, over six tiles.
void amx_loop(int64_t rounds) {
  amx::configure_tiles<6>(16, 64);
  for (int64_t round = 0; round < rounds; ++round) {
    for (int i = 0; i < 4; ++i) {
      amx::tile_dot<0, 6, 7>();
      amx::tile_dot<1, 6, 7>();
      amx::tile_dot<2, 6, 7>();
      amx::tile_dot<3, 6, 7>();
      amx::tile_dot<4, 6, 7>();
      amx::tile_dot<5, 6, 7>();
    }
  }
  amx::release_tiles();
}

void amx_bf16_loop(int64_t rounds) {
  amx::configure_whole_tiles();
  for (int64_t round = 0; round < rounds; ++round) {
    for (int i = 0; i < 4; ++i) {
      amx::tile_dot_bf16<0, 6, 7>();
      amx::tile_dot_bf16<1, 6, 7>();
      amx::tile_dot_bf16<2, 6, 7>();
      amx::tile_dot_bf16<3, 6, 7>();
      amx::tile_dot_bf16<4, 6, 7>();
      amx::tile_dot_bf16<5, 6, 7>();
    }
  }
  amx::release_tiles();
}

// All loops have 24 instructions a round.
PeakLoop loop_of(void (*run)(int64_t), double ops) {
  return {.run = run, .ops_a_round = 24.0 * ops};
}

}  // namespace

PeakLoops peak_loops(std::string_view isa) {
  if (isa == "avx512" || isa == "amx") {
    return {.int8 = isa == "amx" ? loop_of(amx_loop, 16 * 16 * 64 * 2) : loop_of(vnni_loop, 128),
            .bf16 = loop_of(dpbf16_loop, 64),
            .bf16_tiles = isa == "amx" ? loop_of(amx_bf16_loop, 16 * 16 * 32 * 2) : PeakLoop{},
            .fp32 = loop_of(fma512_loop, 32)};
  }
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return {};
  // 32 products and 16 sums an instruction; widening and adding them up takes two more.
  return {.int8 = loop_of(madd256_loop, 64.0 / 3.0),
          .bf16 = {},
          .bf16_tiles = {},
          .fp32 = loop_of(fma256_loop, 16)};
}

}  // namespace minke
