#include "tasks/math_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "tasks/final_answer.h"
#include "tasks/math_value.h"

namespace minke {

namespace {

constexpr int kSamples = 4;
constexpr size_t kLongest = 2000;
constexpr size_t kMostParts = 100;
constexpr int kDeepest = 8;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  std::string out;
  size_t at = 0;
  for (size_t found; (found = text.find(from, at)) != std::string::npos; at = found + from.size()) {
    const size_t end = found + from.size();
    const bool is_longer_command = from.size() > 1 && from.front() == '\\' &&
                                   is_letter(from.back()) && end < text.size() &&
                                   is_letter(text[end]);
    out.append(text, at, found - at);
    out += is_longer_command ? from : to;
  }
  text = out.append(text, at);
}

// What LaTeX and typography add to a text that says nothing of its value.
std::string without_layout(std::string_view raw) {
  std::string text(raw);
  // Ends of rows and a set's braces are signs of their own from here on: "\\\\ " is no space, and a
  // group keeps its braces.
  constexpr std::pair<std::string_view, std::string_view> kReplacements[] = {
      {"\n", " "},
      {"\\\\", "⏎"},
      {"\t", " "},
      {"\\!", ""},
      {"{,}", ","},
      {"\\%", "%"},
      {"\\$", ""},
      {"$", ""},
      {"€", ""},
      {"£", ""},
      {"\\{", "⟨"},
      {"\\}", "⟩"},
      {"\\lbrace", "⟨"},
      {"\\rbrace", "⟩"},
      {"\\left", ""},
      {"\\right", ""},
      {"\\bigl", ""},
      {"\\bigr", ""},
      {"\\Big", ""},
      {"\\big", ""},
      {"\\displaystyle", ""},
      {"\\limits", ""},
      {"\\,", " "},
      {"\\;", " "},
      {"\\:", " "},
      {"\\ ", " "},
      {"~", " "},
      {"\\quad", " "},
      {"\\qquad", " "},
      {"\\dfrac", "\\frac"},
      {"\\tfrac", "\\frac"},
      {"\\cfrac", "\\frac"},
      {"\\dbinom", "\\binom"},
      {"^{\\circ}", ""},
      {"^\\circ", ""},
      {"\\circ", ""},
      {"\\degree", ""},
      {"°", ""},
      {"\\lvert", "|"},
      {"\\rvert", "|"},
      {"\\vert", "|"},
      {"\\leq", "≤"},
      {"\\le", "≤"},
      {"<=", "≤"},
      {"\\geq", "≥"},
      {"\\ge", "≥"},
      {">=", "≥"},
      {"\\lt", "<"},
      {"\\gt", ">"},
      {"\\neq", "≠"},
      {"\\ne", "≠"},
      {"\\cup", "∪"},
      {"\\pm", "±"},
      {"−", "-"},
      {"∞", "\\infty"},
      {"infinity", "\\infty"},
      {"\\varnothing", "\\emptyset"},
      {"∅", "\\emptyset"},
      {"\\mathbb{R}", "ℝ"},
      {"\\mathbb R", "ℝ"},
  };
  for (const auto& [from, to] : kReplacements) replace_all(text, from, to);
  return std::string(trimmed(text));
}

// Where the '{' at `open` is closed; npos where it is not.
size_t closing_brace(std::string_view text, size_t open) {
  int depth = 0;
  for (size_t i = open; i < text.size(); ++i) {
    if (text[i] == '{') ++depth;
    if (text[i] == '}' && --depth == 0) return i;
  }
  return std::string_view::npos;
}

// \text{...} and its like: separators become commas, a name of something stays, and what follows a
// value is its unit, which goes with its power.
std::string without_text_commands(std::string text) {
  constexpr std::string_view kCommands[] = {"\\text",   "\\mbox",   "\\mathrm",       "\\textbf",
                                            "\\mathbf", "\\textit", "\\operatorname", "\\hbox"};
  for (const std::string_view command : kCommands) {
    for (size_t at; (at = text.find(std::string(command) + "{")) != std::string::npos;) {
      const size_t close = closing_brace(text, at + command.size());
      if (close == std::string::npos) return text;
      const std::string inside(trimmed(
          std::string_view(text).substr(at + command.size() + 1, close - at - command.size() - 1)));
      size_t end = close + 1;
      std::string put = inside;
      if (inside == "and" || inside == "or" || inside == ", and") {
        put = ", ";
      } else if (!trimmed(std::string_view(text).substr(0, at)).empty() && !inside.empty() &&
                 std::ranges::none_of(inside, is_digit)) {
        put = "";
        if (text.substr(end).starts_with("^{")) {
          end = std::min(closing_brace(text, end + 1), text.size() - 1) + 1;
        } else if (text.substr(end).starts_with("^")) {
          end = std::min(end + 2, text.size());
        }
      }
      text.replace(at, end - at, put);
    }
  }
  return std::string(trimmed(text));
}

// "20 miles", "5 cm^2", "90 degrees": words behind a number. Products of unknowns have no word.
std::string without_plain_unit(std::string text) {
  const size_t last_space = text.find_first_of(' ');
  if (last_space == std::string::npos || text.empty()) return text;
  const std::string_view number = std::string_view(text).substr(0, last_space);
  std::string_view unit = trimmed(std::string_view(text).substr(last_space));
  if (!std::ranges::all_of(
          number, [](char c) { return is_digit(c) || std::string_view(".,/-:%").contains(c); })) {
    return text;
  }
  if (unit.ends_with("^2") || unit.ends_with("^3")) unit.remove_suffix(2);
  const bool is_words = unit.size() >= 2 && std::ranges::all_of(unit, [](char c) {
                          return is_letter(c) || c == ' ' || c == '.';
                        });
  const size_t first_word = std::min(unit.find(' '), unit.size());
  return is_words && first_word >= 2 ? std::string(number) : text;
}

// Commas between groups of three digits, outside of brackets: "12,345,678".
std::string without_thousands(std::string_view text) {
  std::string out;
  int depth = 0;
  size_t digits_before = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (std::string_view("([{").contains(c) || text.substr(i).starts_with("⟨")) ++depth;
    if (std::string_view(")]}").contains(c) || text.substr(i).starts_with("⟩")) --depth;
    const std::string_view group = text.substr(i + 1, 3);
    const bool is_group = c == ',' && depth == 0 && digits_before >= 1 && digits_before <= 3 &&
                          group.size() == 3 && std::ranges::all_of(group, is_digit) &&
                          (i + 4 == text.size() || !is_digit(text[i + 4]));
    if (!is_group) out += c;
    digits_before = is_digit(c) ? digits_before + 1 : 0;
  }
  return out;
}

