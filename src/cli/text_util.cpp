#include "cli/text_util.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace minke::cli {

namespace {

// The code point at the start of text, or -1 for what is not UTF-8; `length` is what it takes.
int32_t decode_first(std::string_view text, size_t* length) {
  utf8proc_int32_t code = -1;
  const utf8proc_ssize_t taken =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                       static_cast<utf8proc_ssize_t>(std::min<size_t>(text.size(), 4)), &code);
  *length = taken > 0 ? static_cast<size_t>(taken) : 1;
  return taken > 0 ? code : -1;
}

// Controls, and what turns the direction of the text around: neither belongs in a message.
bool unfit_for_messages(int32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x200e && code <= 0x200f) ||
         (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

}  // namespace

std::string printable(std::string_view text, size_t characters_max) {
  std::string out;
  for (size_t count = 0; !text.empty(); ++count) {
    if (count == characters_max) return out + "…";
    size_t length = 0;
    const int32_t code = decode_first(text, &length);
    if (code == '\n') {
      out += "\\n";
    } else if (code == '\t') {
      out += "\\t";
    } else if (code < 0) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
    } else if (unfit_for_messages(code)) {
      out += fmt::format("\\u{:04x}", code);
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return out;
}

std::string binary_bytes(uint64_t bytes) {
  static constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  if (unit == 0 || value == std::floor(value)) return fmt::format("{:.0f} {}", value, kUnits[unit]);
  return fmt::format("{:.{}f} {}", value, value < 100 ? 1 : 0, kUnits[unit]);
}

std::string with_commas(int64_t value) {
  std::string digits = fmt::format("{}", value);
  const size_t first = value < 0 ? 1 : 0;
  for (size_t at = digits.size(); at > first + 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

std::string duration(double seconds) {
  if (seconds < 10) return fmt::format("{:.2f} s", seconds);
  if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t want = lead < 0xc2 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 1;
  for (size_t i = 1; i < want; ++i) {
    if (i == text.size()) return 0;
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 1;
  }
  return want;
}

int character_width(std::string_view character) {
  size_t length = 0;
  const int32_t code = decode_first(character, &length);
  if (code < 0) return 1;
  if (code < 0x20 || code == 0x7f) return 0;
  return std::max(0, utf8proc_charwidth(code));
}

int text_width(std::string_view text) {
  int width = 0;
  while (!text.empty()) {
    const size_t length = std::max<size_t>(1, utf8_length(text));
    width += character_width(text.substr(0, length));
    text.remove_prefix(length);
  }
  return width;
}

std::string wrapped(std::string_view text, int width, int indent) {
  std::string out;
  int column = indent;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    const int word_width = text_width(word);
    if (column > indent && column + 1 + word_width > width) {
      out += '\n';
      out.append(static_cast<size_t>(indent), ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word_width;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string wrapped_lines(std::string_view text, int width) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const size_t indent = std::min(text.find_first_not_of(' '), end);
    out.append(indent, ' ');
    out += wrapped(text.substr(indent, end - indent), width, static_cast<int>(indent));
    if (end < text.size()) out += '\n';
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    size_t length = 0;
    if (decode_first(text, &length) < 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace minke::cli
