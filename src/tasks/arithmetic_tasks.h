// Generated tasks about numbers: sums of several terms, the greatest common divisor, comparison.
// All answers are numbers, written behind "Answer:".
#pragma once

#include <memory>
#include <span>

#include "core/result.h"
#include "tasks/task.h"
#include "tasks/task_settings.h"

namespace minke {

// "What is 34 + 17 - 8 + 52?": every sum on the way is at least 0.
std::span<const TaskParameter> chain_sums_parameters();
Result<std::shared_ptr<const Task>> make_chain_sums(const TaskSettings& settings);

std::span<const TaskParameter> gcd_parameters();
Result<std::shared_ptr<const Task>> make_gcd(const TaskSettings& settings);

// "Which is larger: 9.11 or 9.8?": of two or more numbers, with decimals or without.
std::span<const TaskParameter> comparison_parameters();
Result<std::shared_ptr<const Task>> make_comparison(const TaskSettings& settings);

}  // namespace minke
