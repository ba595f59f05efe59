#include "tasks/countdown.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <ranges>
#include <utility>

#include "core/check.h"
#include "tasks/countdown_search.h"
#include "tasks/expression.h"
#include "tasks/final_answer.h"
#include "tasks/generated_task.h"

namespace minke {

namespace {

std::optional<int> small_number(std::string_view text) {
  int value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value >= 0 && value < 1'000'000'000 ? std::optional(value) : std::nullopt;
}

// Of a problem of ours.
CountdownInstance instance_of(const Problem& problem) {
  auto instance = read_countdown(problem.expected);
  CHECK(instance.has_value());
  return *std::move(instance);
}

class CountdownTask : public GeneratedTask {
 public:
  explicit CountdownTask(const TaskSettings& settings)
      : GeneratedTask("countdown", settings.spec()),
        numbers_(static_cast<size_t>(settings.number("numbers"))),
        min_(settings.number("min")),
        max_(settings.number("max")),
        target_min_(settings.number("target_min")),
        target_max_(settings.number("target_max")),
        is_compact_(settings.chosen("form", "compact")),
        trace_(settings.chosen("trace", "mixed") ? TraceOptions::mixed(numbers_)
               : settings.chosen("trace", "drill")
                   ? TraceOptions::drill(static_cast<int>(settings.number("nodes")))
                   : TraceOptions::full()) {
    trace_.form = is_compact_ || settings.chosen("notation", "compact")
                      ? TraceOptions::Form::kCompact
                      : TraceOptions::Form::kWords;
    trace_.target_max = static_cast<int>(target_max_);
  }

  Verdict check(const Problem& problem, std::string_view answer) const override {
    if (is_compact_) return check_countdown(instance_of(problem), answer);
    const auto final_text = final_answer(answer);
    if (!final_text) return {.why = "there is no final answer"};
    return check_countdown(instance_of(problem), *final_text);
  }

 protected:
  std::optional<Instance> draw(Draws& draws) const override {
    std::vector<int> numbers(numbers_);
    for (int& number : numbers) number = static_cast<int>(draws.between(min_, max_));
    const int target = static_cast<int>(draws.between(target_min_, target_max_));
    if (!countdown_solvable(numbers, target)) return std::nullopt;
    std::vector<int> sorted = numbers;
    std::ranges::sort(sorted);
    std::string expected = fmt::format("{} = {}", fmt::join(sorted, " "), target);
    std::string prompt = is_compact_ ? expected : question(numbers, target);
    return Instance{.canonical = "countdown " + expected,
                    .prompt = std::move(prompt),
                    .expected = std::move(expected)};
  }

  SolvedProblem work_out(const Problem& problem, Draws& draws) const override {
    const CountdownInstance instance = instance_of(problem);
    SolvedProblem solved = countdown_trace(instance.numbers, instance.target, trace_, draws);
    if (!is_compact_) solved.answer = answer_line(solved.answer);
    return solved;
  }

 private:
  static std::string question(std::span<const int> numbers, int target) {
    return fmt::format(
        "Use each of the numbers {} and {} exactly once, with +, -, *, / and parentheses, to make "
        "{}. End with a line \"Answer: EXPRESSION\".",
        fmt::join(numbers.first(numbers.size() - 1), ", "), numbers.back(), target);
  }

  size_t numbers_;
  int64_t min_, max_, target_min_, target_max_;
  bool is_compact_;
  TraceOptions trace_;
};

}  // namespace

Result<CountdownInstance> read_countdown(std::string_view text) {
  CountdownInstance instance;
  const auto wrong = [&] {
    return fail(fmt::format("'{}' is no countdown: it should be like '3 5 7 = 22'", text));
  };
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return wrong();
  for (const auto part : std::views::split(text.substr(0, equals), ' ')) {
    const std::string_view word(part);
    if (word.empty()) continue;
    const auto number = small_number(word);
    if (!number || instance.numbers.size() == 20) return wrong();
    instance.numbers.push_back(*number);
  }
  const auto target = small_number(trimmed(text.substr(equals + 1)));
  if (!target || instance.numbers.empty()) return wrong();
  instance.target = *target;
  return instance;
}

Verdict check_countdown(const CountdownInstance& instance, std::string_view text) {
  auto expression = parse_expression(text);
  if (!expression) return {.why = std::move(expression).error().message};
  if (expression->claims && *expression->claims != instance.target) {
    return {.why = fmt::format("it claims to make {} and not {}", *expression->claims,
                               instance.target)};
  }
  std::vector<int64_t> wanted(instance.numbers.begin(), instance.numbers.end());
  std::ranges::sort(wanted);
  std::vector<int64_t> used = expression->numbers;
  std::ranges::sort(used);
  if (used != wanted) {
    return {
        .well_formed = true,
        .why = fmt::format("it uses {} and not {}", fmt::join(used, " "), fmt::join(wanted, " "))};
  }
  if (expression->value != Rational{.numerator = instance.target}) {
    return {.well_formed = true,
            .why = fmt::format("it makes {} and not {}", to_string(expression->value),
                               instance.target)};
  }
  return {.well_formed = true, .correct = true};
}

std::span<const TaskParameter> countdown_parameters() {
  static const std::vector<TaskParameter> parameters = {
      {"numbers", "how many numbers are given", 3, 2, kCountdownNumbersMax, {}},
      {"min", "the smallest number", 1, 1, kCountdownLargest, {}},
      {"max", "the largest number", 19, 1, kCountdownLargest, {}},
      {"target_min", "the smallest target", 1, 1, kCountdownLargest, {}},
      {"target_max", "the largest target", 100, 1, kCountdownLargest, {}},
      {"form", "English, or the notation of tiny models", 0, 0, 0, {"chat", "compact"}},
      {"notation",
       "how its solver writes; form=compact does so always",
       0,
       0,
       0,
       {"words", "compact"}},
      {"trace", "how its solver searches", 0, 0, 0, {"full", "drill", "mixed"}},
      {"nodes", "the longest search of trace=drill", 4, 1, 1000, {}}};
  return parameters;
}

Result<std::shared_ptr<const Task>> make_countdown(const TaskSettings& settings) {
  if (settings.number("min") > settings.number("max") ||
      settings.number("target_min") > settings.number("target_max")) {
    return misuse(fmt::format("task '{}': a smallest value is above the largest", settings.spec()));
  }
  auto task = std::make_shared<CountdownTask>(settings);
  MINKE_TRY(task->check_splits());
  return task;
}

}  // namespace minke
