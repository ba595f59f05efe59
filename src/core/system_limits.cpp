#include "core/system_limits.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string_view>

namespace minke {
namespace {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

// Nothing for "max", for -1 (which version 1 says), and for version 1's huge numbers.
std::optional<int64_t> number_of(std::string_view word) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size() || value < 0) return std::nullopt;
  return value;
}

std::optional<int64_t> number_in(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  return file >> word ? number_of(word) : std::nullopt;
}

// The number behind `key` in a file of lines "key value".
std::optional<int64_t> number_behind(std::string_view key, const std::string& path) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string name, value;
    if (words >> name >> value && name == key) return number_of(value);
  }
  return std::nullopt;
}

bool lists(std::string_view names, std::string_view name) {
  while (true) {
    const size_t end = std::min(names.find(','), names.size());
    if (names.substr(0, end) == name) return true;
    if (end == names.size()) return false;
    names.remove_prefix(end + 1);
  }
}

// The path of this process's group for `controller` ("" is version 2) in /proc/self/cgroup; the
// root's where that does not say, as in containers that hide it.
std::string group_path(const std::string& root, std::string_view controller) {
  std::ifstream file(root + "/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {  // "0::/user.slice", "4:cpu,cpuacct:/docker/1f..."
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string_view names = std::string_view(line).substr(first + 1, second - first - 1);
    if (lists(names, controller)) return line.substr(second + 1);
  }
  return "";
}

// The least that `limit_of` says of this process's group for `controller` and of those above it: a
// limit may stand at any level.
template <typename LimitOf>
int64_t least_on_the_way(const std::string& root, const std::string& controller, LimitOf limit_of) {
  std::string path = group_path(root, controller);
  const std::string mount = root + "/sys/fs/cgroup" + (controller.empty() ? "" : "/" + controller);
  int64_t least = kNoLimit;
  while (true) {
    least = std::min(least, limit_of(mount + path));
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return least;
    path.resize(slash);
  }
}

struct MemoryFiles {
  const char* limit;
  const char* usage;
  const char* inactive_key;  // in memory.stat
};
constexpr MemoryFiles kVersion1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                   "total_inactive_file"};
constexpr MemoryFiles kVersion2 = {"memory.max", "memory.current", "inactive_file"};

// What a group leaves. File pages that are not in use count as free: the kernel gives them back
// before it refuses anything.
int64_t memory_left(const std::string& group, const MemoryFiles& files) {
  const std::optional<int64_t> limit = number_in(group + "/" + files.limit);
  const std::optional<int64_t> usage = number_in(group + "/" + files.usage);
  if (!limit || !usage) return kNoLimit;
  const int64_t inactive = number_behind(files.inactive_key, group + "/memory.stat").value_or(0);
  const int64_t used = *usage - std::min(*usage, inactive);
  return *limit - std::min(*limit, used);
}

// Of so many microseconds in each period, rounded up to whole processors.
int64_t processors(std::optional<int64_t> quota, std::optional<int64_t> period) {
  if (!quota || !period || *period == 0) return kNoLimit;
  return *quota / *period + (*quota % *period != 0 ? 1 : 0);
}

}  // namespace

int64_t available_memory_bytes(const std::string& root) {
  int64_t available = kNoLimit;
  if (const auto kib = number_behind("MemAvailable:", root + "/proc/meminfo")) {
    available = std::min(*kib, kNoLimit / 1024) * 1024;
  }
  const int64_t version_2 = least_on_the_way(
      root, "", [](const std::string& group) { return memory_left(group, kVersion2); });
  const int64_t version_1 = least_on_the_way(
      root, "memory", [](const std::string& group) { return memory_left(group, kVersion1); });
  return std::min({available, version_1, version_2});
}

int cgroup_processors(const std::string& root) {
  const int64_t version_2 = least_on_the_way(root, "", [](const std::string& group) {
    std::ifstream file(group + "/cpu.max");
    std::string quota, period;
    file >> quota >> period;
    return processors(number_of(quota), number_of(period));
  });
  const int64_t version_1 = least_on_the_way(root, "cpu", [](const std::string& group) {
    return processors(number_in(group + "/cpu.cfs_quota_us"),
                      number_in(group + "/cpu.cfs_period_us"));
  });
  const int64_t least = std::min(version_1, version_2);
  if (least > std::numeric_limits<int>::max()) return 0;
  return std::max(1, static_cast<int>(least));
}

}  // namespace minke
