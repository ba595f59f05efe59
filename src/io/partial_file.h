// The bytes of an unfinished download or model: a file that is written in any order, survives the
// process, and gets a model's name only through publish(). One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "core/result.h"

namespace minke {

class PartialFile {
 public:
  // Opens or creates it, folders included; what it holds from an earlier attempt stays.
  static Result<PartialFile> open(const std::filesystem::path& path);
  PartialFile(PartialFile&& other) noexcept;
  PartialFile& operator=(PartialFile&&) = delete;
  ~PartialFile();

  int64_t size() const;
  Status write_at(int64_t offset, std::span<const std::byte> bytes);
  Status truncate(int64_t size);
  // What was written so far is on the disk, whatever happens to the machine.
  Status sync();
  // Keeps other processes that ask out while this object lives; fails where one was there before,
  // or has given the file another name since it was opened.
  Status lock();
  // SHA-256 of a range; `on_bytes` is as for sha256_of_range.
  Result<std::string> hash(int64_t offset, int64_t length,
                           const std::function<bool(int64_t)>& on_bytes = {}) const;
  // Flushes to the disk and gives the file the name `target`, replacing what has it.
  Status publish(const std::filesystem::path& target);

 private:
  PartialFile(std::filesystem::path path, int descriptor);
  std::filesystem::path path_;
  int descriptor_;
};

// Fails when the disk that holds `folder` has fewer than `bytes` free; says how many it has.
Status check_disk_space(const std::filesystem::path& folder, int64_t bytes);

}  // namespace minke
