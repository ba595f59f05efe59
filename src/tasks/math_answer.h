// Whether two mathematical answers are the same: LaTeX or plain, as they stand in a \boxed{...}.
//
// Answers are taken apart into what they are (a number, an expression, a tuple, an interval, a set,
// a matrix, an equation, words) and compared as such:
//   numbers      exactly where they are rational ("\frac{1}{2}", "0.5", "1/2", "50\%" of "50"),
//                else by value at several points: \sqrt{8} is 2\sqrt{2}, \frac{1}{\sqrt 2} is
//                \frac{\sqrt 2}{2}
//   expressions  with unknowns, by value at several points: (x+1)^2 is x^2+2x+1
//   tuples and intervals  member by member, with their brackets: (0,1] is not [0,1]
//   sets, lists  in any order: "1, 2" is "2,1" and \{1,2\}
//   equations    both sides ("x = 5" is "5" where the other is no equation)
//   words        letter by letter, without case, \text{...} and spaces
// Units, degrees, percent, currency, \left, \right, spacing and thousands' commas do not matter.
// An answer that has a unit or a percent sign where the other has none is the same.
#pragma once

#include <string_view>

#include "tasks/task.h"

namespace minke {

bool same_math(std::string_view a, std::string_view b);

// The last \boxed{...} of an answer, else what final_answer() finds, against the expected one.
// Well formed: there is one.
Verdict check_math(std::string_view expected, std::string_view answer);

}  // namespace minke
