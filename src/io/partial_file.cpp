#include "io/partial_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "io/catalogue.h"
#include "io/sha256.h"

namespace minke {
namespace fs = std::filesystem;

Result<PartialFile> PartialFile::open(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error) {
    return fail(
        fmt::format("cannot make the folder {}: {}", path.parent_path().string(), error.message()));
  }
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (descriptor < 0) {
    return fail(fmt::format("cannot write {}: {}", path.string(), std::strerror(errno)));
  }
  return PartialFile(path, descriptor);
}

PartialFile::PartialFile(fs::path path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor) {}

PartialFile::PartialFile(PartialFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

PartialFile::~PartialFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

int64_t PartialFile::size() const {
  struct stat status{};
  return fstat(descriptor_, &status) == 0 ? status.st_size : 0;
}

Status PartialFile::write_at(int64_t offset, std::span<const std::byte> bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t wrote = pwrite(descriptor_, bytes.data() + done, bytes.size() - done,
                                 offset + static_cast<int64_t>(done));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && (errno == ENOSPC || errno == EDQUOT)) {
      return fail(
          fmt::format("the disk that holds {} is full: make room and run the same command "
                      "again, it goes on from here",
                      path_.parent_path().string()));
    }
    if (wrote <= 0) {
      return fail(fmt::format("cannot write {}: {}", path_.string(), std::strerror(errno)));
    }
    done += static_cast<size_t>(wrote);
  }
  return {};
}

Status PartialFile::truncate(int64_t size) {
  if (ftruncate(descriptor_, size) == 0) return {};
  return fail(fmt::format("cannot shorten {}: {}", path_.string(), std::strerror(errno)));
}

Status PartialFile::sync() {
  if (fdatasync(descriptor_) == 0) return {};
  return fail(fmt::format("cannot flush {} to the disk: {}", path_.string(), std::strerror(errno)));
}

Status PartialFile::lock() {
  if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    return fail(
        fmt::format("{} is being written by another process: wait for it, or choose another "
                    "name",
                    path_.string()));
  }
  // Whoever had the lock before may have published or removed the file since it was opened here:
  // what is locked then is a finished model, or nobody's.
  struct stat locked{};
  struct stat named{};
  if (fstat(descriptor_, &locked) == 0 && lstat(path_.c_str(), &named) == 0 &&
      locked.st_dev == named.st_dev && locked.st_ino == named.st_ino) {
    return {};
  }
  return fail(
      fmt::format("{} was finished or removed by another process just now: run the same "
                  "command again if it is still wanted",
                  path_.string()));
}

Result<std::string> PartialFile::hash(int64_t offset, int64_t length,
                                      const std::function<bool(int64_t)>& on_bytes) const {
  auto hex = sha256_of_range(descriptor_, offset, length, on_bytes);
  if (!hex) return fail(fmt::format("{}: {}", path_.string(), hex.error().message));
  return hex;
}

Status PartialFile::publish(const fs::path& target) {
  std::error_code error;
  fs::create_directories(target.parent_path(), error);
  if (!error && fsync(descriptor_) != 0) error.assign(errno, std::generic_category());
  if (!error) fs::rename(path_, target, error);
  if (error) {
    return fail(fmt::format("cannot finish {}: {}", target.string(), error.message()));
  }
  // The name itself reaches the disk with its folder; a file system that cannot sync one says so,
  // and then there is nothing more to be done.
  const int folder = ::open(target.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    fsync(folder);
    close(folder);
  }
  return {};
}

Status check_disk_space(const fs::path& folder, int64_t bytes) {
  struct statvfs disk{};
  if (statvfs(folder.c_str(), &disk) != 0) {
    return fail(
        fmt::format("cannot ask how much room {} has: {}", folder.string(), std::strerror(errno)));
  }
  const auto free_bytes = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
  if (free_bytes >= static_cast<double>(bytes)) return {};
  return fail(fmt::format(
      "the disk that holds {} has {} free but {} are needed: make room, or use a folder on another "
      "disk (for models that are fetched, XDG_CACHE_HOME names it)",
      folder.string(), human_bytes(static_cast<int64_t>(free_bytes)), human_bytes(bytes)));
}

}  // namespace minke
