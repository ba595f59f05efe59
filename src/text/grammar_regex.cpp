#include "text/grammar_regex.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "text/grammar_json.h"
#include "text/unicode.h"

namespace minke {
namespace {

constexpr size_t kPatternBytesMax = size_t{64} << 10;
constexpr int kNestingMax = 100;

const CharSet& digits() {
  static const CharSet set = {{'0', '9'}};
  return set;
}
const CharSet& word() {
  static const CharSet set = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
  return set;
}
const CharSet& spaces() {
  static const CharSet set = {{'\t', '\r'}, {' ', ' '}};
  return set;
}
// What JavaScript, Python or Unicode call a space.
const CharSet& all_spaces() {
  static const CharSet set = {{'\t', '\r'},     {0x1C, ' '},      {0x85, 0x85},
                              {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
                              {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
                              {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
  return set;
}
const CharSet& line_ends() {
  static const CharSet set = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
  return set;
}

class RegexReader {
 public:
  RegexReader(Grammar& grammar, std::string_view pattern, const RegexOptions& options)
      : grammar_(grammar), pattern_(pattern), options_(options) {}

  Result<Regex> read() {
    if (pattern_.size() > kPatternBytesMax) {
      return misuse(fmt::format("the regular expression has {} bytes; at most {} are read",
                                pattern_.size(), kPatternBytesMax));
    }
    if (!is_valid_utf8(pattern_)) return misuse("the regular expression is not UTF-8 text");
    MINKE_ASSIGN(const Regex all, choice(0));
    if (at_ < pattern_.size()) return error("there is no group that this ')' could close");
    return all;
  }

 private:
  std::unexpected<Error> error(std::string_view what) const {
    const std::string_view before = pattern_.substr(0, at_);
    const auto characters = std::ranges::count_if(
        before, [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
    return misuse(fmt::format("regular expression, character {}: {}", characters + 1, what));
  }

  bool at_end() const { return at_ >= pattern_.size(); }
  char peek() const { return at_end() ? '\0' : pattern_[at_]; }
  bool accept(std::string_view text) {
    if (!pattern_.substr(at_).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }
  uint32_t take_character() {
    const Glyph glyph = decode_utf8(pattern_, at_);
    at_ += glyph.length;
    return glyph.code;
  }

  Regex one_of(const CharSet& set) {
    const Grammar::Expr expr =
        options_.in_json_string ? json_character(grammar_, set) : grammar_.characters(set);
    return {.expr = expr, .characters_min = 1, .characters_max = 1};
  }
  Grammar::Expr anything() {
    return grammar_.repeat(one_of(CharSet::all()).expr, 0, Grammar::kUnbounded);
  }

  Result<Regex> choice(int depth) {
    if (depth > kNestingMax) {
      return error(fmt::format("groups are nested more than {} deep", kNestingMax));
    }
    std::vector<Grammar::Expr> parts;
    Regex all{.characters_min = INT64_MAX};
    do {
      MINKE_ASSIGN(const Regex part, sequence(depth));
      parts.push_back(part.expr);
      all.characters_min = std::min(all.characters_min, part.characters_min);
      const bool no_limit = all.characters_max < 0 || part.characters_max < 0;
      all.characters_max = no_limit ? -1 : std::max(all.characters_max, part.characters_max);
    } while (accept("|"));
    all.expr = grammar_.choice(std::move(parts));
    return all;
  }

  Result<Regex> sequence(int depth) {
    const bool is_top = depth == 0;
    bool begins = !options_.is_search || !is_top;
    bool ends = begins;
    std::vector<Grammar::Expr> parts;
    Regex all;
    if (is_top && accept("^")) begins = true;
    while (!at_end() && peek() != '|' && peek() != ')') {
      const std::string_view behind = pattern_.substr(at_ + 1);
      if (is_top && peek() == '$' && (behind.empty() || behind[0] == '|')) {
        ++at_;
        ends = true;
        break;
      }
      MINKE_ASSIGN(Regex part, atom(depth));
      MINKE_ASSIGN(part, repeated(part));
      parts.push_back(part.expr);
      all.characters_min += part.characters_min;
      const bool no_limit = all.characters_max < 0 || part.characters_max < 0;
      all.characters_max = no_limit ? -1 : all.characters_max + part.characters_max;
    }
    if (!begins) parts.insert(parts.begin(), anything());
    if (!ends) parts.push_back(anything());
    if (!begins || !ends) all.characters_max = -1;
    all.expr = grammar_.sequence(std::move(parts));
    return all;
  }

  std::optional<int> number() {
    const size_t begin = at_;
    int value = 0;
    while (!at_end() && peek() >= '0' && peek() <= '9') {
      value = std::min(value * 10 + (peek() - '0'), 10 * kRegexCountMax);
      ++at_;
    }
    if (at_ == begin) return std::nullopt;
    return value;
  }

  Result<Regex> repeated(Regex part) {
    int min = 1;
    int max = 1;
    const size_t begin = at_;
    if (accept("*")) {
      min = 0;
      max = Grammar::kUnbounded;
    } else if (accept("+")) {
      max = Grammar::kUnbounded;
    } else if (accept("?")) {
      min = 0;
    } else if (accept("{")) {
      const std::optional<int> low = number();
      std::optional<int> high = low;
      if (low && accept(",")) high = peek() == '}' ? Grammar::kUnbounded : number();
      if (!low || !high || !accept("}")) {
        return error("a count must be {m}, {m,} or {m,n}; write \\{ for the character");
      }
      min = *low;
      max = *high;
      at_ = begin;
      if (min > kRegexCountMax || max > kRegexCountMax) {
        return error(fmt::format("counts are at most {}", kRegexCountMax));
      }
      if (max != Grammar::kUnbounded && max < min) {
        return error(fmt::format("a count from {} to {} is empty", min, max));
      }
      at_ = pattern_.find('}', at_) + 1;
    } else {
      return part;
    }
    accept("?");  // lazy: the same texts
    if (!at_end() && (peek() == '*' || peek() == '+' || peek() == '?' || peek() == '{')) {
      return error("there is nothing that this count could be for");
    }
    // Saturated: only small numbers are compared with anything.
    constexpr int64_t kManyMax = int64_t{1} << 40;
    part.expr = grammar_.repeat(part.expr, min, max);
    part.characters_min = std::min(part.characters_min * min, kManyMax);
    if (part.characters_max != 0) {
      part.characters_max = max == Grammar::kUnbounded || part.characters_max < 0
                                ? -1
                                : std::min(part.characters_max * max, kManyMax);
    }
    return part;
  }

  Result<Regex> atom(int depth) {
    if (accept("(")) return group(depth);
    if (accept("[")) return char_class();
    if (accept(".")) return one_of(line_ends().complement());
    if (peek() == '\\') {
      MINKE_ASSIGN(const CharSet set, escape(false));
      return one_of(set);
    }
    switch (peek()) {
      case '*':
      case '+':
      case '?':
      case '{':
        return error("there is nothing that this count could be for");
      case '^':
      case '$':
        return error(
            "^ and $ may stand only at the beginning and the end of the whole expression or of one "
            "of its alternatives");
      default:
        break;
    }
    const uint32_t code = take_character();
    return one_of({{code, code}});
  }

  Result<Regex> group(int depth) {
    if (peek() == '?') {
      const bool is_name = pattern_.substr(at_).starts_with("?<") &&
                           !pattern_.substr(at_).starts_with("?<=") &&
                           !pattern_.substr(at_).starts_with("?<!");
      if (is_name) {
        const size_t close = pattern_.find('>', at_);
        if (close == std::string_view::npos) return error("the name of a group has no '>'");
        at_ = close + 1;
      } else if (!accept("?:")) {
        return error("look-around and flags are not supported: only (x), (?:x) and (?<name>x) are");
      }
    }
    MINKE_ASSIGN(const Regex inner, choice(depth + 1));
    if (!accept(")")) return error("a ')' is missing");
    return inner;
  }

  Result<uint32_t> hex(int digits_wanted) {
    uint32_t value = 0;
    for (int i = 0; i < digits_wanted; ++i) {
      const char c = peek();
      const bool is_letter = (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
      if (!is_letter && (c < '0' || c > '9')) {
        return error(fmt::format("{} hexadecimal digits are wanted here", digits_wanted));
      }
      value = value * 16 + static_cast<uint32_t>(is_letter ? (c | 0x20) - 'a' + 10 : c - '0');
      ++at_;
    }
    return value;
  }

  Result<uint32_t> unicode_escape() {
    if (!accept("{")) {
      MINKE_ASSIGN(uint32_t code, hex(4));
      const bool is_high = code >= 0xD800 && code <= 0xDBFF;
      if (is_high && accept("\\u")) {
        MINKE_ASSIGN(const uint32_t low, hex(4));
        if (low >= 0xDC00 && low <= 0xDFFF) code = 0x10000 + ((code - 0xD800) << 10) + low - 0xDC00;
      }
      if (code >= 0xD800 && code <= 0xDFFF) return error("half a surrogate pair is no character");
      return code;
    }
    const size_t close = std::min(pattern_.find('}', at_), pattern_.size());
    const size_t count = close - at_;
    if (count == 0 || count > 6) return error("\\u{H} has one to six hexadecimal digits");
    MINKE_ASSIGN(const uint32_t code, hex(static_cast<int>(count)));
    if (!accept("}")) return error("\\u{ has no '}'");
    const bool is_character = code <= CharSet::kLast && (code < 0xD800 || code > 0xDFFF);
    if (!is_character) return error(fmt::format("U+{:X} is no character", code));
    return code;
  }

  Result<CharSet> escape(bool in_class) {
    const size_t begin = at_;
    ++at_;
    if (at_end()) return error("a '\\' is the last character");
    const uint32_t c = take_character();
    const auto single = [](uint32_t code) { return CharSet{{code, code}}; };
    switch (c) {
      case 'd':
        return digits();
      case 'D':
        return digits().complement();
      case 'w':
        return word();
      case 'W':
        return word().complement();
      case 's':
        return spaces();
      case 'S':
        return all_spaces().complement();
      case 'n':
        return single('\n');
      case 'r':
        return single('\r');
      case 't':
        return single('\t');
      case 'f':
        return single('\f');
      case 'v':
        return single('\v');
      case '0':
        if (peek() >= '0' && peek() <= '9') break;
        return single(0);
      case 'x': {
        MINKE_ASSIGN(const uint32_t code, hex(2));
        return single(code);
      }
      case 'u': {
        MINKE_ASSIGN(const uint32_t code, unicode_escape());
        return single(code);
      }
      case 'b':
        if (in_class) return single('\b');
        break;
      default: {
        const bool is_word = c < 0x80 && word().contains(c);
        if (!is_word) return single(c);
        break;
      }
    }
    at_ = begin;
    return error(
        fmt::format("\\{} is not supported: \\d \\w \\s \\D \\W \\S \\n \\r \\t \\f \\v \\0 \\xHH "
                    "\\uHHHH and escaped punctuation are",
                    pattern_.substr(begin + 1, 1)));
  }

  Result<Regex> char_class() {
    const bool is_negated = accept("^");
    CharSet set;
    while (peek() != ']' || at_end()) {
      if (at_end()) return error("a ']' is missing");
      MINKE_ASSIGN(const CharSet low, class_item());
      const std::string_view behind = pattern_.substr(at_);
      const bool is_range = behind.starts_with('-') && behind.size() > 1 && behind[1] != ']';
      if (!is_range) {
        set.add(low);
        continue;
      }
      ++at_;
      MINKE_ASSIGN(const CharSet high, class_item());
      if (!is_single(low) || !is_single(high)) {
        return error("a range runs from one character to another, not to a class");
      }
      if (low.ranges()[0].low > high.ranges()[0].low) return error("a range runs backwards");
      set.add(low.ranges()[0].low, high.ranges()[0].low);
    }
    ++at_;
    if (is_negated) set = set.complement();
    return one_of(set);
  }

  static bool is_single(const CharSet& set) {
    return set.ranges().size() == 1 && set.ranges()[0].low == set.ranges()[0].high;
  }

  Result<CharSet> class_item() {
    if (peek() == '\\') return escape(true);
    if (at_end()) return error("a ']' is missing");
    const uint32_t code = take_character();
    return CharSet{{code, code}};
  }

  Grammar& grammar_;
  std::string_view pattern_;
  const RegexOptions& options_;
  size_t at_ = 0;
};

}  // namespace

Result<Regex> add_regex(Grammar& grammar, std::string_view pattern, const RegexOptions& options) {
  return RegexReader(grammar, pattern, options).read();
}

Result<Grammar> regex_grammar(std::string_view pattern) {
  Grammar grammar;
  const Grammar::Rule root = grammar.add_rule("the regular expression");
  MINKE_ASSIGN(const Regex regex, add_regex(grammar, pattern, {}));
  grammar.define(root, regex.expr);
  return grammar;
}

}  // namespace minke
