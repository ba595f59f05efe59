// An evaluation: k samples of each of a task's problems, judged, written down as they come, and
// summed up. Who answers is a function, so that all of it is tested without a model.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "eval/sample_file.h"
#include "eval/statistics.h"
#include "tasks/task.h"

namespace minke {

struct EvalRequest {
  Split split = Split::kTest;
  int64_t samples = 1;       // of each problem
  int64_t problems_max = 0;  // 0: all of a file's, 200 of a generator's
  int64_t running_max = 16;  // samples that are asked at a time
  uint64_t seed = 0;         // of the choice of problems and of the samples
};

// What came of one question.
struct EvalAnswer {
  std::string thinking, answer;
  bool thinking_closed = true;
  bool truncated = false;
  int64_t tokens = 0;
};
using OnAnswer = std::function<void(Result<EvalAnswer>)>;
// Asks and returns; `done` is called once, from any thread. The seed is the sample's own.
using Ask = std::function<void(const Problem& problem, uint64_t seed, OnAnswer done)>;

// Distinct problems of a split, in an order that the seed decides. Fewer than asked for where there
// are no more.
std::vector<Problem> choose_problems(const Task& task, const EvalRequest& request);

// Asks what `file` does not have yet, in the order of problems, and adds it. `progress` is called
// after each sample, with what is there so far; false ends the evaluation there (and is no error).
// An answer that failed ends it too, with its error. Returns when nothing is being asked any more.
Status evaluate(const Task& task, const std::vector<Problem>& problems, const EvalRequest& request,
                const Ask& ask, SampleFile& file,
                const std::function<bool(std::span<const EvalSample>)>& progress);

// What the task says of an answer. One that was cut off has not been given, whatever stands in it.
EvalSample judged(const Task& task, const Problem& problem, int64_t sample, EvalAnswer answer);

struct EvalSummary {
  int64_t problems = 0;  // with all of their samples
  int64_t samples = 0;
  Share pass_at_1;
  std::map<int64_t, Share> pass_at_k;  // k = 2, 4, 8, ... and the number of samples
  std::optional<Share> cons_at_k;      // where answers can be voted on, and there are several
  Share well_formed;                   // the thinking closed and an answer in the task's form
  Share truncated;
  double tokens_mean = 0;
};

// Of the problems that have at least `samples` samples; of more, the first count.
EvalSummary summarise(std::span<const EvalSample> samples, int64_t samples_of_each);

}  // namespace minke
