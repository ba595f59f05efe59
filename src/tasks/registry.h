// All tasks by name.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/result.h"
#include "tasks/task.h"

namespace minke {

// `spec` is a name, a name with parameters ("countdown:numbers=4,max=50") or the path of a .jsonl
// file, which is jsonl:test=PATH. The errors name the
// tasks there are and the parameters that a task knows.
Result<std::shared_ptr<const Task>> find_task(std::string_view spec);

// One line a task: its name and its parameters.
std::string describe_tasks();

}  // namespace minke
