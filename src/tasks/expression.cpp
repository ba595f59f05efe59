#include "tasks/expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace minke {

namespace {

constexpr size_t kLongest = 1000;
constexpr int kDeepest = 50;
constexpr size_t kMostDigits = 9;

constexpr std::array<std::pair<std::string_view, char>, 4> kSigns = {
    {{"×", '*'}, {"·", '*'}, {"÷", '/'}, {"−", '-'}}};

class ExpressionParser {
 public:
  explicit ExpressionParser(std::string_view text) : text_(text) {}

  Result<Expression> parse() {
    MINKE_ASSIGN(const Rational value, sum(0));
    parsed_.value = value;
    if (peek() == '=') {
      take();
      MINKE_ASSIGN(const int64_t claimed, number());
      parsed_.claims = claimed;
    }
    if (peek() != '\0') return unexpected("an operator or the end");
    return std::move(parsed_);
  }

 private:
  // The next sign that is no space, '\0' at the end.
  char peek() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").contains(text_[at_])) ++at_;
    if (at_ == text_.size()) return '\0';
    const std::string_view rest = text_.substr(at_);
    for (const auto& [sign, plain] : kSigns) {
      if (rest.starts_with(sign)) return plain;
    }
    return rest.front() == '\0' ? '?' : rest.front();
  }
  void take() {
    const std::string_view rest = text_.substr(at_);
    const auto* const sign = std::ranges::find_if(
        kSigns, [&](const auto& known) { return rest.starts_with(known.first); });
    at_ += sign == kSigns.end() ? 1 : sign->first.size();
  }

  std::unexpected<Error> unexpected(std::string_view wanted) {
    return fail(peek() == '\0' ? fmt::format("the expression ends where {} should be", wanted)
                               : fmt::format("'{}' at byte {} where {} should be",
                                             text_.substr(at_, 1), at_, wanted));
  }

  Result<int64_t> number() {
    peek();
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    const std::string_view digits = text_.substr(begin, at_ - begin);
    if (digits.empty()) return unexpected("a number");
    if (digits.size() > kMostDigits) return fail("a number is too long");
    int64_t value = 0;
    for (const char digit : digits) value = value * 10 + (digit - '0');
    return value;
  }

  Result<Rational> atom(int depth) {
    if (peek() == '(') {
      if (depth == kDeepest) return fail("parentheses are nested too deeply");
      take();
      MINKE_ASSIGN(const Rational value, sum(depth + 1));
      if (peek() != ')') return unexpected("')'");
      take();
      return value;
    }
    MINKE_ASSIGN(const int64_t value, number());
    parsed_.numbers.push_back(value);
    return Rational{.numerator = value};
  }

  Result<Rational> product(int depth) {
    MINKE_ASSIGN(Rational value, atom(depth));
    while (peek() == '*' || peek() == '/') {
      const bool is_division = peek() == '/';
      take();
      MINKE_ASSIGN(const Rational factor, atom(depth));
      if (is_division && factor.numerator == 0) return fail("a division by zero");
      MINKE_ASSIGN(value, fitting(is_division ? divide(value, factor) : multiply(value, factor)));
    }
    return value;
  }

  Result<Rational> sum(int depth) {
    MINKE_ASSIGN(Rational value, product(depth));
    while (peek() == '+' || peek() == '-') {
      const bool is_difference = peek() == '-';
      take();
      MINKE_ASSIGN(const Rational term, product(depth));
      MINKE_ASSIGN(value, fitting(is_difference ? subtract(value, term) : add(value, term)));
    }
    return value;
  }

  static Result<Rational> fitting(const std::optional<Rational>& value) {
    if (!value) return fail("a value on the way is too large");
    return *value;
  }

  std::string_view text_;
  size_t at_ = 0;
  Expression parsed_;
};

}  // namespace

Result<Expression> parse_expression(std::string_view text) {
  if (text.size() > kLongest) {
    return fail(fmt::format("the expression has {} bytes, more than {}", text.size(), kLongest));
  }
  return ExpressionParser(text).parse();
}

}  // namespace minke
