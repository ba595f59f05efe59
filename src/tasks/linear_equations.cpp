#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "tasks/arithmetic_tasks.h"
#include "tasks/generated_task.h"

namespace minke {

namespace {

// "x", "-x", "3x"; nothing for 0.
std::string term(int64_t factor, std::string_view unknown) {
  if (factor == 0) return "";
  if (factor == 1) return std::string(unknown);
  if (factor == -1) return fmt::format("-{}", unknown);
  return fmt::format("{}{}", factor, unknown);
}

// "3x - 5": what is 0 is left out.
std::string sum_of(std::string first, int64_t factor, std::string_view unknown) {
  if (factor == 0) return first.empty() ? "0" : first;
  const std::string size =
      unknown.empty() ? std::to_string(std::abs(factor)) : term(std::abs(factor), unknown);
  if (first.empty()) return factor < 0 ? "-" + size : size;
  return fmt::format("{} {} {}", first, factor < 0 ? '-' : '+', size);
}

// ax + b = cx + d.
struct OneUnknown {
  int64_t a = 0, b = 0, c = 0, d = 0;
  std::string text() const {
    return fmt::format("{} = {}", sum_of(term(a, "x"), b, ""), sum_of(term(c, "x"), d, ""));
  }
};

// ax + by = c.
struct TwoUnknowns {
  int64_t a = 0, b = 0, c = 0;
  std::string text() const { return fmt::format("{} = {}", sum_of(term(a, "x"), b, "y"), c); }
  std::array<int64_t, 3> key() const { return {a, b, c}; }
};

// Of "3x - y + 7": the factors of x and of y, and the number.
std::array<int64_t, 3> factors_of(std::string_view side) {
  std::array<int64_t, 3> factors = {};
  int64_t sign = 1;
  while (!side.empty()) {
    if (side.front() == ' ' || side.front() == '+' || side.front() == '-') {
      if (side.front() == '-') sign = -1;
      side.remove_prefix(1);
      continue;
    }
    int64_t size = 1;
    const auto [end, fault] = std::from_chars(side.data(), side.data() + side.size(), size);
    if (fault == std::errc()) side.remove_prefix(static_cast<size_t>(end - side.data()));
    const size_t which = side.starts_with('x') ? 0 : side.starts_with('y') ? 1 : 2;
    if (which < 2) side.remove_prefix(1);
    factors[which] += sign * size;
    sign = 1;
  }
  return factors;
}

class LinearEquationsTask : public GeneratedTask {
 public:
  explicit LinearEquationsTask(const TaskSettings& settings)
      : GeneratedTask("linear_equations", settings.spec()),
        has_two_(settings.number("unknowns") == 2),
        max_(settings.number("max")) {}

 protected:
  std::optional<Instance> draw(Draws& draws) const override {
    return has_two_ ? draw_two(draws) : draw_one(draws);
  }

  SolvedProblem work_out(const Problem& problem, Draws&) const override {
    SolvedProblem solved;
    const std::string_view prompt = problem.prompt;
    if (has_two_) {
      solve_two(part_between(prompt, "If ", " and "), part_between(prompt, " and ", ","),
                &solved.thinking);
    } else {
      solve_one(part_between(prompt, "If ", ","), &solved.thinking);
    }
    solved.answer = answer_line(problem.expected);
    return solved;
  }

 private:
  int64_t factor(Draws& draws) const { return draws.between(-max_, max_); }

  static Instance instance(std::string key, std::string_view equations, int64_t x) {
    return {
        .canonical = "linear_equations " + std::move(key),
        .prompt = fmt::format("If {}, what is x? End with a line \"Answer: NUMBER\".", equations),
        .expected = std::to_string(x)};
  }

