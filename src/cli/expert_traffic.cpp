#include "cli/expert_traffic.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>
#include <vector>

#include "core/memory.h"
#include "io/catalogue.h"
#include "io/direct_file.h"

namespace minke::cli {
namespace {

constexpr double kDiskSeconds = 0.5;

double ratio(double a, double b) { return b > 0 ? a / b : 0; }

}  // namespace

double ExpertTraffic::hit_rate() const {
  return ratio(static_cast<double>(experts.hits), static_cast<double>(experts.used));
}
double ExpertTraffic::foreseen_rate() const {
  return ratio(static_cast<double>(experts.foreseen), static_cast<double>(experts.used));
}
double ExpertTraffic::bytes_a_token() const {
  return ratio(static_cast<double>(experts.bytes_read), static_cast<double>(tokens));
}
double ExpertTraffic::read_bytes_per_s() const {
  return ratio(static_cast<double>(experts.bytes_read), experts.reading_seconds);
}

std::optional<ExpertTraffic> expert_traffic(const LocalEngine& engine) {
  const std::optional<ExpertStats> stats = engine.expert_stats();
  if (!stats) return std::nullopt;
  return ExpertTraffic{.experts = *stats, .tokens = engine.stats().rows};
}

ExpertTraffic between(const ExpertTraffic& before, const ExpertTraffic& after) {
  const ExpertStats& a = before.experts;
  const ExpertStats& b = after.experts;
  return {.experts = {.used = b.used - a.used,
                      .hits = b.hits - a.hits,
                      .foreseen = b.foreseen - a.foreseen,
                      .guessed = b.guessed - a.guessed,
                      .bytes_read = b.bytes_read - a.bytes_read,
                      .reading_seconds = b.reading_seconds - a.reading_seconds,
                      .waiting_seconds = b.waiting_seconds - a.waiting_seconds},
          .tokens = after.tokens - before.tokens};
}

std::string traffic_words(const ExpertTraffic& traffic) {
  return fmt::format(
      "experts: {:.0f}% were in memory, {:.0f}% foreseen; {} a token from the disk, at {:.1f} GB/s",
      100 * traffic.hit_rate(), 100 * traffic.foreseen_rate(),
      human_bytes(static_cast<int64_t>(traffic.bytes_a_token())), traffic.read_bytes_per_s() / 1e9);
}

Result<double> measure_disk(const std::string& path) {
  using Clock = std::chrono::steady_clock;
  MINKE_ASSIGN(const DirectFile file, DirectFile::open(path));
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(path, error);
  if (error) return fail(fmt::format("{}: {}", path, error.message()));
  const uint64_t pieces = size / ExpertStore::kPieceBytes;
  if (pieces == 0) return 0.0;
  // Each measurement begins where no other one did: a disk has a cache of its own.
  static std::atomic<uint64_t> next = 0;
  std::atomic<uint64_t> bytes = 0;
  std::atomic<bool> failed = false;
  const Clock::time_point started = Clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(Clock::now() - started).count();
  };
  {
    std::vector<std::jthread> readers;
    for (int i = 0; i < ExpertStore::kReaders; ++i) {
      readers.emplace_back([&] {
        const Buffer scratch = Buffer::allocate_or_die(
            DirectFile::scratch_bytes(ExpertStore::kPieceBytes), "reading a disk");
        while (!failed && seconds() < kDiskSeconds) {
          const uint64_t piece = next++ % pieces;
          const auto got = file.read(piece * ExpertStore::kPieceBytes, ExpertStore::kPieceBytes,
                                     {scratch.data(), scratch.size()});
          if (!got) failed = true;
          bytes += ExpertStore::kPieceBytes;
        }
      });
    }
  }
  if (failed) return fail(fmt::format("{} cannot be read", path));
  return static_cast<double>(bytes) / seconds();
}

}  // namespace minke::cli
