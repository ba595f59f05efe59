#include "tasks/file_tasks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "io/data_catalogue.h"
#include "tasks/answer_checks.h"
#include "tasks/countdown.h"
#include "tasks/final_answer.h"
#include "tasks/generated_task.h"
#include "tasks/json_rows.h"
#include "tasks/math_answer.h"
#include "tasks/sandbox.h"

namespace minke {

namespace {

// How an answer to one problem is judged; a copy is kept with each problem.
using Check = std::function<Verdict(const Problem& problem, std::string_view answer)>;

struct FileProblem {
  Problem problem;
  Check check;
};

class FileTask : public Task {
 public:
  explicit FileTask(std::string spec) : spec_(std::move(spec)) {}

  std::string_view name() const override { return spec_; }
  uint64_t size(Split split) const override { return of(split).size(); }
  Problem problem(Split split, uint64_t index) const override {
    CHECK_LT(index, size(split));
    return of(split)[index].problem;
  }
  Verdict check(const Problem& problem, std::string_view answer) const override {
    const size_t slash = problem.id.rfind('/');
    const Split split = problem.id.contains("/train/") ? Split::kTrain : Split::kTest;
    const auto index = static_cast<uint64_t>(to_integer(problem.id.substr(slash + 1)));
    CHECK_LT(index, size(split));
    return of(split)[index].check(problem, answer);
  }
  Result<SolvedProblem> solve(const Problem&, uint64_t) const override {
    return fail(fmt::format("task '{}': no program solves its problems", spec_));
  }

  void add(Split split, std::string prompt, std::string expected, Check check) {
    std::vector<FileProblem>& problems = of(split);
    problems.push_back(
        {.problem = {.id = fmt::format("{}/{}/{}", spec_, split == Split::kTrain ? "train" : "test",
                                       problems.size()),
                     .prompt = std::move(prompt),
                     .expected = std::move(expected)},
         .check = std::move(check)});
  }

 private:
  const std::vector<FileProblem>& of(Split split) const {
    return problems_[static_cast<size_t>(split)];
  }
  std::vector<FileProblem>& of(Split split) { return problems_[static_cast<size_t>(split)]; }

