#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "tasks/arithmetic_tasks.h"
#include "tasks/final_answer.h"
#include "tasks/generated_task.h"

namespace minke {

namespace {

constexpr std::string_view kDigits = "0123456789ABCDEF";

std::string in_base(int64_t value, int64_t base) {
  std::string text;
  do {
    text += kDigits[static_cast<size_t>(value % base)];
    value /= base;
  } while (value > 0);
  std::ranges::reverse(text);
  return text;
}

class BaseConversionTask : public GeneratedTask {
 public:
  explicit BaseConversionTask(const TaskSettings& settings)
      : GeneratedTask("base_conversion", settings.spec()),
        base_max_(settings.number("base_max")),
        max_(settings.number("max")) {}

  Verdict check(const Problem& problem, std::string_view answer) const override {
    return check_phrase(problem.expected, answer);
  }

 protected:
  std::optional<Instance> draw(Draws& draws) const override {
    const int64_t from = draws.between(2, base_max_), to = draws.between(2, base_max_);
    if (from == to) return std::nullopt;
    const int64_t value = draws.between(2, max_);
    return Instance{
        .canonical = fmt::format("base_conversion {} {} {}", value, from, to),
        .prompt = fmt::format("Write {} (base {}) in base {}. End with a line \"Answer: NUMBER\".",
                              in_base(value, from), from, to),
        .expected = in_base(value, to)};
  }

  // Into a decimal by Horner's rule, out of it by division with remainders.
  SolvedProblem work_out(const Problem& problem, Draws&) const override {
    const std::string_view digits = part_between(problem.prompt, "Write ", " (");
    const int64_t from = to_integer(part_between(problem.prompt, "(base ", ")"));
    const int64_t to = to_integer(part_between(problem.prompt, "in base ", "."));
    SolvedProblem solved;
    const auto out = std::back_inserter(solved.thinking);
    int64_t value = 0;
    if (from == 10) {
      value = to_integer(digits);
    } else {
      for (const char digit : digits) {
        const auto next = static_cast<int64_t>(kDigits.find(digit));
        fmt::format_to(out, "{} * {} + {} = {}\n", value, from, next, value * from + next);
        value = value * from + next;
      }
    }
    if (to != 10) {
      for (int64_t left = value; left > 0; left /= to) {
        fmt::format_to(out, "{} = {} * {} + {}\n", left, left / to, to, left % to);
      }
      fmt::format_to(out, "The remainders from the last to the first: {}.\n", problem.expected);
    }
    solved.answer = answer_line(problem.expected);
    return solved;
  }

 private:
  int64_t base_max_, max_;
};

}  // namespace

std::span<const TaskParameter> base_conversion_parameters() {
  static const std::vector<TaskParameter> parameters = {
      {"base_max", "the largest base", 16, 3, 16, {}},
      {"max", "the largest number", 255, 10, 1'000'000'000, {}}};
  return parameters;
}

Result<std::shared_ptr<const Task>> make_base_conversion(const TaskSettings& settings) {
  auto task = std::make_shared<BaseConversionTask>(settings);
  MINKE_TRY(task->check_splits());
  return task;
}

}  // namespace minke
