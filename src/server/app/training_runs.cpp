#include "server/app/training_runs.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

namespace minke::server {
namespace {

namespace fs = std::filesystem;

constexpr size_t kRunsMax = 1000;
constexpr int64_t kBytesAtOnce = int64_t{1} << 20;
constexpr int64_t kLineBytesMax = int64_t{16} << 20;
const char* const kMetrics = "metrics.jsonl";

// A training holds flock on RUN/lock while it runs. To try that lock would hold it for a moment,
// and a training that begins just then would give up: the system's own list is read instead.
std::set<uint64_t> locked_files() {
  std::set<uint64_t> inodes;
  std::ifstream list("/proc/locks");
  for (std::string line; std::getline(list, line);) {
    std::istringstream words(line);
    std::string number, kind, advisory, access, process, place;
    if (!(words >> number >> kind >> advisory >> access >> process >> place)) continue;
    if (kind != "FLOCK" || access != "WRITE") continue;
    const size_t colon = place.rfind(':');
    if (colon != std::string::npos) {
      inodes.insert(std::strtoull(place.c_str() + colon + 1, nullptr, 10));
    }
  }
  return inodes;
}

int64_t modified_ms(const struct stat& file) {
  return static_cast<int64_t>(file.st_mtim.tv_sec) * 1000 + file.st_mtim.tv_nsec / 1'000'000;
}

// The part of the file from `from` on, to the end of a line.
std::string read_lines(std::ifstream& file, int64_t from, int64_t size) {
  std::string text;
  for (int64_t want = kBytesAtOnce; want <= kLineBytesMax; want *= 4) {
    text.resize(static_cast<size_t>(std::min(want, size - from)));
    file.clear();
    file.seekg(from);
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(file.gcount()));
    const size_t end = text.rfind('\n');
    if (end != std::string::npos) {
      text.resize(end + 1);
      return text;
    }
    if (std::ssize(text) == size - from) return {};  // a line that is being written
  }
  return text;  // one that nobody can want whole: it is passed over
}

}  // namespace

std::vector<TrainingRun> training_runs(const fs::path& folder) {
  std::vector<TrainingRun> runs;
  const std::set<uint64_t> locked = locked_files();
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    struct stat metrics{};
    if (stat((it->path() / kMetrics).c_str(), &metrics) != 0 || !S_ISREG(metrics.st_mode)) continue;
    struct stat lock{};
    const bool has_lock = stat((it->path() / "lock").c_str(), &lock) == 0;
    runs.push_back({.name = it->path().filename().string(),
                    .is_running = has_lock && locked.contains(lock.st_ino),
                    .metrics_bytes = metrics.st_size,
                    .updated_at_ms = modified_ms(metrics)});
  }
  std::ranges::sort(runs, [](const TrainingRun& a, const TrainingRun& b) {
    return std::pair(-a.updated_at_ms, a.name) < std::pair(-b.updated_at_ms, b.name);
  });
  if (runs.size() > kRunsMax) runs.resize(kRunsMax);
  return runs;
}

std::expected<MetricLines, ApiError> training_metrics(const fs::path& folder,
                                                      const std::string& name, int64_t from) {
  const bool is_name = !name.empty() && name != "." && name != ".." &&
                       name.find_first_of(std::string("/\0", 2)) == std::string::npos;
  const fs::path path = folder / name / kMetrics;
  struct stat state{};
  if (!is_name || stat(path.c_str(), &state) != 0 || !S_ISREG(state.st_mode)) {
    return std::unexpected(not_found(fmt::format("there is no training called '{}'", name)));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return std::unexpected(server_error(
        fmt::format("the metrics of '{}' cannot be read: {}", name, std::strerror(errno))));
  }
  if (from > state.st_size) from = 0;
  MetricLines result{.from = from, .next = from, .lines = {}};
  const std::string text = read_lines(file, from, state.st_size);
  result.next += std::ssize(text);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    auto line = parse_json(std::string_view(text).substr(begin, end - begin));
    if (line && line->as_object() != nullptr) result.lines.push_back(*std::move(line));
    begin = end + 1;
  }
  return result;
}

}  // namespace minke::server
