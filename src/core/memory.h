// Large memory: of the machine (aligned to 64 bytes, on 2 MiB pages where the kernel grants them),
// or of a device that tensors live on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/result.h"

namespace minke {

// Where memory comes from. A device's addresses are its own: only its kernels and the functions
// below may follow them, in the order in which they were asked for. host_memory() may be used from
// any thread, a device's space by the thread that uses the device. A space outlives its memory.
class MemorySpace {
 public:
  virtual ~MemorySpace() = default;
  // Zeroed, and taken page by page as it is touched where the space has pages. Fails with a
  // sentence that names `purpose` and the size when there is not enough.
  virtual Result<std::byte*> allocate(size_t bytes, const char* purpose) = 0;
  virtual void release(std::byte* at, size_t bytes) = 0;
  virtual void clear(std::byte* at, size_t bytes) = 0;
  virtual void copy(std::byte* to, const std::byte* from, size_t bytes) = 0;
};
MemorySpace& host_memory();

// An allocation, or a piece of an Arena's. Returned to its space when its owner goes, a piece
// together with the others of its allocation. Contents start as zero. Not thread-safe as an object;
// the bytes follow their owner's rules.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&&) = default;
  Buffer& operator=(Buffer&&) = default;
  // As MemorySpace::allocate.
  static Result<Buffer> allocate(size_t bytes, const char* purpose,
                                 MemorySpace& space = host_memory());
  // For sizes that were checked against a budget before; aborts when the space refuses.
  static Buffer allocate_or_die(size_t bytes, const char* purpose,
                                MemorySpace& space = host_memory());

  std::byte* data() const { return static_cast<std::byte*>(memory_.get()); }
  size_t size() const { return size_; }
  MemorySpace* space() const { return space_; }

 private:
  friend class Arena;
  std::shared_ptr<void> memory_;
  size_t size_ = 0;
  MemorySpace* space_ = nullptr;
};

// Buffers that follow one another in large mappings of the machine's memory. Each alone would begin
// on a 2 MiB page of its own and leave the rest of its last one unused. Not thread-safe. The
// buffers may outlive it.
class Arena {
 public:
  // As Buffer::allocate.
  Result<Buffer> take(size_t bytes, const char* purpose);

 private:
  Buffer block_;
  size_t used_ = 0;
};

}  // namespace minke