  std::optional<Instance> draw_one(Draws& draws) const {
    const int64_t x = factor(draws);
    OneUnknown equation = {.a = factor(draws), .b = factor(draws)};
    if (draws.chance(0.5)) equation.c = factor(draws);
    equation.d = (equation.a - equation.c) * x + equation.b;
    if (equation.a == 0 || equation.a == equation.c) return std::nullopt;
    std::array<std::pair<int64_t, int64_t>, 2> sides = {
        {{equation.a, equation.b}, {equation.c, equation.d}}};
    std::ranges::sort(sides);
    return instance(fmt::format("{} {} {} {}", sides[0].first, sides[0].second, sides[1].first,
                                sides[1].second),
                    equation.text(), x);
  }

  std::optional<Instance> draw_two(Draws& draws) const {
    const int64_t x = factor(draws), y = factor(draws);
    std::array<TwoUnknowns, 2> equations;
    for (TwoUnknowns& equation : equations) {
      equation = {.a = factor(draws), .b = factor(draws)};
      equation.c = equation.a * x + equation.b * y;
      if (equation.a == 0 || equation.b == 0) return std::nullopt;
    }
    if (equations[0].a * equations[1].b == equations[1].a * equations[0].b) return std::nullopt;
    const std::string text = fmt::format("{} and {}", equations[0].text(), equations[1].text());
    std::ranges::sort(equations, {}, &TwoUnknowns::key);
    return instance(fmt::format("{} {}", fmt::join(equations[0].key(), " "),
                                fmt::join(equations[1].key(), " ")),
                    text, x);
  }

  static void solve_one(std::string_view text, std::string* out) {
    const size_t equals = text.find(" = ");
    const auto left = factors_of(text.substr(0, equals)),
               right = factors_of(text.substr(equals + 3));
    OneUnknown equation = {.a = left[0], .b = left[2], .c = right[0], .d = right[2]};
    *out += equation.text() + "\n";
    if (equation.c != 0) {
      equation = {.a = equation.a - equation.c, .b = equation.b, .d = equation.d};
      *out += equation.text() + "\n";
    }
    if (equation.b != 0) {
      equation = {.a = equation.a, .d = equation.d - equation.b};
      *out += equation.text() + "\n";
    }
    if (equation.a != 1) *out += fmt::format("x = {}\n", equation.d / equation.a);
  }

  // Both times what makes y the same, and the difference of the two.
  static void solve_two(std::string_view first, std::string_view second, std::string* out) {
    const auto equation_of = [](std::string_view text) {
      const size_t equals = text.find(" = ");
      const auto left = factors_of(text.substr(0, equals));
      return TwoUnknowns{.a = left[0], .b = left[1], .c = to_integer(text.substr(equals + 3))};
    };
    const auto times = [](const TwoUnknowns& e, int64_t by) {
      return TwoUnknowns{.a = e.a * by, .b = e.b * by, .c = e.c * by};
    };
    const TwoUnknowns e = equation_of(first), f = equation_of(second);
    const TwoUnknowns g = times(e, f.b), h = times(f, e.b);
    const TwoUnknowns difference = {.a = g.a - h.a, .c = g.c - h.c};
    *out += fmt::format("The first times {}: {}\n", f.b, g.text());
    *out += fmt::format("The second times {}: {}\n", e.b, h.text());
    *out += fmt::format("Their difference: {}\n", difference.text());
    *out += fmt::format("x = {}\n", difference.c / difference.a);
  }

  bool has_two_;
  int64_t max_;
};

}  // namespace

std::span<const TaskParameter> linear_equations_parameters() {
  static const std::vector<TaskParameter> parameters = {
      {"unknowns", "one equation with x, or two with x and y", 1, 1, 2, {}},
      {"max", "the largest factor and the largest solution", 9, 2, 10'000, {}}};
  return parameters;
}

Result<std::shared_ptr<const Task>> make_linear_equations(const TaskSettings& settings) {
  auto task = std::make_shared<LinearEquationsTask>(settings);
  MINKE_TRY(task->check_splits());
  return task;
}

}  // namespace minke
