#include "io/json_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

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

// Reads on to the first fault, and keeps what the parser says of it.
struct FaultFinder : nlohmann::json_sax<nlohmann::json> {
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::json::exception& fault) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 5: unexpected ..."
    std::string_view what = fault.what();
    what.remove_prefix(std::min(what.size(), what.find("] ") + 2));
    constexpr std::string_view kAt = "parse error at ";
    words = what.starts_with(kAt) ? std::string(what.substr(kAt.size(), 200))
                                  : fmt::format("byte {}: {}", position, what.substr(0, 200));
    return false;
  }
  std::string words;
};

// Where a text that is no JSON ceases to be, and why.
std::string fault_of(std::string_view text) {
  FaultFinder finder;
  nlohmann::json::sax_parse(text, &finder);
  return finder.words;
}

}  // namespace

Result<nlohmann::json> parse_json_object(std::string_view text, const std::string& name) {
  if (is_too_deep(text)) {
    return fail(fmt::format("{}: JSON nested deeper than {} levels", name, kNestingMost));
  }
  nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return fail(fmt::format("{}: is no JSON: {}", name, fault_of(text)));
  if (!json.is_object()) {
    return fail(
        fmt::format("{}: is of JSON's type {}, expected an object", name, json.type_name()));
  }
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
