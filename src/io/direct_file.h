// A file that is read in pieces past the system's page cache (O_DIRECT), so that reading more than
// memory holds pushes nothing out of it and copies nothing twice; through the cache where the file
// system knows no other way. Const functions are safe from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "core/result.h"

namespace minke {

class DirectFile {
 public:
  static constexpr size_t kAlign = 4096;  // of scratch memory, and of what the disk is asked for

  // Fails with the system's reason.
  static Result<DirectFile> open(const std::string& path);
  DirectFile(DirectFile&& other) noexcept;
  DirectFile& operator=(DirectFile&&) = delete;
  DirectFile(const DirectFile&) = delete;
  DirectFile& operator=(const DirectFile&) = delete;
  ~DirectFile();

  // Reads bytes [offset, offset + count) into `scratch`, which begins at a multiple of kAlign and
  // has scratch_bytes(count); returns where in it they are. Fails when the file ends before them or
  // the disk does not give them.
  Result<const std::byte*> read(uint64_t offset, size_t count, std::span<std::byte> scratch) const;
  static constexpr size_t scratch_bytes(size_t count) {
    return (count + 2 * kAlign - 2) / kAlign * kAlign;
  }

  // Whether it goes past the page cache.
  bool is_direct() const { return direct_; }

 private:
  DirectFile(std::string path, int descriptor, bool direct)
      : path_(std::move(path)), descriptor_(descriptor), direct_(direct) {}

  std::string path_;
  int descriptor_;
  bool direct_;
};

}  // namespace minke
