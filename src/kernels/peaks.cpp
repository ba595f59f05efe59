#include "kernels/peaks.h"

#include <atomic>
#include <chrono>
#include <cstring>

#include "core/memory.h"
#include "kernels/cpu/peak_loops.h"

namespace minke {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Operations a second of all threads together; 0 without a loop.
double rate(ThreadPool& pool, double seconds, const PeakLoop& loop) {
  if (loop.run == nullptr) return 0;
  constexpr int64_t kRounds = 20000;
  std::atomic<int64_t> rounds{0};
  pool.parallel([&](int) { loop.run(kRounds); });
  const double start = now();
  pool.parallel([&](int) {
    while (now() - start < seconds) {
      loop.run(kRounds);
      rounds.fetch_add(kRounds, std::memory_order_relaxed);
    }
  });
  return static_cast<double>(rounds.load()) * loop.ops_a_round / (now() - start);
}

// Reads whole lines, in order, fetched 64 lines ahead: of what was tried, the fastest
// (docs/log.md).
uint64_t read_block(const std::byte* from, size_t bytes) {
  using Pair = uint64_t __attribute__((vector_size(16)));
  Pair sums[4] = {};
  for (size_t at = 0; at + 64 <= bytes; at += 64) {
    __builtin_prefetch(from + at + 4096);
#pragma GCC unroll 4
    for (size_t part = 0; part < 4; ++part) {
      Pair words;
      std::memcpy(&words, from + at + part * 16, sizeof words);
      sums[part] += words;
    }
  }
  const Pair sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  return sum[0] + sum[1];
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
  const PeakLoops loops = peak_loops(isa);
  peaks.int8_gop_per_s = rate(pool, seconds, loops.int8) / 1e9;
  peaks.bf16_gflop_per_s = rate(pool, seconds, loops.bf16) / 1e9;
  peaks.fp32_gflop_per_s = rate(pool, seconds, loops.fp32) / 1e9;
  // Without products of its own, bf16 is as fast as the fp32 that stands in for it.
  if (loops.bf16.run == nullptr) peaks.bf16_gflop_per_s = peaks.fp32_gflop_per_s;
  peaks.bf16_tiles_gflop_per_s =
      loops.bf16_tiles.run ? rate(pool, seconds, loops.bf16_tiles) / 1e9 : peaks.fp32_gflop_per_s;
  return peaks;
}

}  // namespace minke
