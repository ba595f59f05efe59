#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "tasks/arithmetic_tasks.h"
#include "tasks/generated_task.h"

namespace minke {

namespace {

class ChainSumsTask : public GeneratedTask {
 public:
  explicit ChainSumsTask(const TaskSettings& settings)
      : GeneratedTask("chain_sums", settings.spec()),
        terms_min_(settings.number("terms_min")),
        terms_max_(settings.number("terms_max")),
        max_(settings.number("max")) {}

 protected:
  std::optional<Instance> draw(Draws& draws) const override {
    std::vector<int64_t> terms;  // signed
    const int64_t count = draws.between(terms_min_, terms_max_);
    int64_t sum = 0;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t term = draws.between(1, max_);
      terms.push_back(term <= sum && draws.chance(0.5) ? -term : term);
      sum += terms.back();
    }
    std::string prompt = fmt::format("What is {}", terms.front());
    for (size_t i = 1; i < terms.size(); ++i) {
      prompt += fmt::format(" {} {}", sign(terms[i]), std::abs(terms[i]));
    }
    prompt += "? End with a line \"Answer: NUMBER\".";
    std::string expected = fmt::format("{}", sum);
    std::ranges::sort(terms);
    return Instance{.canonical = fmt::format("chain_sums {}", fmt::join(terms, " ")),
                    .prompt = std::move(prompt),
                    .expected = std::move(expected)};
  }

  SolvedProblem work_out(const Problem& problem, Draws&) const override {
    const std::vector<int64_t> terms = terms_of(problem.prompt);
    SolvedProblem solved;
    int64_t sum = terms.front();
    for (size_t i = 1; i < terms.size(); ++i) {
      const int64_t next = sum + terms[i];
      solved.thinking +=
          fmt::format("{} {} {} = {}\n", sum, sign(terms[i]), std::abs(terms[i]), next);
      sum = next;
    }
    solved.answer = answer_line(problem.expected);
    return solved;
  }

 private:
  static char sign(int64_t term) { return term < 0 ? '-' : '+'; }

  // The terms in their order, from a prompt of draw()'s.
  static std::vector<int64_t> terms_of(std::string_view prompt) {
    std::vector<int64_t> terms;
    int64_t value = 0;
    bool is_negative = false, is_number = false;
    for (const char c : prompt.substr(0, prompt.find('?') + 1)) {
      if (c >= '0' && c <= '9') {
        value = value * 10 + (c - '0');
        is_number = true;
        continue;
      }
      if (is_number) terms.push_back(is_negative ? -value : value);
      if (is_number) is_negative = false;
      is_number = false;
      value = 0;
      if (c == '-') is_negative = true;
    }
    return terms;
  }

  int64_t terms_min_, terms_max_, max_;
};

}  // namespace

std::span<const TaskParameter> chain_sums_parameters() {
  static const std::vector<TaskParameter> parameters = {
      {"terms_min", "the fewest terms", 3, 2, 50, {}},
      {"terms_max", "the most terms", 6, 2, 50, {}},
      {"max", "the largest term", 99, 2, 1'000'000, {}}};
  return parameters;
}

Result<std::shared_ptr<const Task>> make_chain_sums(const TaskSettings& settings) {
  if (settings.number("terms_min") > settings.number("terms_max")) {
    return misuse(fmt::format("task '{}': terms_min is above terms_max", settings.spec()));
  }
  auto task = std::make_shared<ChainSumsTask>(settings);
  MINKE_TRY(task->check_splits());
  return task;
}

}  // namespace minke
