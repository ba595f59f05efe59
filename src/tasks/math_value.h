// The value of a mathematical expression in LaTeX or plain text, for comparing two of them.
//
// Fractions, roots, powers, binomials, factorials, absolute values, the usual functions, pi and the
// imaginary unit i, products without a sign, mixed numbers ("1\frac{2}{3}"). Every other letter is
// an unknown, whose value depends on its name and on the sample, so that expressions that are equal
// in several samples are the same for all that can be expected. Hostile text is bounded in length
// and depth; numbers out of range are no value.
#pragma once

#include <complex>
#include <optional>
#include <string_view>

#include "tasks/rational.h"

namespace minke {

struct MathValue {
  std::complex<double> approximate;
  std::optional<Rational> exact;  // where it is rational and fits
};

// `text` is without spaces of LaTeX's (\, and the like), \left and \right (math_answer.cpp takes
// them out). Nothing where it is no expression or has no finite value.
std::optional<MathValue> math_value(std::string_view text, int sample);

// Whether two values are equal: exactly where both are exact, else within rounding.
bool are_close(const MathValue& a, const MathValue& b);

}  // namespace minke
