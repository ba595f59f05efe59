// Memory that a kernel works in. It comes from a file that is compiled for every processor: a
// std::vector inside a file for AVX-512 would leave its growth there in AVX-512 code, and the
// linker may take that copy for the whole program (tools/check_isa_objects.py watches over it).
#pragma once

#include <cstddef>

namespace minke {

// At least `bytes`, on a cache line, the calling thread's own. Whatever was in it before may be in
// it still. Valid until this thread's next call.
std::byte* kernel_scratch(size_t bytes);

}  // namespace minke
