#include "tasks/math_value.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>
#include <utility>

#include "tasks/draws.h"

namespace minke {

namespace {

using Complex = std::complex<double>;
using Parsed = std::optional<MathValue>;

constexpr int kDeepest = 60;
constexpr size_t kLongest = 2000;
constexpr double kPi = std::numbers::pi;

MathValue exactly(const Rational& value) {
  return {
      .approximate = static_cast<double>(value.numerator) / static_cast<double>(value.denominator),
      .exact = value};
}

MathValue roughly(Complex value) { return {.approximate = value, .exact = std::nullopt}; }

using RationalOperation = std::optional<Rational> (*)(const Rational&, const Rational&);

MathValue combined(const MathValue& a, const MathValue& b, Complex rough,
                   RationalOperation operation) {
  if (a.exact && b.exact) {
    if (const auto exact = operation(*a.exact, *b.exact)) return exactly(*exact);
  }
  return roughly(rough);
}

MathValue plus(const MathValue& a, const MathValue& b) {
  return combined(a, b, a.approximate + b.approximate, add);
}
MathValue times(const MathValue& a, const MathValue& b) {
  return combined(a, b, a.approximate * b.approximate, multiply);
}
MathValue over(const MathValue& a, const MathValue& b) {
  return combined(a, b, a.approximate / b.approximate, divide);
}
MathValue negative(const MathValue& a) { return times(exactly({.numerator = -1}), a); }

MathValue power(const MathValue& base, const MathValue& exponent) {
  const bool is_whole = exponent.exact && exponent.exact->denominator == 1;
  if (base.exact && is_whole && std::abs(exponent.exact->numerator) <= 64) {
    std::optional<Rational> product = Rational{.numerator = 1};
    for (int64_t i = 0; i < std::abs(exponent.exact->numerator) && product; ++i) {
      product = multiply(*product, *base.exact);
    }
    if (product && exponent.exact->numerator < 0) product = divide({.numerator = 1}, *product);
    if (product) return exactly(*product);
  }
  return roughly(std::pow(base.approximate, exponent.approximate));
}

MathValue root(const MathValue& value, double degree) {
  // The real root where there is one: the cube root of -8 is -2.
  const bool is_odd = std::fmod(degree, 2) == 1;
  if (is_odd && value.approximate.imag() == 0)
    return roughly(std::copysign(std::pow(std::abs(value.approximate.real()), 1 / degree),
                                 value.approximate.real()));
  return roughly(std::pow(value.approximate, 1 / degree));
}

Parsed factorial(const MathValue& value) {
  if (!value.exact || value.exact->denominator != 1) return std::nullopt;
  const int64_t n = value.exact->numerator;
  if (n < 0 || n > 170) return std::nullopt;
  MathValue product = exactly({.numerator = 1});
  for (int64_t i = 2; i <= n; ++i) product = times(product, exactly({.numerator = i}));
  return product;
}

Parsed binomial(const MathValue& n, const MathValue& k) {
  const auto above = factorial(n), below = factorial(k);
  const auto rest = factorial(plus(n, negative(k)));
  if (!above || !below || !rest) return std::nullopt;
  return over(*above, times(*below, *rest));
}

struct Function {
  std::string_view name;
  Complex (*value)(const Complex&);
};
constexpr std::array kFunctions = std::to_array<Function>({
    {"arcsin", [](const Complex& x) { return std::asin(x); }},
    {"arccos", [](const Complex& x) { return std::acos(x); }},
    {"arctan", [](const Complex& x) { return std::atan(x); }},
    {"sinh", [](const Complex& x) { return std::sinh(x); }},
    {"cosh", [](const Complex& x) { return std::cosh(x); }},
    {"tanh", [](const Complex& x) { return std::tanh(x); }},
    {"sin", [](const Complex& x) { return std::sin(x); }},
    {"cos", [](const Complex& x) { return std::cos(x); }},
    {"tan", [](const Complex& x) { return std::tan(x); }},
    {"cot", [](const Complex& x) { return 1.0 / std::tan(x); }},
    {"sec", [](const Complex& x) { return 1.0 / std::cos(x); }},
    {"csc", [](const Complex& x) { return 1.0 / std::sin(x); }},
    {"exp", [](const Complex& x) { return std::exp(x); }},
    {"ln", [](const Complex& x) { return std::log(x); }},
    // Without a base: ten.
    {"log", [](const Complex& x) { return std::log(x) / std::numbers::ln10; }},
});

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

class MathParser {
 public:
  MathParser(std::string_view text, int sample) : text_(text), sample_(sample) {}

