#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "tasks/arithmetic_tasks.h"
#include "tasks/generated_task.h"

namespace minke {

namespace {

constexpr std::string_view kBegin = "What is the greatest common divisor of ";
constexpr std::string_view kAnd = " and ";

class GcdTask : public GeneratedTask {
 public:
  explicit GcdTask(const TaskSettings& settings)
      : GeneratedTask("gcd", settings.spec()), max_(settings.number("max")) {}

 protected:
  std::optional<Instance> draw(Draws& draws) const override {
    // Two numbers by chance mostly have nothing in common: half of them get a factor.
    const int64_t factor = draws.chance(0.5) ? draws.between(2, std::max<int64_t>(2, max_ / 4)) : 1;
    const int64_t a = factor * draws.between(1, max_ / factor);
    const int64_t b = factor * draws.between(1, max_ / factor);
    return Instance{
        .canonical = fmt::format("gcd {} {}", std::min(a, b), std::max(a, b)),
        .prompt = fmt::format("{}{}{}{}? End with a line \"Answer: NUMBER\".", kBegin, a, kAnd, b),
        .expected = std::to_string(std::gcd(a, b))};
  }

  SolvedProblem work_out(const Problem& problem, Draws&) const override {
    int64_t a = to_integer(part_between(problem.prompt, kBegin, kAnd));
    int64_t b = to_integer(part_between(problem.prompt, kAnd, "?"));
    if (a < b) std::swap(a, b);
    SolvedProblem solved;
    while (b != 0) {
      solved.thinking += fmt::format("{} = {} * {} + {}\n", a, a / b, b, a % b);
      a = std::exchange(b, a % b);
    }
    solved.thinking += fmt::format("The last divisor is {}.\n", a);
    solved.answer = answer_line(problem.expected);
    return solved;
  }

 private:
  int64_t max_;
};

}  // namespace

std::span<const TaskParameter> gcd_parameters() {
  static const std::vector<TaskParameter> parameters = {
      {"max", "the largest number", 200, 10, 1'000'000'000, {}}};
  return parameters;
}

Result<std::shared_ptr<const Task>> make_gcd(const TaskSettings& settings) {
  auto task = std::make_shared<GcdTask>(settings);
  MINKE_TRY(task->check_splits());
  return task;
}

}  // namespace minke