// At top level: outside of every bracket and group.
std::vector<std::string_view> split_top(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  int depth = 0;
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = text.substr(i);
    if (depth == 0 && rest.starts_with(separator)) {
      parts.push_back(trimmed(text.substr(begin, i - begin)));
      begin = i + separator.size();
      i = begin - 1;
      continue;
    }
    if (std::string_view("([{").contains(text[i]) || rest.starts_with("⟨")) ++depth;
    if (std::string_view(")]}").contains(text[i]) || rest.starts_with("⟩")) --depth;
  }
  parts.push_back(trimmed(text.substr(begin)));
  return parts;
}

bool same(std::string_view a, std::string_view b, int depth);

bool same_in_order(const std::vector<std::string_view>& a, const std::vector<std::string_view>& b,
                   int depth) {
  return std::ranges::equal(
      a, b, [&](std::string_view x, std::string_view y) { return same(x, y, depth + 1); });
}

bool same_in_any_order(const std::vector<std::string_view>& a, std::vector<std::string_view> b,
                       int depth) {
  if (a.size() != b.size()) return false;
  for (const std::string_view part : a) {
    const auto found = std::ranges::find_if(
        b, [&](std::string_view other) { return same(part, other, depth + 1); });
    if (found == b.end()) return false;
    b.erase(found);
  }
  return true;
}

bool same_value(std::string_view a, std::string_view b) {
  for (int sample = 0; sample < kSamples; ++sample) {
    const auto x = math_value(a, sample), y = math_value(b, sample);
    if (!x || !y || !are_close(*x, *y)) return false;
  }
  return true;
}

// The point of ".5".
bool begins_decimal(std::string_view text, size_t at) {
  return at + 1 < text.size() && is_digit(text[at + 1]);
}

// The letters small, without spaces, full stops and backslashes but between digits, and without the
// brackets around a single choice.
std::string words_of(std::string_view text) {
  std::string words;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool is_between_digits =
        i > 0 && i + 1 < text.size() && is_digit(text[i - 1]) && is_digit(text[i + 1]);
    const bool is_dress = c == ' ' || c == '\\' || (c == '.' && !begins_decimal(text, i));
    if (is_dress && !is_between_digits) continue;
    words += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  if (words.size() == 3 && words.front() == '(' && words.back() == ')') return words.substr(1, 1);
  return words;
}

// The brackets around the whole text: "(" and ")" of "(1, 2]" would be "(" and "]".
struct Bracketed {
  char open = 0, close = 0;
  std::vector<std::string_view> parts;
};

