#include "tasks/registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "tasks/arithmetic_tasks.h"
#include "tasks/countdown.h"
#include "tasks/file_tasks.h"
#include "tasks/puzzle_tasks.h"
#include "tasks/task_settings.h"

namespace minke {

namespace {

struct TaskEntry {
  std::string_view name;
  std::string_view about;
  std::span<const TaskParameter> (*parameters)();
  Result<std::shared_ptr<const Task>> (*make)(const TaskSettings&);
};

std::span<const TaskParameter> no_parameters() { return {}; }

constexpr TaskEntry kTasks[] = {
    {"countdown", "make a target of given numbers", countdown_parameters, make_countdown},
    {"chain_sums", "sums and differences in a row", chain_sums_parameters, make_chain_sums},
    {"gcd", "greatest common divisors", gcd_parameters, make_gcd},
    {"comparison", "which number is larger", comparison_parameters, make_comparison},
    {"base_conversion", "numbers in other bases", base_conversion_parameters, make_base_conversion},
    {"linear_equations", "one or two equations", linear_equations_parameters,
     make_linear_equations},
    {"sorting", "numbers from smallest to largest", sorting_parameters, make_sorting},
    {"counting_letters", "how often a letter is in a word", counting_letters_parameters,
     make_counting_letters},
    {"calendar", "weekdays and dates", calendar_parameters, make_calendar},
    {"logic", "orders and formulas", logic_parameters, make_logic},
    {"gsm8k", "word problems", no_parameters, make_gsm8k},
    {"math500", "competition problems", no_parameters, make_math500},
    {"aime24", "thirty harder ones, test only", no_parameters, make_aime24},
    {"humaneval", "Python functions, test only", no_parameters, make_humaneval},
    {"mbpp", "short Python programs", no_parameters, make_mbpp},
    {"choice", "multiple choice of your own", choice_parameters, make_choice},
    {"jsonl", "problems of your own", jsonl_parameters, make_jsonl},
};

}  // namespace

Result<std::shared_ptr<const Task>> find_task(std::string_view spec) {
  if (spec.ends_with(".jsonl") && !spec.contains('=')) {
    return find_task(fmt::format("jsonl:test={}", spec));
  }
  const size_t colon = std::min(spec.find(':'), spec.size());
  const std::string_view name = spec.substr(0, colon);
  const auto* const entry = std::ranges::find(kTasks, name, &TaskEntry::name);
  if (entry == std::end(kTasks)) {
    std::string names;
    for (const TaskEntry& known : kTasks) {
      names += names.empty() ? "" : ", ";
      names += known.name;
    }
    return misuse(fmt::format("there is no task '{}'; there are {}", name, names));
  }
  const std::string_view text = colon < spec.size() ? spec.substr(colon + 1) : std::string_view();
  MINKE_ASSIGN(const TaskSettings settings, TaskSettings::parse(name, entry->parameters(), text));
  return entry->make(settings);
}

std::string describe_tasks() {
  std::string text;
  for (const TaskEntry& entry : kTasks) {
    text += fmt::format("{}: {}; {}\n", entry.name, entry.about, describe(entry.parameters()));
  }
  return text;
}

}  // namespace minke
