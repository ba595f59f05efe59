// Regular expressions as grammars: the part of JavaScript's (ECMA-262) that describes texts without
// looking around.
//
//   abc  .  [a-z_]  [^"]      characters; . is any but a line's end
//   \d \w \s and \D \W \S     [0-9], [A-Za-z0-9_], [ \t\n\r\f\v] and all others (\S: not Unicode's
//                             spaces either)
//   \n \r \t \f \v \0 \xHH \uHHHH \u{H}, and \ before punctuation
//   x* x+ x? x{m} x{m,} x{m,n}   counts of kRegexCountMax at most; a lazy ? behind them is the same
//   set (x) (?:x) (?<name>x)  x|y ^ $                       at the beginning and the end of the
//   whole or of one of its alternatives
//
// Look-around, back references, \b, \p and flags are errors that say where they stand. Characters
// are Unicode code points. The expression is hostile: time and memory grow with its length and
// counts.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/result.h"
#include "text/grammar.h"

namespace minke {

inline constexpr int kRegexCountMax = 10'000;

struct RegexOptions {
  // The text matched stands in a JSON string: written as json_character() of grammar_json.h has it.
  bool in_json_string = false;
  // Anything may stand before and behind what matches, unless ^ and $ say otherwise (as in JSON
  // Schema's pattern); else the whole text must match.
  bool is_search = false;
};

struct Regex {
  Grammar::Expr expr = 0;
  // How many characters a match has: at least, and at most (negative: no limit).
  int64_t characters_min = 0;
  int64_t characters_max = 0;
};

Result<Regex> add_regex(Grammar& grammar, std::string_view pattern, const RegexOptions& options);

// A grammar of its own, whose rule 0 is the expression.
Result<Grammar> regex_grammar(std::string_view pattern);

}  // namespace minke
