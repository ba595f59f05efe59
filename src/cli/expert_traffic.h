// What streaming experts from the disk amounts to, for those who run a model larger than memory,
// and what the disk gives to a plain reader, to hold beside it. Called from one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/result.h"
#include "engine/local_engine.h"

namespace minke::cli {

// Of an engine since it was loaded, or of a while between two moments.
struct ExpertTraffic {
  ExpertStats experts;
  uint64_t tokens = 0;  // computed, of prompts and answers

  double hit_rate() const;
  double foreseen_rate() const;  // of what was asked for, read or being read before it was
  double bytes_a_token() const;
  // Of the disk, while it was read at all.
  double read_bytes_per_s() const;
};
// Nothing where all weights are in memory.
std::optional<ExpertTraffic> expert_traffic(const LocalEngine& engine);
ExpertTraffic between(const ExpertTraffic& before, const ExpertTraffic& after);
// "experts: 41% were in memory, 20% foreseen; 446 MB a token from the disk, at 2.2 GB/s"
std::string traffic_words(const ExpertTraffic& traffic);

// How fast the disk gives the file at `path` to as many threads as the store has, which read one
// piece after another, of the size that the store reads, past the page cache: for half a second.
Result<double> measure_disk(const std::string& path);

}  // namespace minke::cli
