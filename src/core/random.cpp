#include "core/random.h"

#include <sys/random.h>

#include <cerrno>
#include <cmath>
#include <numbers>

#include "core/check.h"

namespace minke {

std::array<uint32_t, 4> philox(uint64_t seed, uint64_t stream, uint64_t counter) {
  uint32_t key0 = static_cast<uint32_t>(seed);
  uint32_t key1 = static_cast<uint32_t>(seed >> 32);
  std::array<uint32_t, 4> x = {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32),
                               static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)};
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * x[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * x[2];
    x = {static_cast<uint32_t>(product1 >> 32) ^ x[1] ^ key0, static_cast<uint32_t>(product1),
         static_cast<uint32_t>(product0 >> 32) ^ x[3] ^ key1, static_cast<uint32_t>(product0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return x;
}

double uniform(uint64_t seed, uint64_t stream, uint64_t counter) {
  const auto words = philox(seed, stream, counter);
  const uint64_t bits = (uint64_t{words[0]} << 32 | words[1]) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

std::array<double, 2> normal_pair(uint64_t seed, uint64_t stream, uint64_t counter) {
  const auto words = philox(seed, stream, counter);
  const double u = (static_cast<double>(uint64_t{words[0]} << 21 | words[1] >> 11) + 0.5) * 0x1p-53;
  const double v = (static_cast<double>(uint64_t{words[2]} << 21 | words[3] >> 11) + 0.5) * 0x1p-53;
  const double radius = std::sqrt(-2.0 * std::log(u));
  const double angle = 2.0 * std::numbers::pi * v;
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

void fill_from_system(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t got = getrandom(bytes.data(), bytes.size(), 0);
    if (got < 0) {
      CHECK_EQ(errno, EINTR);
    } else {
      bytes = bytes.subspan(static_cast<size_t>(got));
    }
  }
}

}  // namespace minke
