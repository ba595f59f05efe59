// Countdown: an expression of given numbers, each exactly once, that makes a target. Only problems
// that countdown_search.h finds a way for.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "tasks/task.h"
#include "tasks/task_settings.h"

namespace minke {

struct CountdownInstance {
  std::vector<int> numbers;
  int target = 0;
};

// Of "3 5 7 = 22": 1 to 20 numbers and the target, all of at most nine digits.
Result<CountdownInstance> read_countdown(std::string_view text);

// Whether `text` is an expression (tasks/expression.h) of exactly these numbers with the target as
// its value. Well formed: an expression, and what it claims to be, if anything, is the target.
Verdict check_countdown(const CountdownInstance& instance, std::string_view text);

std::span<const TaskParameter> countdown_parameters();
Result<std::shared_ptr<const Task>> make_countdown(const TaskSettings& settings);

}  // namespace minke
