// AMX, one wrapper an instruction. A tile register holds up to 16 rows of 64 bytes; a product takes
// signed bytes, A [rows][K] and B [K / 4][16 outputs][4], and adds to C [rows][16] of int32:
// exactly. B is the order in which panels lie, so that unpacked panels are tiles as they stand.
//
// As assembly: the rest of these files is compiled like those of avx512, whose inline functions
// they share, and the linker may take either copy.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace minke::amx {

// The shapes of all eight tile registers, as the processor reads them.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

// Tiles before kFirstA are C, then A and B in turn: C and A have `rows` rows, B `k` values.
template <int kFirstA>
inline void configure_tiles(int64_t rows, int64_t k) {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) {
    const bool is_a = tile >= kFirstA && (tile - kFirstA) % 2 == 0;
    const bool is_b = tile >= kFirstA && !is_a;
    config.rows[tile] = static_cast<uint8_t>(is_b ? k / 4 : rows);
    config.row_bytes[tile] = static_cast<uint16_t>(is_a ? k : 64);
  }
  asm volatile("ldtilecfg %0" : : "m"(config));
}
// Tiles cost a context switch 8 KiB until they are given up.
inline void release_tiles() { asm volatile("tilerelease"); }

// Fewer rows are left to avx512: unpacking for tiles would cost more than they save.
inline constexpr int64_t kTileRowsMin = 32;

template <int kTile>
[[gnu::always_inline]] inline void tile_zero() {
  static_assert(kTile >= 0 && kTile < 8);
  asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
}
template <int kTile>
[[gnu::always_inline]] inline void tile_load(const void* at, int64_t stride) {
  static_assert(kTile >= 0 && kTile < 8);
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(at), "r"(stride), "i"(kTile) : "memory");
}
template <int kTile>
[[gnu::always_inline]] inline void tile_store(void* at, int64_t stride) {
  static_assert(kTile >= 0 && kTile < 8);
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(at), "r"(stride), "i"(kTile) : "memory");
}
// Tile kC += tile kA times tile kB.
template <int kC, int kA, int kB>
[[gnu::always_inline]] inline void tile_dot() {
  static_assert(kC >= 0 && kC < 8 && kA >= 0 && kA < 8 && kB >= 0 && kB < 8);
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
}

// Of bf16: A [rows][32], B [16][16 outputs][2], C of fp32. To each element of C comes the sum of
// two chains of fused multiply-adds from zero, one of the even and one of the odd elements, k
// ascending (Intel's manual, TDPBF16PS); denormals are zero.
template <int kC, int kA, int kB>
[[gnu::always_inline]] inline void tile_dot_bf16() {
  static_assert(kC >= 0 && kC < 8 && kA >= 0 && kA < 8 && kB >= 0 && kB < 8);
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
}
// All eight tiles of 16 rows of 64 bytes.
inline void configure_whole_tiles() {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) {
    config.rows[tile] = 16;
    config.row_bytes[tile] = 64;
  }
  asm volatile("ldtilecfg %0" : : "m"(config));
}

// The entries of the table that differ from those of avx512.
void attention(const AttentionTask& task, int64_t kv_head, int64_t row_begin, int64_t row_end);
void attention_runs(const AttentionTask& task, int64_t kv_head, int64_t run_begin, int64_t run_end,
                    float* found);
void attention_join(const AttentionTask& task, int64_t kv_head, float* found);
extern const GemmBf16Kernels gemm_bf16;
void linear_bf16(const LinearTask& task, int64_t panel_begin, int64_t panel_end);
void linear_q4_0(const LinearTask& task, int64_t panel_begin, int64_t panel_end);
void linear_q4_1(const LinearTask& task, int64_t panel_begin, int64_t panel_end);
void linear_q5_0(const LinearTask& task, int64_t panel_begin, int64_t panel_end);
void linear_q8_0(const LinearTask& task, int64_t panel_begin, int64_t panel_end);
void linear_run8(const LinearTask& task, int64_t panel_begin, int64_t panel_end);
void linear_q4_k(const LinearTask& task, int64_t panel_begin, int64_t panel_end);
void linear_q6_k(const LinearTask& task, int64_t panel_begin, int64_t panel_end);

}  // namespace minke::amx
