// Tasks whose problems are made up from random numbers.
//
// Train and test are disjoint by construction: an instance has a canonical form, the same however
// it is worded or ordered and whatever the task's parameters are, and the form's hash says in which
// split the instance is (one of ten is a test). A split's index-th problem is the first that is
// drawn from the index's own random numbers and belongs to the split; so an instance may come again
// under another index, and never in the other split.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "tasks/draws.h"
#include "tasks/task.h"
#include "tasks/task_settings.h"

namespace minke {

Split split_of(std::string_view canonical);

class GeneratedTask : public Task {
 public:
  std::string_view name() const override { return spec_; }
  uint64_t size(Split) const override { return kEndless; }
  Problem problem(Split split, uint64_t index) const override;
  // The final answer is a number. Tasks with other answers have a check of their own.
  Verdict check(const Problem& problem, std::string_view answer) const override;
  Result<SolvedProblem> solve(const Problem& problem, uint64_t seed) const override;

  // Fails when the parameters leave a split (nearly) empty.
  Status check_splits() const;

 protected:
  struct Instance {
    std::string canonical;  // begins with the family's name
    std::string prompt;
    std::string expected;  // all that solving takes
  };
  GeneratedTask(std::string_view family, std::string spec)
      : family_(family), spec_(std::move(spec)) {}

  // Nothing when what was drawn is no instance; then it is drawn again.
  virtual std::optional<Instance> draw(Draws& draws) const = 0;
  virtual SolvedProblem work_out(const Problem& problem, Draws& draws) const = 0;

 private:
  std::optional<Instance> find(Split split, uint64_t index, int64_t tries_max) const;

  std::string_view family_;
  std::string spec_;
};

// What solvers read a prompt of their own with. Between the first `before` and the next `after`
// behind it, which are there; and an integer that is all of a text.
std::string_view part_between(std::string_view text, std::string_view before,
                              std::string_view after);
int64_t to_integer(std::string_view text);

// "Answer: x", the line that the prompts of generated tasks ask for.
std::string answer_line(std::string_view answer);

}  // namespace minke