std::optional<Bracketed> bracketed(std::string_view text) {
  if (text.size() < 2 || !std::string_view("([").contains(text.front()) ||
      !std::string_view(")]").contains(text.back())) {
    return std::nullopt;
  }
  int depth = 0;
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    if (std::string_view("([{").contains(text[i])) ++depth;
    if (std::string_view(")]}").contains(text[i])) --depth;
    if (depth == 0) return std::nullopt;  // "(1)(2)"
  }
  return Bracketed{.open = text.front(),
                   .close = text.back(),
                   .parts = split_top(text.substr(1, text.size() - 2), ",")};
}

// What stands between \{ and \}.
std::optional<std::string_view> set_inside(std::string_view text) {
  constexpr std::string_view kOpen = "⟨", kClose = "⟩";
  if (!text.starts_with(kOpen) || !text.ends_with(kClose)) return std::nullopt;
  return trimmed(text.substr(kOpen.size(), text.size() - kOpen.size() - kClose.size()));
}

// The rows of a matrix, each with its cells; nothing where the text is none.
std::optional<std::vector<std::vector<std::string_view>>> matrix_rows(std::string_view text) {
  for (const std::string_view kind : {"pmatrix", "bmatrix", "matrix", "vmatrix"}) {
    const std::string begin = fmt::format("\\begin{{{}}}", kind);
    const std::string end = fmt::format("\\end{{{}}}", kind);
    if (!text.starts_with(begin) || !text.ends_with(end) || text.size() < begin.size() + end.size())
      continue;
    text = trimmed(text.substr(begin.size(), text.size() - begin.size() - end.size()));
    constexpr std::string_view kRowEnd = "⏎";
    if (text.ends_with(kRowEnd)) text = trimmed(text.substr(0, text.size() - kRowEnd.size()));
    std::vector<std::vector<std::string_view>> rows;
    for (const std::string_view row : split_top(text, kRowEnd)) rows.push_back(split_top(row, "&"));
    return rows;
  }
  return std::nullopt;
}

bool same_matrix(std::string_view a, std::string_view b, int depth) {
  const auto rows = matrix_rows(a), others = matrix_rows(b);
  return rows && others && std::ranges::equal(*rows, *others, [&](const auto& x, const auto& y) {
           return same_in_order(x, y, depth);
         });
}

// Sides with the relations between them: "0 < x ≤ 1".
struct Relation {
  std::vector<std::string_view> sides;
  std::vector<std::string_view> signs;
};

Relation relation_of(std::string_view text) {
  constexpr std::string_view kSigns[] = {"=", "<", ">", "≤", "≥", "≠", "\\in"};
  Relation relation;
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    for (const std::string_view sign : kSigns) {
      const size_t end = i + sign.size();
      if (!text.substr(i).starts_with(sign)) continue;
      if (sign == "\\in" && end < text.size() && is_letter(text[end])) continue;  // \infty
      relation.sides.push_back(trimmed(text.substr(begin, i - begin)));
      relation.signs.push_back(sign);
      begin = end;
      break;
    }
  }
  relation.sides.push_back(trimmed(text.substr(begin)));
  return relation;
}

// As read from the right.
Relation mirrored(Relation relation) {
  std::ranges::reverse(relation.sides);
  std::ranges::reverse(relation.signs);
  for (std::string_view& sign : relation.signs) {
    constexpr std::pair<std::string_view, std::string_view> kMirrors[] = {
        {"<", ">"}, {">", "<"}, {"≤", "≥"}, {"≥", "≤"}};
    const auto* const mirror =
        std::ranges::find(kMirrors, sign, &std::pair<std::string_view, std::string_view>::first);
    if (mirror != std::end(kMirrors)) sign = mirror->second;
  }
  return relation;
}

// "y = 2x + 3" is "2x - y + 3 = 0": the differences of the sides have the same ratio everywhere.
bool same_equation(const Relation& a, const Relation& b) {
  std::optional<std::complex<double>> ratio;
  for (int sample = 0; sample < kSamples; ++sample) {
    std::array<std::complex<double>, 2> differences;
    for (const auto& [relation, difference] :
         {std::pair(&a, &differences[0]), std::pair(&b, &differences[1])}) {
      const auto left = math_value(relation->sides[0], sample);
      const auto right = math_value(relation->sides[1], sample);
      if (!left || !right) return false;
      *difference = left->approximate - right->approximate;
    }
    if (std::abs(differences[0]) < 1e-9 || std::abs(differences[1]) < 1e-9) return false;
    const auto here = differences[0] / differences[1];
    if (ratio && std::abs(here - *ratio) > 1e-9 * std::abs(here)) return false;
    ratio = here;
  }
  return true;
}

// A name of what the value is of: "x", "f(x)", "x_1".
bool is_name(std::string_view side) {
  return !side.empty() && side.size() <= 8 && is_letter(side.front()) &&
         (side.size() == 1 || side[1] == '(' || side[1] == '_');
}

