#include "core/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace minke {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kBlockLeast = size_t{8} << 20;
constexpr size_t kBlockMost = size_t{256} << 20;

size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

// Of whole pages. Kernels before 6.7 put a mapping anywhere, and a 2 MiB page needs its place: so
// one more is mapped than is wanted, and what lies outside is given back.
void* map_pages(size_t bytes) {
  const size_t spare = bytes >= kHugePage ? kHugePage : 0;
  void* memory =
      mmap(nullptr, bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || spare == 0) return memory;
  auto* first = static_cast<std::byte*>(memory);
  const size_t before = -reinterpret_cast<uintptr_t>(first) % kHugePage;
  if (before > 0) munmap(first, before);
  if (before < spare) munmap(first + before + bytes, spare - before);
  madvise(first + before, bytes, MADV_HUGEPAGE);
  return first + before;
}

size_t mapped_bytes(size_t bytes) { return round_up(bytes, bytes >= kHugePage ? kHugePage : 4096); }

class HostMemory final : public MemorySpace {
 public:
  Result<std::byte*> allocate(size_t bytes, const char* purpose) override {
    void* memory = map_pages(mapped_bytes(bytes));
    if (memory == MAP_FAILED) {
      return fail(fmt::format("cannot get {:.1f} MiB of memory for {}: {}",
                              static_cast<double>(bytes) / 1048576.0, purpose, strerror(errno)));
    }
    return static_cast<std::byte*>(memory);
  }
  void release(std::byte* at, size_t bytes) override { munmap(at, mapped_bytes(bytes)); }
  void clear(std::byte* at, size_t bytes) override { std::memset(at, 0, bytes); }
  void copy(std::byte* to, const std::byte* from, size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
};

}  // namespace

MemorySpace& host_memory() {
  static HostMemory space;
  return space;
}

Result<Buffer> Buffer::allocate(size_t bytes, const char* purpose, MemorySpace& space) {
  Buffer buffer;
  if (bytes == 0) return buffer;
  MINKE_ASSIGN(std::byte * memory, space.allocate(bytes, purpose));
  buffer.memory_ = std::shared_ptr<void>(
      memory, [bytes, &space](void* at) { space.release(static_cast<std::byte*>(at), bytes); });
  buffer.size_ = bytes;
  buffer.space_ = &space;
  return buffer;
}

Buffer Buffer::allocate_or_die(size_t bytes, const char* purpose, MemorySpace& space) {
  Result<Buffer> buffer = allocate(bytes, purpose, space);
  if (!buffer) {
    std::fprintf(stderr, "minke: %s\n", buffer.error().message.c_str());
    std::abort();
  }
  return *std::move(buffer);
}

Result<Buffer> Arena::take(size_t bytes, const char* purpose) {
  Buffer piece;
  if (bytes == 0) return piece;
  if (bytes > block_.size_ - used_) {
    const size_t block = std::clamp(2 * block_.size_, kBlockLeast, kBlockMost);
    MINKE_ASSIGN(block_, Buffer::allocate(std::max(bytes, block), purpose));
    used_ = 0;
  }
  piece.memory_ = std::shared_ptr<void>(block_.memory_, block_.data() + used_);
  piece.size_ = bytes;
  piece.space_ = block_.space_;
  used_ = std::min(block_.size_, round_up(used_ + bytes, 64));
  return piece;
}

}  // namespace minke