  std::string spec_;
  std::array<std::vector<FileProblem>, 2> problems_;
};

// A check that compares with what is expected.
Check comparing(Verdict (*check)(std::string_view, std::string_view)) {
  return [check](const Problem& problem, std::string_view answer) {
    return check(problem.expected, answer);
  };
}

using AddRow = std::function<Status(const JsonRow& row, Split split, FileTask* task)>;

Status add_rows(const std::string& path, Split split, const AddRow& add_row, FileTask* task) {
  MINKE_ASSIGN(const std::vector<JsonRow> rows, read_json_rows(path));
  for (const JsonRow& row : rows) MINKE_TRY(add_row(row, split, task));
  return {};
}

Status add_set(std::string_view name, std::string_view file, Split split, const AddRow& add_row,
               FileTask* task) {
  MINKE_ASSIGN(const std::string path, data_set_file(name, file));
  return add_rows(path, split, add_row, task);
}

Status add_gsm8k_row(const JsonRow& row, Split split, FileTask* task) {
  constexpr std::string_view kMark = "####";
  MINKE_ASSIGN(const std::string question, row.text("question"));
  MINKE_ASSIGN(const std::string answer, row.text("answer"));
  const size_t mark = answer.rfind(kMark);
  if (mark == std::string::npos) {
    return fail(fmt::format("{}: the answer has no \"####\"", row.where));
  }
  std::string number(trimmed(std::string_view(answer).substr(mark + kMark.size())));
  std::erase(number, ',');
  task->add(split, question + "\nEnd with a line \"Answer: NUMBER\".", std::move(number),
            comparing(check_gsm8k));
  return {};
}

Status add_math_row(const JsonRow& row, Split split, FileTask* task) {
  MINKE_ASSIGN(const std::string question, row.text("problem"));
  // The published file has two without: they are no problems that could be checked.
  const Value* const known = row.value.find("answer");
  if (known != nullptr && known->is_null()) return {};
  MINKE_ASSIGN(std::string answer, row.text_or_number("answer"));
  task->add(split, question + "\nPut the final answer in \\boxed{}.", std::move(answer),
            comparing(check_math));
  return {};
}

// The answer's code with its tests behind it.
Check running(std::string tests) {
  return [tests = std::move(tests)](const Problem&, std::string_view answer) {
    const std::string_view code = last_code_block(answer);
    return check_program(fmt::format("{}\n{}", code, tests), code);
  };
}

// A prompt of HumanEval begins a function: an answer may write it whole, or go on with its body.
// What stands before the function (imports and helpers) is there in either case.
Check running_humaneval(const std::string& begun, const std::string& entry_point,
                        const std::string& tests) {
  const std::string head = fmt::format("def {}(", entry_point);
  const std::string before = begun.substr(0, begun.rfind(head));
  const std::string after = fmt::format("{}\ncheck({})", tests, entry_point);
  return [=](const Problem&, std::string_view answer) {
    const std::string_view code = last_code_block(answer);
    const bool is_whole = code.contains(head);
    return check_program(fmt::format("{}{}\n{}", is_whole ? before : begun, code, after), code);
  };
}

Status add_humaneval_row(const JsonRow& row, Split split, FileTask* task) {
  MINKE_ASSIGN(const std::string begun, row.text("prompt"));
  MINKE_ASSIGN(const std::string entry_point, row.text("entry_point"));
  MINKE_ASSIGN(const std::string tests, row.text("test"));
  task->add(split,
            fmt::format("Complete this Python function. Answer with the whole function in a block "
                        "of code.\n\n```python\n{}```",
                        begun),
            entry_point, running_humaneval(begun, entry_point, tests));
  return {};
}

Status add_mbpp_row(const JsonRow& row, FileTask* task) {
  const Value* const id = row.value.find("task_id");
  const Value* const list = row.value.find("test_list");
  if (!id || !id->as_int() || !list || !list->as_array()) {
    return fail(fmt::format("{}: task_id or test_list is missing", row.where));
  }
  const int64_t number = *id->as_int();
  const bool is_test = number >= 11 && number <= 510, is_train = number >= 601 && number <= 974;
  if (!is_test && !is_train) return {};
  MINKE_ASSIGN(const std::string text, row.text("text"));
  MINKE_ASSIGN(const std::string setup, row.text("test_setup_code"));
  // The set-up may build values of classes that the answer defines, so it comes behind the answer.
  std::string tests;
  for (const Value& test : *list->as_array()) {
    if (!test.as_string()) return fail(fmt::format("{}: a test is no text", row.where));
    tests += *test.as_string() + "\n";
  }
  task->add(is_test ? Split::kTest : Split::kTrain,
            fmt::format("{}\nAnswer with Python in a block of code. It has to pass these tests:\n\n"
                        "```python\n{}```",
                        text, tests),
            tests, running(setup + "\n" + tests));
  return {};
}

Status add_choice_row(const JsonRow& row, Split split, FileTask* task) {
  MINKE_ASSIGN(std::string prompt, row.text("question"));
  const Value* const list = row.value.find("choices");
  const Value* const answer = row.value.find("answer");
  if (!list || !list->as_array() || list->as_array()->size() < 2 || list->as_array()->size() > 26) {
    return fail(fmt::format("{}: \"choices\" must be a list of 2 to 26 texts", row.where));
  }
  const auto count = static_cast<int>(list->as_array()->size());
  prompt += "\n";
  for (int i = 0; i < count; ++i) {
    const Value& choice = (*list->as_array())[static_cast<size_t>(i)];
    const std::string* const text = choice.as_string();
    prompt += fmt::format("\n{}) {}", static_cast<char>('A' + i), text ? *text : to_json(choice));
  }
  const std::string* const letter = answer ? answer->as_string() : nullptr;
  const int64_t* const index = answer ? answer->as_int() : nullptr;
  const int64_t right = letter && letter->size() == 1 ? (*letter)[0] - 'A' : index ? *index : -1;
  if (right < 0 || right >= count) {
    return fail(
        fmt::format("{}: \"answer\" must be the letter (A is the first) or the index (0 is "
                    "the first) of a choice",
                    row.where));
  }
  task->add(split, prompt + "\n\nEnd with a line \"Answer: LETTER\".",
            std::string(1, static_cast<char>('A' + right)),
            [count](const Problem& problem, std::string_view given) {
              return check_choice(problem.expected[0], count, given);
            });
  return {};
}

// What "check" of a row names. A row of countdown is read once here, so that a malformed one is an
// error of the file.
Result<Check> check_of(const JsonRow& row, const std::string& expected,
                       const std::string& command) {
  const Value* const named = row.value.find("check");
  std::string kind = "number";
  if (named) {
    MINKE_ASSIGN(kind, row.text("check"));
  }
  if (kind == "number") return comparing(check_number);
  if (kind == "phrase") return comparing(check_phrase);
  if (kind == "mention") return comparing(check_mention);
  if (kind == "math") return comparing(check_math);
  if (kind == "gsm8k") return comparing(check_gsm8k);
  if (kind == "json") return comparing(check_json_schema);
  if (kind == "choice" && expected.size() == 1 && expected[0] >= 'A' && expected[0] <= 'Z') {
    return [](const Problem& problem, std::string_view answer) {
      return check_choice(problem.expected[0], 26, answer);
    };
  }
  if (kind == "countdown") {
    const auto instance = read_countdown(expected);
    if (!instance) return fail(fmt::format("{}: {}", row.where, instance.error().message));
    return [instance = *instance](const Problem&, std::string_view answer) {
      const auto given = final_answer(answer);
      if (!given) return Verdict{.why = "there is no final answer"};
      return check_countdown(instance, *given);
    };
  }
  if (kind == "python") {
    MINKE_TRY(sandbox_ready());
    return running(expected);
  }
  if (kind == "command" && !command.empty()) {
    return [command](const Problem& problem, std::string_view answer) {
      return check_by_command(command, problem, answer);
    };
  }
  return fail(fmt::format(
      "{}: no check '{}' for the answer '{}'; there are number, phrase, mention, math, gsm8k, "
      "choice "
      "(the answer is a letter from A), countdown (\"3 5 7 = 22\"), json (a schema), python "
      "(tests), and command (with the task's parameter command=PROGRAM)",
      row.where, kind, expected.substr(0, 40)));
}

AddRow adding_own_rows(std::string command) {
  return [command = std::move(command)](const JsonRow& row, Split split, FileTask* task) -> Status {
    MINKE_ASSIGN(std::string prompt, row.text("prompt"));
    const Value* const answer = row.value.find("answer");
    const bool is_object = answer && answer->as_object();  // a schema
    Result<std::string> expected = is_object ? to_json(*answer) : row.text_or_number("answer");
    if (!expected) return std::unexpected(std::move(expected).error());
    MINKE_ASSIGN(Check check, check_of(row, *expected, command));
    task->add(split, std::move(prompt), *std::move(expected), std::move(check));
    return {};
  };
}

Result<std::shared_ptr<const Task>> own_files(const TaskSettings& settings, const AddRow& add_row) {
  auto task = std::make_shared<FileTask>(settings.spec());
  if (settings.text("test").empty() && settings.text("train").empty()) {
    return misuse(fmt::format("task '{}': name a file, as in {}:test=FILE", settings.spec(),
                              settings.spec()));
  }
  for (const auto& [split, parameter] :
       {std::pair(Split::kTrain, "train"), std::pair(Split::kTest, "test")}) {
    const std::string& path = settings.text(parameter);
    if (!path.empty()) MINKE_TRY(add_rows(path, split, add_row, task.get()));
  }
  return task;
}

constexpr TaskParameter kTrainFile = {.name = "train", .about = "a file", .is_text = true};
constexpr TaskParameter kTestFile = {.name = "test", .about = "a file", .is_text = true};

}  // namespace

Result<std::shared_ptr<const Task>> make_gsm8k(const TaskSettings& settings) {
  auto task = std::make_shared<FileTask>(settings.spec());
  MINKE_TRY(add_set("gsm8k", "math/gsm8k_test.jsonl", Split::kTest, add_gsm8k_row, task.get()));
  MINKE_TRY(add_set("gsm8k", "math/gsm8k_train.jsonl", Split::kTrain, add_gsm8k_row, task.get()));
  return task;
}

Result<std::shared_ptr<const Task>> make_math500(const TaskSettings& settings) {
  auto task = std::make_shared<FileTask>(settings.spec());
  MINKE_TRY(add_set("math500", "math/math500.jsonl", Split::kTest, add_math_row, task.get()));
  MINKE_TRY(add_set("math", "math/math_train.json", Split::kTrain, add_math_row, task.get()));
  return task;
}

Result<std::shared_ptr<const Task>> make_aime24(const TaskSettings& settings) {
  auto task = std::make_shared<FileTask>(settings.spec());
  MINKE_TRY(add_set("aime24", "math/aime24.json", Split::kTest, add_math_row, task.get()));
  return task;
}

Result<std::shared_ptr<const Task>> make_humaneval(const TaskSettings& settings) {
  MINKE_TRY(sandbox_ready());
  auto task = std::make_shared<FileTask>(settings.spec());
  MINKE_TRY(
      add_set("humaneval", "code/humaneval.jsonl", Split::kTest, add_humaneval_row, task.get()));
  return task;
}

Result<std::shared_ptr<const Task>> make_mbpp(const TaskSettings& settings) {
  MINKE_TRY(sandbox_ready());
  auto task = std::make_shared<FileTask>(settings.spec());
  const AddRow add_row = [](const JsonRow& row, Split, FileTask* to) {
    return add_mbpp_row(row, to);
  };
  MINKE_TRY(add_set("mbpp", "code/mbpp.jsonl", Split::kTest, add_row, task.get()));
  return task;
}

std::span<const TaskParameter> choice_parameters() {
  static const std::vector<TaskParameter> parameters = {kTestFile, kTrainFile};
  return parameters;
}

Result<std::shared_ptr<const Task>> make_choice(const TaskSettings& settings) {
  return own_files(settings, add_choice_row);
}

std::span<const TaskParameter> jsonl_parameters() {
  static const std::vector<TaskParameter> parameters = {
      kTestFile,
      kTrainFile,
      {.name = "command", .about = "a program that scores answers", .is_text = true}};
  return parameters;
}

Result<std::shared_ptr<const Task>> make_jsonl(const TaskSettings& settings) {
  return own_files(settings, adding_own_rows(settings.text("command")));
}

}  // namespace minke
