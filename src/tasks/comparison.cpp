#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/check.h"
#include "tasks/arithmetic_tasks.h"
#include "tasks/generated_task.h"
#include "tasks/rational.h"

namespace minke {

namespace {

constexpr std::string_view kBegin = "Which is larger: ";
constexpr std::string_view kBeginOfMany = "Which is the largest: ";

// a < b.
bool is_less(std::string_view a, std::string_view b) {
  const auto x = parse_rational(a), y = parse_rational(b);
  CHECK(x.has_value() && y.has_value());
  const auto difference = subtract(*x, *y);
  CHECK(difference.has_value());
  return difference->numerator < 0;
}

std::string_view whole_part(std::string_view number) { return number.substr(0, number.find('.')); }

std::string_view fraction_part(std::string_view number) {
  const size_t point = number.find('.');
  return point == std::string_view::npos ? std::string_view() : number.substr(point + 1);
}

std::string padded(std::string_view fraction, size_t places) {
  std::string text(fraction);
  text.resize(places, '0');
  return text;
}

// Why the larger of two numbers is the larger, in one line.
std::string compared(std::string_view a, std::string_view b) {
  const std::string_view larger = is_less(a, b) ? b : a;
  std::string text = fmt::format("{} and {}: ", a, b);
  if (whole_part(a) != whole_part(b)) {
    const std::string_view smaller = larger == a ? b : a;
    return text + fmt::format("{} is more than {}, so {} is larger.\n", whole_part(larger),
                              whole_part(smaller), larger);
  }
  const size_t places = std::max(fraction_part(a).size(), fraction_part(b).size());
  const std::string x = padded(fraction_part(a), places), y = padded(fraction_part(b), places);
  text += fmt::format("both have {} before the point. ", whole_part(a));
  for (size_t i = 0; i < places; ++i) {
    text += fmt::format("{} and {}{}", x[i], y[i], x[i] == y[i] ? ", " : ": ");
    if (x[i] != y[i]) break;
  }
  return text + fmt::format("{} is larger.\n", larger);
}

class ComparisonTask : public GeneratedTask {
 public:
  explicit ComparisonTask(const TaskSettings& settings)
      : GeneratedTask("comparison", settings.spec()),
        count_(settings.number("count")),
        max_(settings.number("max")),
        decimals_(settings.number("decimals")) {}

 protected:
  std::optional<Instance> draw(Draws& draws) const override {
    // Mostly the same whole part, so that the decimals decide.
    const bool same_whole = decimals_ > 0 && draws.chance(0.7);
    const int64_t whole = draws.between(0, max_);
    std::vector<std::string> numbers;
    for (int64_t i = 0; i < count_; ++i) {
      numbers.push_back(drawn_number(draws, same_whole ? whole : draws.between(0, max_)));
    }
    std::vector<std::string> sorted = numbers;
    std::ranges::sort(sorted, is_less);
    const bool has_equals =
        std::ranges::adjacent_find(sorted, [](const std::string& a, const std::string& b) {
          return !is_less(a, b);
        }) != sorted.end();
    if (has_equals) return std::nullopt;
    std::string canonical = "comparison";
    for (const std::string& number : sorted) canonical += " " + to_string(*parse_rational(number));
    std::string prompt = count_ == 2 ? fmt::format("{}{} or {}", kBegin, numbers[0], numbers[1])
                                     : fmt::format("{}{}", kBeginOfMany, fmt::join(numbers, ", "));
    return Instance{.canonical = std::move(canonical),
                    .prompt = prompt + "? End with a line \"Answer: NUMBER\".",
                    .expected = sorted.back()};
  }

  SolvedProblem work_out(const Problem& problem, Draws&) const override {
    const std::vector<std::string> numbers = numbers_of(problem.prompt);
    SolvedProblem solved;
    std::string_view best = numbers.front();
    for (const std::string& next : std::span(numbers).subspan(1)) {
      solved.thinking += compared(best, next);
      if (is_less(best, next)) best = next;
    }
    solved.answer = answer_line(best);
    return solved;
  }

 private:
  std::string drawn_number(Draws& draws, int64_t whole) const {
    std::string text = std::to_string(whole);
    const int64_t places = decimals_ > 0 ? draws.between(0, decimals_) : 0;
    if (places > 0) text += '.';
    for (int64_t i = 0; i < places; ++i) text += static_cast<char>('0' + draws.below(10));
    return text;
  }

  static std::vector<std::string> numbers_of(std::string_view prompt) {
    prompt = prompt.substr(prompt.find(": ") + 2);
    std::vector<std::string> numbers(1);
    for (const char c : prompt.substr(0, prompt.find('?'))) {
      const bool is_part = (c >= '0' && c <= '9') || c == '.';
      if (is_part) {
        numbers.back() += c;
      } else if (!numbers.back().empty()) {
        numbers.emplace_back();
      }
    }
    return numbers;
  }

  int64_t count_, max_, decimals_;
};

}  // namespace

std::span<const TaskParameter> comparison_parameters() {
  static const std::vector<TaskParameter> parameters = {
      {"count", "how many numbers are compared", 2, 2, 20, {}},
      {"max", "the largest whole part", 99, 0, 1'000'000'000, {}},
      {"decimals", "the most decimals", 3, 0, 6, {}}};
  return parameters;
}

Result<std::shared_ptr<const Task>> make_comparison(const TaskSettings& settings) {
  auto task = std::make_shared<ComparisonTask>(settings);
  MINKE_TRY(task->check_splits());
  return task;
}

}  // namespace minke
