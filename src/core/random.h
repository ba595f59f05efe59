// Counter-based random numbers: a pure function of (seed, stream, counter), so that sampling and
// data order do not depend on batches, threads or restarts. Philox4x32-10 (Salmon et al., SC'11).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace minke {

// Four words for the 128-bit counter (counter, stream) under the 64-bit key `seed`.
std::array<uint32_t, 4> philox(uint64_t seed, uint64_t stream, uint64_t counter);

// Uniform in [0, 1) with 53 bits.
double uniform(uint64_t seed, uint64_t stream, uint64_t counter);

// Two independent standard normals (Box-Muller).
std::array<double, 2> normal_pair(uint64_t seed, uint64_t stream, uint64_t counter);

// Bytes that nobody can guess, from the system.
void fill_from_system(std::span<std::byte> bytes);

}  // namespace minke
