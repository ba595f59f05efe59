// Text that remembers which of its bytes came from user data.
//
// A chat template mixes its own markers with what people wrote. Every string of the interpreter is
// a Text, so that the mixture can be taken apart again at the end: the spans survive slicing,
// joining, replacing and JSON encoding. Where an operation cannot say byte by byte where its output
// came from, it marks too much rather than too little. Plain values, no threads.
//
// Strings are UTF-8 and, as in Python, measured in code points where a template can see a number.
// A byte that is no valid UTF-8 counts as one code point and passes through untouched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace minke::jinja {

// Bytes [begin, end) of a Text came from user data.
struct Span {
  size_t begin;
  size_t end;
};

class Text {
 public:
  Text() = default;
  // Template text: explicit, because leaving the mark out by accident would be the unsafe error.
  explicit Text(std::string template_bytes) : bytes_(std::move(template_bytes)) {}
  static Text from_user(std::string bytes);

  const std::string& bytes() const { return bytes_; }
  std::string_view view() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  const std::vector<Span>& user_spans() const { return spans_; }
  bool user_at(size_t byte) const;

  // Markup is what the filters safe and escape return; adding plain text to it escapes that text.
  bool is_markup() const { return is_markup_; }
  void set_markup(bool is_markup) { is_markup_ = is_markup; }

  void append(std::string_view template_bytes) { bytes_.append(template_bytes); }
  void append(const Text& other);
  void append(const Text& other, size_t begin, size_t end);
  void append_marked(std::string_view bytes, bool is_user);
  // Everything from here on counts as user data: for operations that cannot say it more finely.
  void mark_all();
  Text slice(size_t begin, size_t end) const;

 private:
  void add_span(size_t begin, size_t end);

  std::string bytes_;
  std::vector<Span> spans_;  // sorted, disjoint, never touching
  bool is_markup_ = false;
};

// --- UTF-8 ---------------------------------------------------------------------------------------

// The code point at `at` and the bytes it takes. A malformed byte is {0xFFFD, 1, false}.
struct CodePoint {
  char32_t value;
  size_t size;
  bool is_valid = true;
};
CodePoint decode_utf8(std::string_view bytes, size_t at);
void append_utf8(char32_t code_point, std::string& out);
size_t code_point_count(std::string_view bytes);
// Byte offset of code point `index`, or size() where there are fewer.
size_t code_point_offset(std::string_view bytes, size_t index);
// Offsets of every code point and, last, size().
std::vector<size_t> code_point_offsets(std::string_view bytes);

bool is_space(char32_t c);       // as Python's str.isspace
bool is_line_break(char32_t c);  // as Python's str.splitlines, \r\n counted by the caller
bool is_printable(char32_t c);   // as Python's repr decides
bool is_letter(char32_t c);
bool is_decimal(char32_t c);
bool is_upper(char32_t c);
bool is_lower(char32_t c);

// Case mapping, code point by code point, with the one common expansion (sharp s to SS).
Text to_upper(const Text& text);
Text to_lower(const Text& text);
Text capitalize(const Text& text);
Text swap_case(const Text& text);
// A letter after a non-letter is raised, every other one lowered: Python's str.title.
Text title_words(const Text& text);

// --- pieces --------------------------------------------------------------------------------------

// Which end strip takes from.
enum class Side { kBoth, kLeft, kRight };
// Without `chars` it strips white space, with it any of its code points.
Text strip(const Text& text, Side side, const std::string* chars);
// First place of `needle` at or after `from`; npos if absent. Linear in the worst case.
size_t find_bytes(std::string_view haystack, std::string_view needle, size_t from);
std::vector<Text> split_lines(const Text& text, bool keep_ends);
// Runs of white space separate; max_split < 0 means no limit.
std::vector<Text> split_white_space(const Text& text, int64_t max_split, bool from_right);
Text replace_all(const Text& text, std::string_view from, const Text& to, int64_t count_max,
                 size_t bytes_max);
// HTML's five characters, as the escape filter does.
Text escape_html(const Text& text);
// Python's repr of a str.
void append_quoted(const Text& text, Text& out);
// A JSON string with its quotes, as json.dumps writes it.
void append_json_string(const Text& text, bool ensure_ascii, Text& out);

}  // namespace minke::jinja
