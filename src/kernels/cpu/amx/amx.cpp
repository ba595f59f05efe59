// The AMX set: that of AVX-512, with the products of many rows in int8 tiles (Sapphire Rapids and
// later). Linux lets a process use tiles once it has asked.
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernels/cpu/amx/tiles.h"

namespace minke {
namespace {

bool processor_has_tiles() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  constexpr unsigned kTile = 1u << 24;  // of edx
  constexpr unsigned kInt8 = 1u << 25;
  constexpr unsigned kBf16 = 1u << 22;
  constexpr unsigned kGfni = 1u << 8;  // of ecx
  return (d & kTile) != 0 && (d & kInt8) != 0 && (d & kBf16) != 0 && (c & kGfni) != 0;
}

bool system_grants_tiles() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

Kernels make_table(const Kernels& avx512) {
  Kernels table = avx512;
  table.name = "amx";
  const auto set = [&](PanelFormat format, auto product) {
    table.linear[static_cast<size_t>(format)] = product;
  };
  set(PanelFormat::kQ4_0, amx::linear_q4_0);
  set(PanelFormat::kQ4_1, amx::linear_q4_1);
  set(PanelFormat::kQ5_0, amx::linear_q5_0);
  set(PanelFormat::kQ8_0, amx::linear_q8_0);
  set(PanelFormat::kRun8, amx::linear_run8);
  set(PanelFormat::kQ4_K, amx::linear_q4_k);
  set(PanelFormat::kQ6_K, amx::linear_q6_k);
  set(PanelFormat::kBF16, amx::linear_bf16);
  table.attention = amx::attention;
  table.attention_runs = amx::attention_runs;
  table.attention_join = amx::attention_join;
  table.gemm_bf16 = &amx::gemm_bf16;
  return table;
}

}  // namespace

const Kernels* amx_kernels() {
  static const Kernels* const table = []() -> const Kernels* {
    const Kernels* avx512 = avx512_kernels();
    if (avx512 == nullptr || !processor_has_tiles() || !system_grants_tiles()) return nullptr;
    static const Kernels made = make_table(*avx512);
    return &made;
  }();
  return table;
}

}  // namespace minke
