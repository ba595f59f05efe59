// Generated tasks about other things than numbers alone: sorting, letters, dates, logic.
#pragma once

#include <memory>
#include <span>

#include "core/result.h"
#include "tasks/task.h"
#include "tasks/task_settings.h"

namespace minke {

std::span<const TaskParameter> sorting_parameters();
Result<std::shared_ptr<const Task>> make_sorting(const TaskSettings& settings);

// "How many times does the letter r occur in the word strawberry?": of English words, and of words
// made of syllables, which nobody has seen before.
std::span<const TaskParameter> counting_letters_parameters();
Result<std::shared_ptr<const Task>> make_counting_letters(const TaskSettings& settings);

// Weekdays from a weekday that is told, and dates so many days after a date.
std::span<const TaskParameter> calendar_parameters();
Result<std::shared_ptr<const Task>> make_calendar(const TaskSettings& settings);

// Boxes to be put in order by comparisons of two, and formulas of true and false.
std::span<const TaskParameter> logic_parameters();
Result<std::shared_ptr<const Task>> make_logic(const TaskSettings& settings);

}  // namespace minke
