// minke's own version, for --version, servers and files.
#pragma once

namespace minke {

inline constexpr const char* kVersion = "0.1.0";

}  // namespace minke
