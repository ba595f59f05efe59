#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string>

#include "core/check.h"
#include "tasks/final_answer.h"
#include "tasks/generated_task.h"
#include "tasks/puzzle_tasks.h"

namespace minke {

namespace {

using std::chrono::days;
using std::chrono::sys_days;
using std::chrono::year_month_day;

constexpr std::array<std::string_view, 12> kMonths = {
    "January", "February", "March",     "April",   "May",      "June",
    "July",    "August",   "September", "October", "November", "December"};
constexpr std::array<std::string_view, 7> kWeekdays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                       "Thursday", "Friday", "Saturday"};

std::string text_of(sys_days day) {
  const year_month_day date(day);
  return fmt::format("{} {} {}", static_cast<unsigned>(date.day()),
                     kMonths[static_cast<unsigned>(date.month()) - 1],
                     static_cast<int>(date.year()));
}

std::string_view weekday_of(sys_days day) {
  return kWeekdays[std::chrono::weekday(day).c_encoding()];
}

// "17 March 2026"
sys_days day_of(std::string_view text) {
  const size_t first = text.find(' '), second = text.rfind(' ');
  const auto* const month = std::ranges::find(kMonths, text.substr(first + 1, second - first - 1));
  CHECK(month != kMonths.end());
  return year_month_day(std::chrono::year(static_cast<int>(to_integer(text.substr(second + 1)))),
                        std::chrono::month(static_cast<unsigned>(month - kMonths.begin()) + 1),
                        std::chrono::day(static_cast<unsigned>(to_integer(text.substr(0, first)))));
}

sys_days next_first_of_month(sys_days day) {
  const year_month_day date(day);
  return year_month_day(date.year(), date.month(), std::chrono::day(1)) + std::chrono::months(1);
}

// Whether the years between have 29 February is where most mistakes are made.
std::string_view leap_note(sys_days day) {
  const year_month_day date(day);
  if (date.month() != std::chrono::February) return "";
  return date.year().is_leap() ? " (a leap year)" : " (no leap year)";
}

class CalendarTask : public GeneratedTask {
 public:
  explicit CalendarTask(const TaskSettings& settings)
      : GeneratedTask("calendar", settings.spec()),
        days_max_(settings.number("days_max")),
        asks_weekdays_(!settings.chosen("kind", "dates")),
        asks_dates_(!settings.chosen("kind", "weekdays")) {}

  Verdict check(const Problem& problem, std::string_view answer) const override {
    return check_phrase(problem.expected, answer);
  }

 protected:
  std::optional<Instance> draw(Draws& draws) const override {
    // 1900 to 2099.
    const sys_days from = sys_days(std::chrono::year(1900) / 1 / 1) + days(draws.below(73'049));
    const sys_days to = from + days(draws.between(1, days_max_));
    const bool is_date = asks_dates_ && (!asks_weekdays_ || draws.chance(0.5));
    if (is_date) {
      return Instance{
          .canonical = fmt::format("calendar date {} {}", text_of(from), (to - from).count()),
          .prompt = fmt::format("Which date is {} days after {}? End with a line \"Answer: DAY "
                                "MONTH YEAR\", as in \"Answer: 1 March 2000\".",
                                (to - from).count(), text_of(from)),
          .expected = text_of(to)};
    }
    return Instance{
        .canonical = fmt::format("calendar weekday {} {}", text_of(from), (to - from).count()),
        .prompt = fmt::format("If {} is a {}, which day of the week is {}? End with a line "
                              "\"Answer: WEEKDAY\".",
                              text_of(from), weekday_of(from), text_of(to)),
        .expected = std::string(weekday_of(to))};
  }

  SolvedProblem work_out(const Problem& problem, Draws&) const override {
    SolvedProblem solved;
    const std::string_view prompt = problem.prompt;
    if (prompt.starts_with("Which date")) {
      count_on(day_of(part_between(prompt, "after ", "?")),
               to_integer(part_between(prompt, "is ", " days")), &solved.thinking);
    } else {
      count_between(day_of(part_between(prompt, "If ", " is a")),
                    day_of(part_between(prompt, "week is ", "?")), &solved.thinking);
    }
    solved.answer = answer_line(problem.expected);
    return solved;
  }

 private:
  // From month to month as long as there are days left.
  static void count_on(sys_days day, int64_t left, std::string* out) {
    for (;;) {
      const sys_days next = next_first_of_month(day);
      const int64_t step = (next - day).count();
      if (left < step) break;
      fmt::format_to(std::back_inserter(*out), "{} days from {} to {}{}, {} left\n", step,
                     text_of(day), text_of(next), leap_note(day), left - step);
      left -= step;
      day = next;
    }
    fmt::format_to(std::back_inserter(*out), "{} days from {} to {}\n", left, text_of(day),
                   text_of(day + days(left)));
  }

  static void count_between(sys_days from, sys_days to, std::string* out) {
    int64_t sum = 0;
    for (sys_days day = from; day != to;) {
      const sys_days next = std::min(next_first_of_month(day), to);
      sum += (next - day).count();
      fmt::format_to(std::back_inserter(*out), "{} days from {} to {}{}, {} in all\n",
                     (next - day).count(), text_of(day), text_of(next), leap_note(day), sum);
      day = next;
    }
    fmt::format_to(std::back_inserter(*out), "{} = {} * 7 + {}\n{} and {} days: {}\n", sum, sum / 7,
                   sum % 7, weekday_of(from), sum % 7, weekday_of(to));
  }

  int64_t days_max_;
  bool asks_weekdays_, asks_dates_;
};

}  // namespace

std::span<const TaskParameter> calendar_parameters() {
  static const std::vector<TaskParameter> parameters = {
      {"days_max", "the most days between two dates", 100, 1, 1000, {}},
      {"kind", "what is asked for", 0, 0, 0, {"both", "weekdays", "dates"}}};
  return parameters;
}

Result<std::shared_ptr<const Task>> make_calendar(const TaskSettings& settings) {
  auto task = std::make_shared<CalendarTask>(settings);
  MINKE_TRY(task->check_splits());
  return task;
}

}  // namespace minke
