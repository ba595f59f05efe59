#include "io/json_file.h"

#include <fmt/format.h>

#include "io/mmap.h"

namespace minke {
namespace {

constexpr int kNestingMost = 64;

bool is_too_deep(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kNestingMost) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

}  // namespace

Result<nlohmann::json> parse_json_object(std::string_view text, const std::string& name) {
  if (is_too_deep(text)) {
    return fail(fmt::format("{}: JSON nested deeper than {} levels", name, kNestingMost));
  }
  nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return fail(fmt::format("{}: is no JSON object", name));
  return json;
}

Result<nlohmann::json> read_json_object(const std::string& path, size_t bytes_max) {
  MINKE_ASSIGN(const MappedFile file, MappedFile::open(path));
  const std::span<const std::byte> bytes = file.bytes();
  if (bytes.size() > bytes_max) {
    return fail(
        fmt::format("{}: has {} bytes, expected at most {}", path, bytes.size(), bytes_max));
  }
  return parse_json_object({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

}  // namespace minke
