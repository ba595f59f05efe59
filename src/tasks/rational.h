// Exact fractions of 64-bit integers. Whatever does not fit is no value rather than a wrong one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace minke {

// In lowest terms, the denominator positive.
struct Rational {
  int64_t numerator = 0;
  int64_t denominator = 1;
  friend bool operator==(const Rational&, const Rational&) = default;
};

// Nothing where the denominator is zero or the result does not fit.
std::optional<Rational> make_rational(int64_t numerator, int64_t denominator);
std::optional<Rational> add(const Rational& a, const Rational& b);
std::optional<Rational> subtract(const Rational& a, const Rational& b);
std::optional<Rational> multiply(const Rational& a, const Rational& b);
std::optional<Rational> divide(const Rational& a, const Rational& b);

// "7", "-7", "3/4", "-1.25", ".5", "1,234": an integer (with commas between groups of three), a
// decimal or a fraction of two integers, and nothing else around it.
std::optional<Rational> parse_rational(std::string_view text);
// "7", "-3/4".
std::string to_string(const Rational& value);

}  // namespace minke
