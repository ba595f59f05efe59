#include "io/direct_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/check.h"

namespace minke {

Result<DirectFile> DirectFile::open(const std::string& path) {
  constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;  // as MappedFile::open
  bool direct = true;
  int descriptor = ::open(path.c_str(), kFlags | O_DIRECT);
  if (descriptor < 0 && errno == EINVAL) {
    direct = false;
    descriptor = ::open(path.c_str(), kFlags);
  }
  if (descriptor < 0) return fail(fmt::format("cannot open {}: {}", path, std::strerror(errno)));
  return DirectFile(path, descriptor, direct);
}

DirectFile::DirectFile(DirectFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      direct_(other.direct_) {}

DirectFile::~DirectFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

Result<const std::byte*> DirectFile::read(uint64_t offset, size_t count,
                                          std::span<std::byte> scratch) const {
  const uint64_t begin = offset / kAlign * kAlign;
  const uint64_t end = (offset + count + kAlign - 1) / kAlign * kAlign;
  CHECK_LE(end - begin, scratch.size());
  size_t done = 0;
  while (begin + done < offset + count) {
    const ssize_t got = pread(descriptor_, scratch.data() + done, end - begin - done,
                              static_cast<off_t>(begin + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return fail(fmt::format("{}: cannot read {} bytes at {}: {}", path_, count, offset,
                              std::strerror(errno)));
    }
    // The end of the file, which need not lie on a border of blocks.
    const bool ends = got == 0 || (direct_ && static_cast<size_t>(got) % kAlign != 0);
    done += static_cast<size_t>(got);
    if (ends) break;
  }
  if (begin + done < offset + count) {
    return fail(
        fmt::format("{}: the file ends at byte {}, and bytes {} to {} were expected; it was cut "
                    "short while it was in use: put the whole file back and load the model again",
                    path_, begin + done, offset, offset + count));
  }
  return scratch.data() + (offset - begin);
}

}  // namespace minke
