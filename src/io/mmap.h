// A file mapped read-only. The mapping outlives the directory entry: a file that is deleted or
// renamed stays readable. Where another program cuts the file short, or its disk fails, the system
// sends SIGBUS to whoever reads: a handler of ours, installed with the first mapping, then puts
// zeros in place of what is gone, and is_intact() tells. What it does not know it leaves to the
// handler that was there before. A file that is overwritten in place is beyond help.
// Moves keep the address. Const functions are safe from any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "core/result.h"

namespace minke {

class MappedFile {
 public:
  // Fails with the system's reason; refuses what is not a regular file. An empty file maps to an
  // empty span.
  static Result<MappedFile> open(const std::string& path);

  std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(memory_.get()), memory_.get_deleter().bytes};
  }

  // Whether all that was read so far came from the file, and all of the file is still there.
  bool is_intact() const;

  // Advice for [offset, offset + length): will_need rounds the range out to whole pages, drop
  // rounds it in, so that neighbours keep theirs.
  void will_need(size_t offset, size_t length) const;
  void drop(size_t offset, size_t length) const;
  // The same for whoever has only a view of a mapping.
  static void drop(std::span<const std::byte> view);

 private:
  struct Region;
  struct Unmapper {
    size_t bytes = 0;
    int descriptor = -1;
    Region* region = nullptr;
    void operator()(void* memory) const;
  };
  static Region* add_region(void* memory, size_t bytes);

  std::unique_ptr<void, Unmapper> memory_{nullptr, Unmapper{}};
};

}  // namespace minke
