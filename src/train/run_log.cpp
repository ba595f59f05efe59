#include "train/run_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "io/mmap.h"

namespace minke {
namespace {

// How many bytes of whole lines belong to steps up to and including `step`.
size_t bytes_to_keep(std::string_view text, int64_t step) {
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) break;
    const auto line = nlohmann::json::parse(text.substr(begin, end - begin), nullptr, false);
    if (!line.is_object()) break;
    const auto found = line.find("step");
    if (found != line.end() && found->is_number() &&
        found->get<double>() > static_cast<double>(step))
      break;
    begin = end + 1;
  }
  return begin;
}

}  // namespace

Result<RunLog> RunLog::open(const std::string& path, int64_t step) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor < 0) return fail(fmt::format("cannot open {}: {}", path, strerror(errno)));
  RunLog log(path, descriptor, 0);
  MINKE_ASSIGN(const MappedFile file, MappedFile::open(path));
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size());
  log.bytes_ = static_cast<int64_t>(bytes_to_keep(text, step));
  if (ftruncate(descriptor, log.bytes_) != 0) {
    return fail(fmt::format("cannot cut {} to {} bytes: {}", path, log.bytes_, strerror(errno)));
  }
  return log;
}

RunLog::RunLog(RunLog&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      bytes_(other.bytes_) {}

RunLog::~RunLog() {
  if (descriptor_ >= 0) close(descriptor_);
}

Status RunLog::append(const nlohmann::ordered_json& entry) {
  const std::string line =
      entry.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  ssize_t done = -1;
  do {
    done = write(descriptor_, line.data(), line.size());
  } while (done < 0 && errno == EINTR);
  if (done == static_cast<ssize_t>(line.size())) {
    bytes_ += done;
    return {};
  }
  // Part of a line is as good as nothing.
  const int error = done < 0 ? errno : ENOSPC;
  const bool cut = ftruncate(descriptor_, bytes_) == 0;
  return fail(fmt::format("cannot write {} beyond byte {}: {}{}", path_, bytes_, strerror(error),
                          cut ? "" : ", and half a line is in it"));
}

}  // namespace minke
