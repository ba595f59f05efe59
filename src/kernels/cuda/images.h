// The machine code of the CUDA kernels, embedded by the build: one image a .cu file.
#pragma once

#include <cstddef>
#include <span>

namespace minke {

std::span<const std::span<const std::byte>> cuda_images();

}  // namespace minke
