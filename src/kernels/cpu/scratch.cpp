#include "kernels/cpu/scratch.h"

#include <bit>

#include "core/memory.h"

namespace minke {

std::byte* kernel_scratch(size_t bytes) {
  thread_local Buffer memory;
  if (memory.size() < bytes) {
    memory = {};
    memory = Buffer::allocate_or_die(std::bit_ceil(bytes), "a kernel's scratch memory");
  }
  return memory.data();
}

}  // namespace minke
