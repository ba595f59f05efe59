// Generated tasks about numbers. All answers are numbers, written behind "Answer:".
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

// "Write 1F4 (base 16) in base 7."
std::span<const TaskParameter> base_conversion_parameters();
Result<std::shared_ptr<const Task>> make_base_conversion(const TaskSettings& settings);

// "If 3x + 5 = 20, what is x?", or two equations with x and y; x is always an integer.
std::span<const TaskParameter> linear_equations_parameters();
Result<std::shared_ptr<const Task>> make_linear_equations(const TaskSettings& settings);

}  // namespace minke
