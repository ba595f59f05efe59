// JSON as grammars: the forms in which constrained answers are written.
//
// Every text of these grammars is JSON that any reader takes, and every value can be written in one
// of them, within the bounds here:
//   space      behind '{' '[' ',' and before '}' ']': nothing, one space, or one newline with up to
//              64 spaces or 16 tabs; behind ':' nothing or one space; none anywhere else
//   strings    characters as they are, or any escape of JSON's (no half of a surrogate pair)
//   integers   18 digits at most, no fraction, no exponent, no -0
//   numbers    15 digits before and 15 behind the point at most, exponents of two digits at most
// so that no answer can run on in spaces or digits for ever.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/result.h"
#include "text/grammar.h"

namespace minke {

// A character of the set as a JSON string has it in canonical form: as it is, or where it must be
// escaped, by its short escape or else \u00xx.
Grammar::Expr json_character(Grammar& grammar, const CharSet& set);

// A decimal number: digits without leading zeros, a fraction without trailing ones.
struct JsonDecimal {
  bool is_negative = false;
  int64_t whole = 0;
  std::string fraction;
  // What is beyond 18 digits is cut to 10^18.
  static JsonDecimal from(double value);
  static JsonDecimal from(int64_t value);
};

struct JsonBound {
  JsonDecimal value;
  bool is_strict = false;  // the value itself is out
};

class JsonGrammar {
 public:
  explicit JsonGrammar(Grammar& grammar);

  Grammar::Expr space() { return grammar_.reference(space_); }
  Grammar::Expr colon() { return grammar_.sequence({text(":"), grammar_.optional(text(" "))}); }
  Grammar::Expr comma() { return grammar_.sequence({text(","), space()}); }
  // A string of `min` to `max` (kUnbounded) characters.
  Grammar::Expr string(int min, int max);
  // A string with this between its quotes.
  Grammar::Expr quoted(Grammar::Expr inside);
  // An escape or a plain character, and any number of them.
  Grammar::Expr character() { return grammar_.reference(character_); }
  Grammar::Expr integer(std::optional<int64_t> min, std::optional<int64_t> max);
  Grammar::Expr number(std::optional<JsonBound> min, std::optional<JsonBound> max);
  // open [item {, item}] close: `items` may be empty expressions of any kind.
  Grammar::Expr enclosed(std::string_view open, Grammar::Expr items, std::string_view close);
  // `min` to `max` of them, with commas in between.
  Grammar::Expr list(Grammar::Expr item, int min, int max);
  // Any value, object, array.
  Grammar::Expr value() { return grammar_.reference(value_); }
  Grammar::Expr object() { return grammar_.reference(object_); }
  Grammar::Expr array() { return grammar_.reference(array_); }
  Grammar::Expr text(std::string_view bytes) { return grammar_.literal(bytes); }

 private:
  Grammar::Expr digits(int min, int max) { return grammar_.repeat(digit(0, 9), min, max); }
  Grammar::Expr digit(int low, int high);
  Grammar::Expr natural(int64_t min, int64_t max);
  Grammar::Expr digits_between(const std::string& low, const std::string& high, size_t at,
                               bool low_binds, bool high_binds);
  struct FractionRange;
  Grammar::Expr fraction(const FractionRange& range, size_t at, bool low_binds, bool high_binds);
  Grammar::Expr any_fraction(int digits_max);
  Grammar::Expr decimal(std::optional<JsonBound> min, std::optional<JsonBound> max);

  Grammar& grammar_;
  Grammar::Rule space_, character_, string_, number_, value_, object_, array_;
};

// A grammar whose rule 0 is any JSON object.
Grammar json_object_grammar();

}  // namespace minke
