// What a task is told by its name: "countdown:numbers=3,max=19" is the task countdown with two
// parameters, the others as they usually are.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace minke {

struct TaskParameter {
  std::string_view name;
  std::string_view about;
  int64_t usual = 0;  // of a choice: its index
  int64_t min = 0;
  int64_t max = 0;
  std::vector<std::string_view> choices = {};  // empty: a number
  bool is_text = false;                        // any text without a comma; usually empty
};

class TaskSettings {
 public:
  // `text` is what stands behind the colon, and may be empty. Fails with the parameters that the
  // task knows when one is unknown, out of range or given twice.
  static Result<TaskSettings> parse(std::string_view task,
                                    std::span<const TaskParameter> parameters,
                                    std::string_view text);

  int64_t number(std::string_view parameter) const;
  const std::string& text(std::string_view parameter) const;
  bool chosen(std::string_view parameter, std::string_view choice) const;
  // The task's name with what is not as usual.
  const std::string& spec() const { return spec_; }

 private:
  std::string spec_;
  std::map<std::string_view, int64_t> numbers_;  // and indices of choices
  std::map<std::string_view, std::string> texts_;
  std::span<const TaskParameter> parameters_;
};

// "numbers=3 (2 to 6: how many), form=chat|compact (...)".
std::string describe(std::span<const TaskParameter> parameters);

}  // namespace minke
