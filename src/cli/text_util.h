// Small things about text that the terminal needs: printable excerpts, widths, sizes in words.
// Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace minke::cli {

// What a stranger's text may safely look like inside a message: valid UTF-8, control characters
// escaped, cut with an ellipsis after `characters_max`.
std::string printable(std::string_view text, size_t characters_max = 60);

// "4 GiB", "1.5 GiB", "800 MiB": for memory.
std::string binary_bytes(uint64_t bytes);

// 1234567 -> "1,234,567".
std::string with_commas(int64_t value);

// 0.42 s, 12.3 s, 3 min 05 s.
std::string duration(double seconds);

// The length of the UTF-8 character that begins at text[0]: 1 to 4, and 1 for a stray byte. 0 when
// the text ends inside the character.
size_t utf8_length(std::string_view text);
// Columns of a terminal that one character takes: 0, 1 or 2.
int character_width(std::string_view character);
int text_width(std::string_view text);

// Breaks at spaces so that no line is wider than `width` (longer words stand alone). The first line
// is not indented; the others begin with `indent` spaces. No newline at the end.
std::string wrapped(std::string_view text, int width, int indent);
// Each line of a text by itself; what follows a break is indented as its line is.
std::string wrapped_lines(std::string_view text, int width);

// True when text is valid UTF-8.
bool is_utf8(std::string_view text);

}  // namespace minke::cli
