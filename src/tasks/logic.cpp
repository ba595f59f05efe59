#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "tasks/final_answer.h"
#include "tasks/generated_task.h"
#include "tasks/puzzle_tasks.h"

namespace minke {

namespace {

constexpr std::string_view kBoxes = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr std::array<std::string_view, 4> kVariables = {"p", "q", "r", "s"};
constexpr std::string_view kLogicBegin = "Is ";

const char* truth_name(bool value) { return value ? "true" : "false"; }

// Formulas are written with parentheses around whatever has two sides: "not (p and q)".
std::string formula(Draws& draws, int64_t operators) {
  if (operators == 0) return std::string(draws.one_of(std::span(kVariables)));
  if (draws.chance(0.3)) return "not " + formula(draws, operators - 1);
  const int64_t left = draws.below(operators);
  const char* const word = draws.chance(0.5) ? "and" : "or";
  return fmt::format("({} {} {})", formula(draws, left), word,
                     formula(draws, operators - 1 - left));
}

// Works a formula out from the inside, a line a step.
class FormulaSolver {
 public:
  FormulaSolver(std::string_view text, const std::map<std::string_view, bool>& values,
                std::string* steps)
      : rest_(text), values_(values), steps_(*steps) {}

  bool value() {
    if (take("not ")) {
      const bool inside = value();
      fmt::format_to(std::back_inserter(steps_), "not {} is {}\n", truth_name(inside),
                     truth_name(!inside));
      return !inside;
    }
    if (take("(")) {
      const bool left = value();
      const bool is_and = take(" and ");
      if (!is_and) CHECK(take(" or "));
      const bool right = value();
      CHECK(take(")"));
      const bool result = is_and ? left && right : left || right;
      fmt::format_to(std::back_inserter(steps_), "{} {} {} is {}\n", truth_name(left),
                     is_and ? "and" : "or", truth_name(right), truth_name(result));
      return result;
    }
    const auto found = values_.find(rest_.substr(0, 1));
    CHECK(found != values_.end());
    rest_.remove_prefix(1);
    fmt::format_to(std::back_inserter(steps_), "{} is {}\n", found->first,
                   truth_name(found->second));
    return found->second;
  }

 private:
  bool take(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }

  std::string_view rest_;
  const std::map<std::string_view, bool>& values_;
  std::string& steps_;
};

class LogicTask : public GeneratedTask {
 public:
  explicit LogicTask(const TaskSettings& settings)
      : GeneratedTask("logic", settings.spec()),
        boxes_max_(settings.number("boxes_max")),
        operators_max_(settings.number("operators_max")),
        has_orders_(!settings.chosen("kind", "formulas")),
        has_formulas_(!settings.chosen("kind", "orders")) {}

  Verdict check(const Problem& problem, std::string_view answer) const override {
    return check_phrase(problem.expected, answer);
  }

 protected:
  std::optional<Instance> draw(Draws& draws) const override {
    const bool is_order = has_orders_ && (!has_formulas_ || draws.chance(0.5));
    return is_order ? draw_order(draws) : draw_formula(draws);
  }

  SolvedProblem work_out(const Problem& problem, Draws&) const override {
    SolvedProblem solved;
    if (problem.prompt.starts_with("Box")) {
      solve_order(problem.prompt, &solved.thinking);
    } else {
      solve_formula(problem.prompt, &solved.thinking);
    }
    solved.answer = answer_line(problem.expected);
    return solved;
  }