bool same_relation(std::string_view a, std::string_view b, int depth) {
  const Relation x = relation_of(a), y = relation_of(b);
  if (x.signs.empty() && y.signs.empty()) return false;
  for (const auto& [relation, other] : {std::pair(&x, b), std::pair(&y, a)}) {
    const bool names_value = relation->signs.size() == 1 &&
                             (relation->signs[0] == "=" || relation->signs[0] == "\\in") &&
                             is_name(relation->sides[0]);
    const bool is_other_plain = relation_of(other).signs.empty();
    if (is_other_plain) return names_value && same(relation->sides[1], other, depth + 1);
  }
  for (const Relation& candidate : {y, mirrored(y)}) {
    if (x.signs == candidate.signs && same_in_order(x.sides, candidate.sides, depth)) return true;
  }
  const std::vector<std::string_view> one_equals = {"="};
  return x.signs == one_equals && y.signs == one_equals && same_equation(x, y);
}

// "2021_3" is 2021 in base 3; the base may be left out.
struct InBase {
  std::string digits, base;
};
InBase in_base(std::string_view text) {
  const size_t mark = text.find('_');
  if (mark == std::string_view::npos || mark == 0 || !is_digit(text.front())) {
    return {.digits = std::string(text), .base = ""};
  }
  std::string base;
  for (const char c : text.substr(mark + 1)) {
    if (is_digit(c)) base += c;
  }
  return {.digits = std::string(text.substr(0, mark)), .base = base};
}

bool same_with_percent(std::string_view a, std::string_view b) {
  const auto without = [](std::string_view text) {
    return trimmed(text.ends_with('%') ? text.substr(0, text.size() - 1) : text);
  };
  const bool has_a = a.ends_with('%'), has_b = b.ends_with('%');
  if (!has_a && !has_b) return false;
  if (same_value(without(a), without(b))) return true;
  if (has_a == has_b) return false;
  // One half is 50%.
  const std::string share = fmt::format("({})/100", has_a ? without(a) : without(b));
  return same_value(share, has_a ? b : a);
}

bool same(std::string_view a, std::string_view b, int depth) {
  if (depth > kDeepest) return false;
  if (a.empty() || b.empty()) return a == b;
  if (words_of(a) == words_of(b)) return true;
  if (same_value(a, b) || same_with_percent(a, b) || same_matrix(a, b, depth)) return true;
  const auto set_a = set_inside(a), set_b = set_inside(b);
  if (set_a || set_b) return same(set_a.value_or(a), set_b.value_or(b), depth + 1);
  for (const std::string_view separator : {"∪", ","}) {
    const auto parts = split_top(a, separator), others = split_top(b, separator);
    if (parts.size() > kMostParts || others.size() > kMostParts) return false;
    if (parts.size() > 1 || others.size() > 1) return same_in_any_order(parts, others, depth);
  }
  const auto x = bracketed(a), y = bracketed(b);
  if (x && y && x->parts.size() > 1 && x->parts.size() <= kMostParts) {
    return x->open == y->open && x->close == y->close && same_in_order(x->parts, y->parts, depth);
  }
  const InBase digits_a = in_base(a), digits_b = in_base(b);
  if (!digits_a.base.empty() || !digits_b.base.empty()) {
    const bool is_same_base =
        digits_a.base.empty() || digits_b.base.empty() || digits_a.base == digits_b.base;
    return is_same_base && words_of(digits_a.digits) == words_of(digits_b.digits);
  }
  return same_relation(a, b, depth);
}

// "a ± b" is the two values.
std::string with_both_signs(std::string text) {
  if (!text.contains("±")) return text;
  std::string plus = text, minus = text;
  replace_all(plus, "±", "+");
  replace_all(minus, "±", "-");
  return plus + ", " + minus;
}

std::string normalised(std::string_view text) {
  std::string plain = without_plain_unit(without_text_commands(without_layout(text)));
  while (plain.ends_with('.') || plain.ends_with(',')) plain.pop_back();
  return with_both_signs(std::string(trimmed(plain)));
}

}  // namespace

bool same_math(std::string_view a, std::string_view b) {
  if (a.size() > kLongest || b.size() > kLongest) return a == b;
  const std::string x = normalised(a), y = normalised(b);
  return same(without_thousands(x), without_thousands(y), 0) || same(x, y, 0);
}

Verdict check_math(std::string_view expected, std::string_view answer) {
  const auto given = final_answer(answer);
  if (!given) return {.why = "there is no final answer"};
  if (same_math(expected, *given)) return {.well_formed = true, .correct = true};
  return {.well_formed = true,
          .why = fmt::format("'{}' is not '{}'", given->substr(0, 80), expected)};
}

}  // namespace minke
