#include "tasks/rational.h"

#include <numeric>

namespace minke {

namespace {

// Digits with at most so many of them that the value fits; commas only between groups of three.
std::optional<int64_t> parse_digits(std::string_view text, bool commas) {
  if (text.empty()) return std::nullopt;
  const bool has_commas = commas && text.contains(',');
  int64_t value = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (has_commas && (text.size() - i) % 4 == 0 && i > 0) {
      if (text[i] != ',') return std::nullopt;
      continue;
    }
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    if (__builtin_mul_overflow(value, 10, &value) ||
        __builtin_add_overflow(value, text[i] - '0', &value)) {
      return std::nullopt;
    }
  }
  return value;
}

std::optional<Rational> parse_decimal(std::string_view whole, std::string_view fraction) {
  const auto whole_value = whole.empty() ? 0 : parse_digits(whole, true);
  const auto fraction_value = parse_digits(fraction, false);
  if (!whole_value || !fraction_value || fraction.size() > 18) return std::nullopt;
  int64_t scale = 1;
  for (size_t i = 0; i < fraction.size(); ++i) scale *= 10;
  const auto part = make_rational(*fraction_value, scale);
  return part ? add({.numerator = *whole_value}, *part) : std::nullopt;
}

std::optional<Rational> parse_unsigned(std::string_view text) {
  if (const size_t slash = text.find('/'); slash != std::string_view::npos) {
    const auto above = parse_digits(text.substr(0, slash), false);
    const auto below = parse_digits(text.substr(slash + 1), false);
    return above && below ? make_rational(*above, *below) : std::nullopt;
  }
  if (const size_t point = text.find('.'); point != std::string_view::npos) {
    return parse_decimal(text.substr(0, point), text.substr(point + 1));
  }
  const auto value = parse_digits(text, true);
  return value ? std::optional(Rational{.numerator = *value}) : std::nullopt;
}

}  // namespace

std::optional<Rational> make_rational(int64_t numerator, int64_t denominator) {
  // INT64_MIN has no negative.
  if (denominator == 0 || numerator == INT64_MIN || denominator == INT64_MIN) return std::nullopt;
  const int64_t common = std::gcd(numerator, denominator);
  const int64_t sign = denominator < 0 ? -1 : 1;
  return Rational{.numerator = sign * (numerator / common),
                  .denominator = sign * (denominator / common)};
}

std::optional<Rational> add(const Rational& a, const Rational& b) {
  int64_t left = 0, right = 0, sum = 0, below = 0;
  if (__builtin_mul_overflow(a.numerator, b.denominator, &left) ||
      __builtin_mul_overflow(b.numerator, a.denominator, &right) ||
      __builtin_add_overflow(left, right, &sum) ||
      __builtin_mul_overflow(a.denominator, b.denominator, &below)) {
    return std::nullopt;
  }
  return make_rational(sum, below);
}

std::optional<Rational> subtract(const Rational& a, const Rational& b) {
  if (b.numerator == INT64_MIN) return std::nullopt;
  return add(a, {.numerator = -b.numerator, .denominator = b.denominator});
}

std::optional<Rational> multiply(const Rational& a, const Rational& b) {
  int64_t above = 0, below = 0;
  if (__builtin_mul_overflow(a.numerator, b.numerator, &above) ||
      __builtin_mul_overflow(a.denominator, b.denominator, &below)) {
    return std::nullopt;
  }
  return make_rational(above, below);
}

std::optional<Rational> divide(const Rational& a, const Rational& b) {
  const auto inverse = make_rational(b.denominator, b.numerator);
  return inverse ? multiply(a, *inverse) : std::nullopt;
}

std::optional<Rational> parse_rational(std::string_view text) {
  const bool is_negative = text.starts_with('-');
  if (is_negative || text.starts_with('+')) text.remove_prefix(1);
  auto value = parse_unsigned(text);
  if (value && is_negative) value->numerator = -value->numerator;
  return value;
}

std::string to_string(const Rational& value) {
  std::string text = std::to_string(value.numerator);
  if (value.denominator != 1) text += "/" + std::to_string(value.denominator);
  return text;
}

}  // namespace minke
