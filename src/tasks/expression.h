// Arithmetic as a player of countdown writes it: numbers, + - * / and parentheses, worked out
// exactly. A real grammar, so that nothing passes that is not arithmetic: "2**5", "7//2", "1.5",
// "-3", "2(3)" and the like are refused, and so are nesting and numbers without end.
//
//   text    = sum [ "=" number ]
//   sum     = product { ("+" | "-") product }
//   product = atom { ("*" | "/") atom }
//   atom    = number | "(" sum ")"
//
// Spaces and ends of lines may stand anywhere but in a number; the signs × ÷ · − are read too.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "tasks/rational.h"

namespace minke {

struct Expression {
  Rational value;
  std::vector<int64_t> numbers;   // in their order in the text
  std::optional<int64_t> claims;  // what stands behind "="
};

// Fails with what is wrong and where; also for a division by zero.
Result<Expression> parse_expression(std::string_view text);

}  // namespace minke
