#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "tasks/final_answer.h"
#include "tasks/generated_task.h"
#include "tasks/puzzle_tasks.h"

namespace minke {

namespace {

// Integers with commas or spaces between them, and nothing else.
std::optional<std::vector<int64_t>> parse_list(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  std::vector<int64_t> values;
  while (!text.empty()) {
    int64_t value = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (fault != std::errc()) return std::nullopt;
    values.push_back(value);
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    const size_t next = std::min(text.find_first_not_of(", "), text.size());
    if (next == 0 && !text.empty()) return std::nullopt;
    text.remove_prefix(next);
  }
  return values;
}

class SortingTask : public GeneratedTask {
 public:
  explicit SortingTask(const TaskSettings& settings)
      : GeneratedTask("sorting", settings.spec()),
        count_(settings.number("count")),
        max_(settings.number("max")) {}

  Verdict check(const Problem& problem, std::string_view answer) const override {
    const auto given = final_answer(answer);
    if (!given) return {.why = "there is no final answer"};
    const auto values = parse_list(*given);
    if (!values || values->empty()) {
      return {.why = fmt::format("'{}' is no list of integers", given->substr(0, 60))};
    }
    if (values == parse_list(problem.expected)) return {.well_formed = true, .correct = true};
    return {.well_formed = true, .why = fmt::format("it should be {}", problem.expected)};
  }

 protected:
  std::optional<Instance> draw(Draws& draws) const override {
    std::vector<int64_t> numbers(static_cast<size_t>(count_));
    for (int64_t& number : numbers) number = draws.between(0, max_);
    std::string prompt = fmt::format(
        "Sort these numbers from smallest to largest: {}. End with a line \"Answer: "
        "NUMBERS\", with commas between them.",
        fmt::join(numbers, ", "));
    std::ranges::sort(numbers);
    std::string expected = fmt::format("{}", fmt::join(numbers, ", "));
    return Instance{.canonical = "sorting " + expected,
                    .prompt = std::move(prompt),
                    .expected = std::move(expected)};
  }

  SolvedProblem work_out(const Problem& problem, Draws&) const override {
    std::vector<int64_t> left = *parse_list(part_between(problem.prompt, ": ", "."));
    SolvedProblem solved;
    while (!left.empty()) {
      const auto smallest = std::ranges::min_element(left);
      fmt::format_to(std::back_inserter(solved.thinking), "The smallest of {} is {}.\n",
                     fmt::join(left, ", "), *smallest);
      left.erase(smallest);
    }
    solved.answer = answer_line(problem.expected);
    return solved;
  }

 private:
  int64_t count_, max_;
};

}  // namespace

std::span<const TaskParameter> sorting_parameters() {
  static const std::vector<TaskParameter> parameters = {
      {"count", "how many numbers", 5, 2, 50, {}},
      {"max", "the largest number", 99, 1, 1'000'000'000, {}}};
  return parameters;
}

Result<std::shared_ptr<const Task>> make_sorting(const TaskSettings& settings) {
  auto task = std::make_shared<SortingTask>(settings);
  MINKE_TRY(task->check_splits());
  return task;
}

}  // namespace minke
