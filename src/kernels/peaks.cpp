#include "kernels/peaks.h"

#include <atomic>
#include <chrono>
#include <cstring>

#include "core/memory.h"
#include "kernels/cpu/amx/tiles.h"

namespace minke {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

#if defined(__x86_64__)
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
  amx::configure_tiles(16, 64);
  for (int64_t round = 0; round < rounds; ++round) {
    for (int i = 0; i < 4; ++i) {
      amx::tile_dot<0>();
      amx::tile_dot<1>();
      amx::tile_dot<2>();
      amx::tile_dot<3>();
      amx::tile_dot<4>();
      amx::tile_dot<5>();
    }
  }
  amx::release_tiles();
}
#endif

// Operations a second of all threads together; a round is 24 instructions of `ops` operations.
double rate(ThreadPool& pool, double seconds, double ops, void (*loop)(int64_t)) {
  constexpr int64_t kRounds = 20000;
  std::atomic<int64_t> rounds{0};
  pool.parallel([&](int) { loop(kRounds); });
  const double start = now();
  pool.parallel([&](int) {
    while (now() - start < seconds) {
      loop(kRounds);
      rounds.fetch_add(kRounds, std::memory_order_relaxed);
    }
  });
  return static_cast<double>(rounds.load()) * 24.0 * ops / (now() - start);
}

// Reads 64 bytes a line with as many loads in flight as the compiler's eight chains give.
uint64_t read_block(const std::byte* from, size_t bytes) {
  uint64_t sums[8] = {};
  for (size_t at = 0; at + 512 <= bytes; at += 512) {
#pragma GCC unroll 8
    for (size_t line = 0; line < 8; ++line) {
      uint64_t word;
      __builtin_prefetch(from + at + line * 64 + 4096);
      std::memcpy(&word, from + at + line * 64, 8);
      sums[line] += word;
    }
  }
  uint64_t sum = 0;
  for (uint64_t part : sums) sum += part;
  return sum;
}

double read_bandwidth(ThreadPool& pool, double seconds) {
  // Far beyond any cache; touched once, by the threads that read it, and kept for the next call.
  constexpr size_t kBytes = size_t{512} << 20;
  constexpr size_t kBlock = size_t{1} << 20;
  static const Buffer memory = [&] {
    Buffer buffer = Buffer::allocate_or_die(kBytes, "measuring the memory's speed");
    pool.parallel_for(static_cast<int64_t>(kBytes / kBlock), 1, [&](int64_t begin, int64_t end) {
      std::memset(buffer.data() + static_cast<size_t>(begin) * kBlock, 1,
                  static_cast<size_t>(end - begin) * kBlock);
    });
    return buffer;
  }();
  std::atomic<size_t> next{0};
  std::atomic<uint64_t> sink{0};
  const double start = now();
  std::atomic<size_t> blocks{0};
  pool.parallel([&](int) {
    uint64_t sum = 0;
    while (now() - start < seconds) {
      const size_t block = next.fetch_add(1, std::memory_order_relaxed) % (kBytes / kBlock);
      sum += read_block(memory.data() + block * kBlock, kBlock);
      blocks.fetch_add(1, std::memory_order_relaxed);
    }
    sink.fetch_add(sum, std::memory_order_relaxed);
  });
  return static_cast<double>(blocks.load() * kBlock) / (now() - start);
}

}  // namespace

MachinePeaks measure_peaks(ThreadPool& pool, const std::string& isa, double seconds) {
  MachinePeaks peaks;
  peaks.read_gb_per_s = read_bandwidth(pool, seconds) / 1e9;
#if defined(__x86_64__)
  if (isa == "avx512" || isa == "amx") {
    peaks.int8_gop_per_s = (isa == "amx" ? rate(pool, seconds, 16 * 16 * 64 * 2, amx_loop)
                                         : rate(pool, seconds, 128, vnni_loop)) /
                           1e9;
    peaks.bf16_gflop_per_s = rate(pool, seconds, 64, dpbf16_loop) / 1e9;
    peaks.fp32_gflop_per_s = rate(pool, seconds, 32, fma512_loop) / 1e9;
  } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    // 32 products and 16 sums an instruction; widening and adding them up takes two more.
    peaks.int8_gop_per_s = rate(pool, seconds, 64.0 / 3.0, madd256_loop) / 1e9;
    peaks.fp32_gflop_per_s = rate(pool, seconds, 16, fma256_loop) / 1e9;
    peaks.bf16_gflop_per_s = peaks.fp32_gflop_per_s;
  }
#endif
  return peaks;
}

}  // namespace minke
