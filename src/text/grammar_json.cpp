#include "text/grammar_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

#include "core/check.h"

namespace minke {
namespace {

constexpr int64_t kBeyond = 1'000'000'000'000'000'000;  // integers have 18 digits at most
constexpr int kNumberDigits = 15;                       // which doubles tell apart
constexpr int64_t kBeyondNumber = 1'000'000'000'000'000;

// What a JSON string has as it is.
const CharSet& plain() {
  static const CharSet set = {{0x20, 0x21}, {0x23, 0x5B}, {0x5D, CharSet::kLast}};
  return set;
}

CharSet one_of(std::string_view ascii) {
  CharSet set;
  for (const char c : ascii) set.add(static_cast<uint8_t>(c), static_cast<uint8_t>(c));
  return set;
}

CharSet hex_digits() { return {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}; }

// Everything behind a '\'.
Grammar::Expr escapes(Grammar& g) {
  const auto hex = [&](int count) { return g.repeat(g.characters(hex_digits()), count, count); };
  const auto letter = [&](std::string_view ascii) { return g.characters(one_of(ascii)); };
  const auto d = [&] { return letter("dD"); };
  return g.choice({letter("\"\\/bfnrt"),
                   g.sequence({letter("u"), letter("0123456789abcefABCEF"), hex(3)}),
                   g.sequence({letter("u"), d(), letter("01234567"), hex(2)}),
                   g.sequence({letter("u"), d(), letter("89abAB"), hex(2), g.literal("\\u"), d(),
                               letter("cdefCDEF"), hex(2)})});
}

int digit_count(int64_t value) { return static_cast<int>(fmt::format("{}", value).size()); }

}  // namespace

Grammar::Expr json_character(Grammar& g, const CharSet& set) {
  std::vector<Grammar::Expr> parts;
  if (const CharSet as_it_is = set.intersection(plain()); !as_it_is.empty()) {
    parts.push_back(g.characters(as_it_is));
  }
  CharSet letters;  // of short escapes
  constexpr std::pair<char, char> kShort[] = {{'"', '"'},  {'\\', '\\'}, {'\b', 'b'}, {'\f', 'f'},
                                              {'\n', 'n'}, {'\r', 'r'},  {'\t', 't'}};
  for (const auto& [code, letter] : kShort) {
    if (set.contains(static_cast<uint8_t>(code))) {
      letters.add(static_cast<uint8_t>(letter), static_cast<uint8_t>(letter));
    }
  }
  if (!letters.empty()) parts.push_back(g.sequence({g.literal("\\"), g.characters(letters)}));
  for (uint32_t high = 0; high < 2; ++high) {
    CharSet last;
    for (uint32_t low = 0; low < 16; ++low) {
      const uint32_t code = high * 16 + low;
      const bool is_short = std::ranges::any_of(
          kShort, [&](const auto& one) { return static_cast<uint8_t>(one.first) == code; });
      const uint32_t letter = low < 10 ? '0' + low : 'a' + low - 10;
      if (set.contains(code) && !is_short) last.add(letter, letter);
    }
    if (last.empty()) continue;
    parts.push_back(g.sequence({g.literal(high == 0 ? "\\u000" : "\\u001"), g.characters(last)}));
  }
  return g.choice(std::move(parts));
}

JsonDecimal JsonDecimal::from(int64_t value) {
  JsonDecimal out;
  out.is_negative = value < 0;
  out.whole = value <= -kBeyond || value >= kBeyond ? kBeyond : std::abs(value);
  return out;
}

// By the shortest digits that read back as the value, which are what was written.
JsonDecimal JsonDecimal::from(double value) {
  JsonDecimal out;
  out.is_negative = value < 0;
  value = std::abs(value);
  if (value >= static_cast<double>(kBeyond)) {
    out.whole = kBeyond;
    return out;
  }
  char digits[400];
  const auto [end, error] =
      std::to_chars(digits, digits + sizeof(digits), value, std::chars_format::fixed);
  CHECK(error == std::errc());
  const std::string_view written(digits, static_cast<size_t>(end - digits));
  const size_t point = std::min(written.find('.'), written.size());
  std::from_chars(digits, digits + point, out.whole);
  if (point < written.size()) out.fraction = written.substr(point + 1);
  while (out.fraction.ends_with('0')) out.fraction.pop_back();
  return out;
}

JsonGrammar::JsonGrammar(Grammar& grammar)
    : grammar_(grammar),
      space_(grammar.add_rule("space")),
      character_(grammar.add_rule("a character")),
      string_(grammar.add_rule("a string")),
      number_(grammar.add_rule("a number")),
      value_(grammar.add_rule("a value")),
      object_(grammar.add_rule("an object")),
      array_(grammar.add_rule("an array")) {
  Grammar& g = grammar_;
  g.define(space_, g.choice({g.empty(), text(" "),
                             g.sequence({text("\n"), g.choice({g.repeat(text(" "), 0, 64),
                                                               g.repeat(text("\t"), 1, 16)})})}));
  const auto one_character = [&] {
    return g.choice({g.characters(plain()), g.sequence({text("\\"), escapes(g)})});
  };
  g.define(character_, one_character());
  g.define(string_, quoted(g.repeat(one_character(), 0, Grammar::kUnbounded)));
  const auto exponent = [&] {
    return g.optional(g.sequence(
        {g.characters(one_of("eE")), g.optional(g.characters(one_of("+-"))), digits(1, 2)}));
  };
  g.define(number_, g.sequence({g.optional(text("-")), natural(0, kBeyondNumber - 1),
                                any_fraction(kNumberDigits), exponent()}));
  const auto member = [&] { return g.sequence({g.reference(string_), colon(), value()}); };
  g.define(object_, enclosed("{", list(member(), 0, Grammar::kUnbounded), "}"));
  g.define(array_, enclosed("[", list(value(), 0, Grammar::kUnbounded), "]"));
  g.define(value_, g.choice({g.reference(string_), g.reference(number_), object(), array(),
                             text("true"), text("false"), text("null")}));
}

Grammar::Expr JsonGrammar::quoted(Grammar::Expr inside) {
  return grammar_.sequence({text("\""), inside, text("\"")});
}

Grammar::Expr JsonGrammar::string(int min, int max) {
  if (min == 0 && max == Grammar::kUnbounded) return grammar_.reference(string_);
  return quoted(grammar_.repeat(character(), min, max));
}

Grammar::Expr JsonGrammar::enclosed(std::string_view open, Grammar::Expr items,
                                    std::string_view close) {
  return grammar_.sequence({text(open), space(), items, space(), text(close)});
}

Grammar::Expr JsonGrammar::list(Grammar::Expr item, int min, int max) {
  if (max == 0) return grammar_.empty();
  const int more = max == Grammar::kUnbounded ? max : max - 1;
  const Grammar::Expr all = grammar_.sequence(
      {item, grammar_.repeat(grammar_.sequence({comma(), item}), std::max(min - 1, 0), more)});
  return min > 0 ? all : grammar_.optional(all);
}

Grammar::Expr JsonGrammar::digit(int low, int high) {
  if (low > high) return grammar_.nothing();
  return grammar_.characters(
      {{'0' + static_cast<uint32_t>(low), '0' + static_cast<uint32_t>(high)}});
}

// Strings of as many digits as `low` and `high` have, from `at` on; a bound binds as long as the
// digits before were its own.
Grammar::Expr JsonGrammar::digits_between(const std::string& low, const std::string& high,
                                          size_t at, bool low_binds, bool high_binds) {
  const auto left = static_cast<int>(low.size() - at);
  if (left == 0) return grammar_.empty();
  if (!low_binds && !high_binds) return digits(left, left);
  const int from = low_binds ? low[at] - '0' : 0;
  const int to = high_binds ? high[at] - '0' : 9;
  const auto go_on = [&](int first, int last, bool low_still, bool high_still) {
    return grammar_.sequence(
        {digit(first, last), digits_between(low, high, at + 1, low_still, high_still)});
  };
  if (from == to) return go_on(from, to, low_binds, high_binds);
  std::vector<Grammar::Expr> parts;
  if (low_binds) parts.push_back(go_on(from, from, true, false));
  const int inner_from = low_binds ? from + 1 : from;
  const int inner_to = high_binds ? to - 1 : to;
  if (inner_from <= inner_to) parts.push_back(go_on(inner_from, inner_to, false, false));
  if (high_binds) parts.push_back(go_on(to, to, false, true));
  return grammar_.choice(std::move(parts));
}

// The numbers from min to max, none of them negative.
Grammar::Expr JsonGrammar::natural(int64_t min, int64_t max) {
  std::vector<Grammar::Expr> parts;
  int64_t low = min;
  while (low <= max) {
    const int count = digit_count(low);
    int64_t last = 9;  // with so many digits
    for (int i = 1; i < count; ++i) last = last * 10 + 9;
    const int64_t high = std::min(max, last);
    if (low == 0) {
      parts.push_back(text("0"));
      low = 1;
      continue;
    }
    // All that have as many digits, and all longer ones up to a round bound.
    const bool is_whole = low == (last + 1) / 10 && high == last;
    const int count_max = digit_count(max);
    if (is_whole && max == static_cast<int64_t>(std::pow(10.0, count_max)) - 1) {
      parts.push_back(grammar_.sequence({digit(1, 9), digits(count - 1, count_max - 1)}));
      break;
    }
    parts.push_back(
        is_whole ? grammar_.sequence({digit(1, 9), digits(count - 1, count - 1)})
                 : digits_between(fmt::format("{}", low), fmt::format("{}", high), 0, true, true));
    if (high == max) break;
    low = high + 1;
  }
  return grammar_.choice(std::move(parts));
}

Grammar::Expr JsonGrammar::integer(std::optional<int64_t> min, std::optional<int64_t> max) {
  const int64_t low = std::max(min.value_or(-kBeyond + 1), -kBeyond + 1);
  const int64_t high = std::min(max.value_or(kBeyond - 1), kBeyond - 1);
  std::vector<Grammar::Expr> parts;
  if (high >= 0 && high >= low) parts.push_back(natural(std::max<int64_t>(low, 0), high));
  if (low < 0 && low <= high) {
    parts.push_back(grammar_.sequence({text("-"), natural(-std::min<int64_t>(high, -1), -low)}));
  }
  return grammar_.choice(std::move(parts));
}

Grammar::Expr JsonGrammar::any_fraction(int digits_max) {
  if (digits_max <= 0) return grammar_.empty();
  return grammar_.optional(grammar_.sequence({text("."), digits(1, digits_max)}));
}

// Fractions between two, whose digits are filled up with zeros to one length.
struct JsonGrammar::FractionRange {
  std::string low, high;
  bool low_is_strict = false, high_is_strict = false;
  int digits_max = 0;
};

// From the digit `at` on, with the point in front of the first.
Grammar::Expr JsonGrammar::fraction(const FractionRange& range, size_t at, bool low_binds,
                                    bool high_binds) {
  const auto left = range.digits_max - static_cast<int>(at);
  const auto zeros_from_here = [&](const std::string& digits) {
    return digits.find_first_not_of('0', at) == std::string::npos;
  };
  const bool ends_above = !low_binds || (zeros_from_here(range.low) && !range.low_is_strict);
  const bool ends_below = !high_binds || !zeros_from_here(range.high) || !range.high_is_strict;
  std::vector<Grammar::Expr> parts;
  if (ends_above && ends_below) parts.push_back(grammar_.empty());
  const auto pointed = [&](Grammar::Expr digits) {
    return at == 0 ? grammar_.sequence({text("."), digits}) : digits;
  };
  if (left > 0 && !low_binds && !high_binds) {
    parts.push_back(pointed(digits(1, left)));
  } else if (left > 0) {
    const bool is_behind = at >= range.low.size();  // bounds have no more digits: zeros
    const int from = !low_binds || is_behind ? 0 : range.low[at] - '0';
    const int to = !high_binds ? 9 : is_behind ? 0 : range.high[at] - '0';
    for (int d = from; d <= to; ++d) {
      const bool low_still = low_binds && d == from;
      const bool high_still = high_binds && d == to;
      int last = d;
      if (!low_still && !high_still) last = high_binds ? to - 1 : to;
      parts.push_back(pointed(
          grammar_.sequence({digit(d, last), fraction(range, at + 1, low_still, high_still)})));
      d = last;
    }
  }
  return grammar_.choice(std::move(parts));
}

// Numbers that are not negative, without an exponent.
Grammar::Expr JsonGrammar::decimal(std::optional<JsonBound> min, std::optional<JsonBound> max) {
  const JsonBound low = min.value_or(JsonBound{});
  const JsonBound high = max.value_or(JsonBound{{.whole = kBeyondNumber}, true});
  FractionRange range{.low = low.value.fraction, .high = high.value.fraction};
  range.low_is_strict = low.is_strict;
  range.high_is_strict = high.is_strict;
  const size_t digits = std::max(range.low.size(), range.high.size());
  range.low.resize(digits, '0');
  range.high.resize(digits, '0');
  // Together no more digits than doubles tell apart, lest rounding take a number to a bound.
  const int64_t largest = std::max(low.value.whole, max ? high.value.whole : 0);
  range.digits_max = std::max(kNumberDigits - digit_count(largest),
                              static_cast<int>(std::min<size_t>(digits, 40)));
  const int64_t from = low.value.whole;
  const int64_t to = high.value.whole;
  std::vector<Grammar::Expr> parts;
  if (from == to) {
    parts.push_back(grammar_.sequence({natural(from, from), fraction(range, 0, true, true)}));
  } else if (from < to) {
    parts.push_back(grammar_.sequence({natural(from, from), fraction(range, 0, true, false)}));
    if (from + 1 < to) {
      parts.push_back(
          grammar_.sequence({natural(from + 1, to - 1), any_fraction(range.digits_max)}));
    }
    parts.push_back(grammar_.sequence({natural(to, to), fraction(range, 0, false, true)}));
  }
  return grammar_.choice(std::move(parts));
}

Grammar::Expr JsonGrammar::number(std::optional<JsonBound> min, std::optional<JsonBound> max) {
  if (!min && !max) return grammar_.reference(number_);
  std::vector<Grammar::Expr> parts;
  const auto mirrored = [](const std::optional<JsonBound>& bound) {
    std::optional<JsonBound> out = bound;
    if (out) out->value.is_negative = false;
    return out;
  };
  const bool above_zero = min && !min->value.is_negative;
  const bool below_zero = max && max->value.is_negative;
  if (!below_zero) parts.push_back(decimal(above_zero ? min : std::nullopt, max));
  if (!above_zero) {
    // A bound at zero or above leaves all negative numbers, and -0 with them unless zero is out.
    std::optional<JsonBound> nearest = mirrored(max);
    if (!below_zero) {
      const bool zero_is_out =
          max && max->is_strict && max->value.whole == 0 && max->value.fraction.empty();
      nearest = JsonBound{{}, zero_is_out};
    }
    parts.push_back(grammar_.sequence({text("-"), decimal(nearest, mirrored(min))}));
  }
  return grammar_.choice(std::move(parts));
}

Grammar json_object_grammar() {
  Grammar grammar;
  const Grammar::Rule root = grammar.add_rule("the object");
  JsonGrammar json(grammar);
  grammar.define(root, json.object());
  return grammar;
}

}  // namespace minke