  Parsed parse() {
    const Parsed value = sum();
    skip_space();
    if (!value || at_ != text_.size()) return std::nullopt;
    return value;
  }

 private:
  // Counts how deep the parser is in itself.
  class Level {
   public:
    explicit Level(int* depth) : depth_(*depth) { ++depth_; }
    ~Level() { --depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    int& depth_;
  };

  void skip_space() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  char peek() {
    skip_space();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(std::string_view token) {
    skip_space();
    if (!text_.substr(at_).starts_with(token)) return false;
    // A command ends where its letters end: \ne is not the beginning of \neg.
    const size_t end = at_ + token.size();
    if (token.front() == '\\' && is_letter(token.back()) && end < text_.size() &&
        is_letter(text_[end])) {
      return false;
    }
    at_ = end;
    return true;
  }

  Parsed sum() {
    const Level level(&depth_);
    if (depth_ > kDeepest) return std::nullopt;
    Parsed value = product();
    while (value) {
      const bool is_plus = peek() == '+';
      if (!is_plus && peek() != '-') break;
      ++at_;
      const Parsed next = product();
      if (!next) return std::nullopt;
      value = plus(*value, is_plus ? *next : negative(*next));
    }
    return value;
  }

  bool take_times() {
    return take("*") || take("\\cdot") || take("\\times") || take("×") || take("·");
  }
  bool take_over() { return take("/") || take("\\div") || take("÷") || take(":"); }

  // Whether a factor begins here, so that a product without a sign goes on.
  bool begins_factor() {
    const char c = peek();
    if (c == '|') return bars_ == 0;
    if (c == '\\') return true;
    return is_digit(c) || is_letter(c) || c == '(' || c == '{' || c == '.' || c == '[' ||
           text_.substr(at_).starts_with("π") || text_.substr(at_).starts_with("√");
  }

  Parsed product() {
    Parsed value = signed_factor();
    while (value) {
      if (take_times()) {
        const Parsed next = signed_factor();
        if (!next) return std::nullopt;
        value = times(*value, *next);
      } else if (take_over()) {
        const Parsed next = signed_factor();
        if (!next) return std::nullopt;
        value = over(*value, *next);
      } else if (begins_factor()) {
        const Parsed next = factor();
        if (!next) return std::nullopt;
        value = times(*value, *next);
      } else {
        break;
      }
    }
    return value;
  }

  Parsed signed_factor() {
    const Level level(&depth_);
    if (depth_ > kDeepest) return std::nullopt;
    if (take("-") || take("−")) {
      const Parsed value = signed_factor();
      return value ? Parsed(negative(*value)) : std::nullopt;
    }
    if (take("+")) return signed_factor();
    return factor();
  }

  Parsed factor() {
    Parsed value = atom();
    while (value && peek() == '!') {
      ++at_;
      value = factorial(*value);
    }
    if (value && take("^")) {
      const Parsed exponent = argument();
      if (!exponent) return std::nullopt;
      value = power(*value, *exponent);
    }
    return value;
  }

  // {...}, or what stands there: a signed number, a letter, a command.
  Parsed argument() {
    const Level level(&depth_);
    if (depth_ > kDeepest) return std::nullopt;
    if (take("-")) {
      const Parsed value = argument();
      return value ? Parsed(negative(*value)) : std::nullopt;
    }
    return atom();
  }

  // As argument(), but of numbers one digit: \frac12 is one half.
  Parsed short_argument() {
    if (is_digit(peek())) return exactly({.numerator = text_[at_++] - '0'});
    return argument();
  }

  Parsed enclosed(char close) {
    ++at_;
    const int bars = std::exchange(bars_, 0);
    const Parsed value = sum();
    bars_ = bars;
    if (!value || peek() != close) return std::nullopt;
    ++at_;
    return value;
  }

  Parsed absolute() {
    ++at_;
    ++bars_;
    const Parsed value = sum();
    --bars_;
    if (!value || peek() != '|') return std::nullopt;
    ++at_;
    if (value->exact && value->exact->numerator >= 0) return value;
    if (value->exact) return negative(*value);
    return roughly(std::abs(value->approximate));
  }

  Parsed number() {
    const size_t begin = at_;
    while (at_ < text_.size() && (is_digit(text_[at_]) || text_[at_] == '.')) ++at_;
    std::string_view digits = text_.substr(begin, at_ - begin);
    if (digits.ends_with('.')) digits.remove_suffix(1);
    if (digits.empty() || std::ranges::count(digits, '.') > 1) return std::nullopt;
    if (const auto exact = parse_rational(digits)) {
      return digits.contains('.') ? exactly(*exact) : mixed_number(*exact);
    }
    return roughly(std::strtod(std::string(digits).c_str(), nullptr));
  }

  // "1\frac{2}{3}" is five thirds; with an unknown in it, it is a product.
  Parsed mixed_number(const Rational& whole) {
    const size_t begin = at_;
    if (whole.denominator == 1 && take("\\frac")) {
      const Parsed part = fraction();
      const bool is_part = part && part->exact && part->exact->numerator >= 0 &&
                           part->exact->numerator < part->exact->denominator;
      if (is_part) return plus(exactly(whole), *part);
    }
    at_ = begin;
    return exactly(whole);
  }

  Parsed fraction() {
    const Parsed above = short_argument();
    if (!above) return std::nullopt;
    const Parsed below = short_argument();
    return below ? Parsed(over(*above, *below)) : std::nullopt;
  }

  Parsed square_root() {
    double degree = 2;
    if (peek() == '[') {
      const Parsed given = enclosed(']');
      if (!given || !given->exact || given->exact->denominator != 1 ||
          given->exact->numerator < 1) {
        return std::nullopt;
      }
      degree = static_cast<double>(given->exact->numerator);
    }
    const Parsed value = short_argument();
    return value ? Parsed(root(*value, degree)) : std::nullopt;
  }

  // The function's exponent and base stand before what it is of: \sin^2 x, \log_2 8.
  Parsed applied(const Function& function) {
    const Level level(&depth_);
    if (depth_ > kDeepest) return std::nullopt;
    Parsed exponent, base;
    while (peek() == '^' || peek() == '_') {
      const bool is_exponent = text_[at_++] == '^';
      (is_exponent ? exponent : base) = is_exponent ? argument() : short_argument();
      if (!(is_exponent ? exponent : base)) return std::nullopt;
    }
    const bool is_enclosed = peek() == '(';
    Parsed of = factor();
    while (of && !is_enclosed && begins_factor() && !begins_function()) {
      const Parsed next = factor();
      if (!next) return std::nullopt;
      of = times(*of, *next);
    }
    if (!of) return std::nullopt;
    Complex value = base && function.name == "log"
                        ? std::log(of->approximate) / std::log(base->approximate)
                        : function.value(of->approximate);
    if (exponent) value = std::pow(value, exponent->approximate);
    return roughly(value);
  }

  const Function* function_here() const {
    std::string_view rest = text_.substr(at_);
    if (rest.starts_with('\\')) rest.remove_prefix(1);
    const auto* const found = std::ranges::find_if(
        kFunctions, [&](const Function& function) { return rest.starts_with(function.name); });
    return found == kFunctions.end() ? nullptr : found;
  }
  bool begins_function() {
    skip_space();
    return function_here() != nullptr;
  }

  // Some value of an unknown: of either sign, not too large, and no simple one.
  MathValue unknown(std::string_view name) const {
    Draws draws(stable_hash(name), static_cast<uint64_t>(sample_));
    const double size = 0.4 + static_cast<double>(draws.below(1'000'000'000)) * 1.3e-9;
    return roughly(draws.chance(0.5) ? size : -size);
  }

  // A letter or a command that stands for itself, with its index.
  MathValue named(std::string_view name) {
    std::string full(name);
    if (take("_")) {
      const size_t begin = at_;
      if (peek() == '{') {
        const size_t close = text_.find('}', at_);
        at_ = close == std::string_view::npos ? text_.size() : close + 1;
      } else {
        at_ = std::min(at_ + 1, text_.size());
      }
      for (const char c : text_.substr(begin, at_ - begin)) {
        if (c != '{' && c != '}' && c != ' ') full += c;
      }
    }
    return unknown(full);
  }

  Parsed command() {
    if (take("\\frac")) return fraction();
    if (take("\\sqrt")) return square_root();
    if (take("\\pi")) return roughly(kPi);
    if (take("\\infty")) return roughly(1.0e300);
    if (take("\\binom")) {
      const Parsed n = short_argument();
      const Parsed k = n ? short_argument() : std::nullopt;
      return k ? binomial(*n, *k) : std::nullopt;
    }
    if (const Function* const function = function_here()) {
      at_ += 1 + function->name.size();
      return applied(*function);
    }
    size_t end = at_ + 1;
    while (end < text_.size() && is_letter(text_[end])) ++end;
    if (end == at_ + 1) return std::nullopt;
    const std::string_view name = text_.substr(at_, end - at_);
    constexpr std::array<std::string_view, 25> kGreek = {
        "\\alpha", "\\beta",  "\\gamma", "\\delta",  "\\epsilon", "\\varepsilon", "\\zeta",
        "\\eta",   "\\theta", "\\kappa", "\\lambda", "\\mu",      "\\nu",         "\\xi",
        "\\rho",   "\\sigma", "\\tau",   "\\phi",    "\\varphi",  "\\chi",        "\\psi",
        "\\omega", "\\Delta", "\\Theta", "\\Omega"};
    if (std::ranges::find(kGreek, name) == kGreek.end()) return std::nullopt;
    at_ = end;
    return named(name);
  }

  Parsed word() {
    if (take("sqrt")) return square_root();
    if (take("pi")) return roughly(kPi);
    if (const Function* const function = function_here()) {
      at_ += function->name.size();
      return applied(*function);
    }
    const std::string_view letter = text_.substr(at_, 1);
    ++at_;
    if (letter == "i" && peek() != '_') return roughly(Complex(0, 1));
    if (letter == "e" && peek() != '_') return roughly(std::numbers::e);
    return named(letter);
  }

  Parsed atom() {
    const Level level(&depth_);
    if (depth_ > kDeepest) return std::nullopt;
    const char c = peek();
    if (c == '(') return enclosed(')');
    if (c == '[') return enclosed(']');
    if (c == '{') return enclosed('}');
    if (c == '|') return absolute();
    if (c == '\\') return command();
    if (is_digit(c) || c == '.') return number();
    if (is_letter(c)) return word();
    if (take("π")) return roughly(kPi);
    if (take("√")) return square_root();
    return std::nullopt;
  }

  std::string_view text_;
  int sample_;
  size_t at_ = 0;
  int depth_ = 0;
  int bars_ = 0;  // absolute values that are open
};

}  // namespace

std::optional<MathValue> math_value(std::string_view text, int sample) {
  if (text.size() > kLongest) return std::nullopt;
  const auto value = MathParser(text, sample).parse();
  const bool is_finite =
      value && std::isfinite(value->approximate.real()) && std::isfinite(value->approximate.imag());
  return is_finite ? value : std::nullopt;
}

bool are_close(const MathValue& a, const MathValue& b) {
  if (a.exact && b.exact) return *a.exact == *b.exact;
  const double size = std::max({1e-3, std::abs(a.approximate), std::abs(b.approximate)});
  return std::abs(a.approximate - b.approximate) <= 1e-9 * size;
}

}  // namespace minke