 private:
  // Every two neighbours of an order are compared, so that there is no other order.
  Instance draw_order(Draws& draws) const {
    std::vector<char> boxes(kBoxes.begin(), kBoxes.end());
    draws.shuffle(std::span(boxes));
    boxes.resize(static_cast<size_t>(draws.between(3, boxes_max_)));  // the heaviest first
    std::vector<std::string> clues;
    for (size_t i = 1; i < boxes.size(); ++i) {
      clues.push_back(draws.chance(0.5)
                          ? fmt::format("Box {} is heavier than box {}.", boxes[i - 1], boxes[i])
                          : fmt::format("Box {} is lighter than box {}.", boxes[i], boxes[i - 1]));
    }
    draws.shuffle(std::span(clues));
    const bool is_heaviest = draws.chance(0.5);
    return {.canonical = fmt::format("logic order {} {}", fmt::join(boxes, ">"),
                                     is_heaviest ? "heaviest" : "lightest"),
            .prompt = fmt::format("{} Which box is the {}? End with a line \"Answer: LETTER\".",
                                  fmt::join(clues, " "), is_heaviest ? "heaviest" : "lightest"),
            .expected = std::string(1, is_heaviest ? boxes.front() : boxes.back())};
  }

  static void solve_order(std::string_view prompt, std::string* out) {
    std::map<char, char> lighter_of;  // the next lighter box
    std::vector<char> not_first;
    for (std::string_view rest = prompt; rest.starts_with("Box ");
         rest.remove_prefix(rest.find(". ") + 2)) {
      const char a = rest[4], b = rest[rest.find("box ") + 4];
      const bool is_heavier = rest.substr(0, rest.find('.')).contains("heavier");
      const char heavy = is_heavier ? a : b, light = is_heavier ? b : a;
      lighter_of[heavy] = light;
      not_first.push_back(light);
      fmt::format_to(std::back_inserter(*out), "{} > {}\n", heavy, light);
    }
    const auto first = std::ranges::find_if(lighter_of, [&](const auto& pair) {
      return std::ranges::find(not_first, pair.first) == not_first.end();
    });
    CHECK(first != lighter_of.end());
    fmt::format_to(std::back_inserter(*out), "Nothing is heavier than {}.\n{}", first->first,
                   first->first);
    for (auto next = first; next != lighter_of.end(); next = lighter_of.find(next->second)) {
      fmt::format_to(std::back_inserter(*out), " > {}", next->second);
    }
    *out += "\n";
  }

  Instance draw_formula(Draws& draws) const {
    std::array<bool, kVariables.size()> values = {};
    std::map<std::string_view, bool> named;
    std::vector<std::string> told;
    for (size_t i = 0; i < values.size(); ++i) {
      named[kVariables[i]] = draws.chance(0.5);
      told.push_back(fmt::format("{} is {}", kVariables[i], truth_name(named[kVariables[i]])));
    }
    const std::string text = formula(draws, draws.between(2, operators_max_));
    std::string steps;
    const bool value = FormulaSolver(text, named, &steps).value();
    return {.canonical = fmt::format("logic formula {}: {}", fmt::join(told, ", "), text),
            .prompt = fmt::format("{}{} true or false, if {}? End with a line \"Answer: true\" or "
                                  "\"Answer: false\".",
                                  kLogicBegin, text, fmt::join(told, ", ")),
            .expected = truth_name(value)};
  }

  static void solve_formula(std::string_view prompt, std::string* out) {
    std::map<std::string_view, bool> named;
    const std::string_view told = part_between(prompt, ", if ", "?");
    for (const std::string_view variable : kVariables) {
      named[variable] = told.contains(fmt::format("{} is true", variable));
    }
    FormulaSolver(part_between(prompt, kLogicBegin, " true or"), named, out).value();
  }

  int64_t boxes_max_, operators_max_;
  bool has_orders_, has_formulas_;
};

}  // namespace

std::span<const TaskParameter> logic_parameters() {
  static const std::vector<TaskParameter> parameters = {
      {"kind", "boxes in order, or formulas", 0, 0, 0, {"both", "orders", "formulas"}},
      {"boxes_max", "the most boxes", 5, 3, 26, {}},
      {"operators_max", "the most operators of a formula", 4, 2, 20, {}}};
  return parameters;
}

Result<std::shared_ptr<const Task>> make_logic(const TaskSettings& settings) {
  auto task = std::make_shared<LogicTask>(settings);
  MINKE_TRY(task->check_splits());
  return task;
}

}  // namespace minke
