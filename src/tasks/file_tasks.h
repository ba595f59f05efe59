// Tasks whose problems stand in files: the public sets by name (data_file.h), and files of one's
// own. A file is read whole when the task is made; an error names the file and the line.
#pragma once

#include <memory>
#include <span>

#include "core/result.h"
#include "tasks/task.h"
#include "tasks/task_settings.h"

namespace minke {

// Word problems with a number as answer. Train and test are the set's own.
Result<std::shared_ptr<const Task>> make_gsm8k(const TaskSettings& settings);
// Competition problems with a mathematical answer: MATH's training problems, and MATH-500 as test.
Result<std::shared_ptr<const Task>> make_math500(const TaskSettings& settings);
// Thirty problems whose answer is an integer; test only.
Result<std::shared_ptr<const Task>> make_aime24(const TaskSettings& settings);
// Python functions, checked by tests in the sandbox. HumanEval is test only; of MBPP rows 11 to 510
// are the test and 601 to 974 train.
Result<std::shared_ptr<const Task>> make_humaneval(const TaskSettings& settings);
Result<std::shared_ptr<const Task>> make_mbpp(const TaskSettings& settings);

// Files of one's own, one for each split; either may be left out.
//   choice: {"question", "choices": [...], "answer": a letter or the index of a choice}
//   jsonl:  {"prompt", "answer", "check"}; check is how answers are compared with "answer":
//   "number"
//           (if there is none), "phrase", "mention" (the answer says it anywhere), "math", "gsm8k",
//           "choice", "countdown" ("3 5 7 = 22"), "json" (a schema), "python" (tests that run
//           behind the code), or "command" (the program that the task's parameter `command` names;
//           answer_checks.h)
std::span<const TaskParameter> choice_parameters();
Result<std::shared_ptr<const Task>> make_choice(const TaskSettings& settings);
std::span<const TaskParameter> jsonl_parameters();
Result<std::shared_ptr<const Task>> make_jsonl(const TaskSettings& settings);

}  // namespace minke
