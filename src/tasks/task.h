// A task: problems with answers that a rule can check. Training draws problems and is paid by the
// verdicts, evaluation counts them. A task has no state: all its functions may be called from any
// thread, and the same arguments give the same result on every machine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "minke/result.h"

namespace minke {

struct Problem {
  std::string id;        // says which it is among the task's: "countdown/test/17"
  std::string prompt;    // the user's message
  std::string expected;  // what check() compares with, in the task's own form
};

// What is to be said of the answer that follows the thinking.
struct Verdict {
  bool well_formed = false;  // an answer in the form that was asked for, right or wrong
  bool correct = false;      // implies well_formed
  std::string why;           // one line for a person who asks why not; empty when correct
  // In [0, 1], where a task grades more finely than right and wrong.
  std::optional<double> score = std::nullopt;
};

// A solution worked out step by step, as a person would write it down.
struct SolvedProblem {
  std::string thinking;
  std::string answer;
  bool correct = true;  // a solver may be told to give up or to overlook what it has found
};

// Problems of the two splits have nothing in common, whatever the indices.
enum class Split { kTrain, kTest };

class Task {
 public:
  virtual ~Task() = default;
  virtual std::string_view name() const = 0;
  // How many there are; generators have as many as an index can count, and say kEndless.
  static constexpr uint64_t kEndless = UINT64_MAX;
  virtual uint64_t size(Split split) const = 0;
  // The index-th problem of a split, index < size(split).
  virtual Problem problem(Split split, uint64_t index) const = 0;
  // `answer` is what the model said after its thinking.
  virtual Verdict check(const Problem& problem, std::string_view answer) const = 0;
  // A solution, chosen by the seed among the solver's ways to write one; fails with a sentence for
  // tasks that cannot be solved by a program.
  virtual Result<SolvedProblem> solve(const Problem& problem, uint64_t seed) const = 0;
};

}  // namespace minke
