// Large memory of our own: aligned to 64 bytes, on 2 MiB pages where the kernel grants them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/result.h"

namespace minke {

// A mapping, or a piece of an Arena's. Returned to the system when its owner goes, a piece together
// with the others of its mapping. Contents start as zero, and memory is taken page by page as they
// are touched. Not thread-safe as an object; the bytes follow their owner's rules.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&&) = default;
  Buffer& operator=(Buffer&&) = default;
  // Fails with a sentence that names `purpose` and the size when the system refuses.
  static Result<Buffer> allocate(size_t bytes, const char* purpose);
  // For sizes that were checked against a budget before; aborts when the system refuses.
  static Buffer allocate_or_die(size_t bytes, const char* purpose);

  std::byte* data() const { return static_cast<std::byte*>(memory_.get()); }
  size_t size() const { return size_; }

 private:
  friend class Arena;
  std::shared_ptr<void> memory_;
  size_t size_ = 0;
};

// Buffers that follow one another in large mappings. Each alone would begin on a 2 MiB page of its
// own and leave the rest of its last one unused. Not thread-safe. The buffers may outlive it.
class Arena {
 public:
  // As Buffer::allocate.
  Result<Buffer> take(size_t bytes, const char* purpose);

 private:
  Buffer block_;
  size_t used_ = 0;
};

}  // namespace minke
