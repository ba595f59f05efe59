// Rejection sampling: several answers to each of a task's problems, of which the task's check lets
// some pass, and rules choose among those. What is kept is data to learn from.
//
// What is asked is a function of (seed, number of the batch, model); what is kept a function of the
// answers. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "tasks/task.h"
#include "train/chat_text.h"
#include "train/rollout.h"

namespace minke {

struct AskOptions {
  int64_t prompts = 16;  // problems a batch
  int64_t samples = 4;   // answers to each
  double temperature = 1.0;
  int64_t tokens_max = 512;
  int64_t sequences_max = 64;
  std::string system;
  std::string hint;  // behind each question when it is asked, and nowhere else
  uint64_t seed = 1;
  std::function<bool()> is_stopped;
};

struct SampledAnswer {
  std::string thinking;
  std::string answer;
  int64_t tokens = 0;
  bool thinking_closed = false;
  bool truncated = false;
  bool correct = false;  // and not truncated
};
struct SampledProblem {
  uint64_t index = 0;  // in the task's training split
  std::vector<SampledAnswer> answers;
};
struct SampledBatch {
  std::vector<SampledProblem> problems;
  PassSize passes;
  int64_t tokens = 0;  // of all answers
};

// Asks `model` the problems `batch` · prompts and on, in the order of shuffled(), but not beyond
// the `problems`-th. No problems come back where it was stopped on the way.
Result<SampledBatch> sample_answers(Model& model, Ops& ops, const ChatText& text, const Task& task,
                                    const AskOptions& options, int64_t batch, int64_t problems);

struct KeepRules {
  enum class Prefer : uint8_t { kShorter, kDiverse, kFirst };
  int64_t each_max = 1;  // answers of a problem
  Prefer prefer = Prefer::kShorter;
  int64_t tokens_min = 1;
  int64_t tokens_max = 1 << 20;
  double language = 0.0;  // least share of the letters in the question's script
  // The worked answer becomes the thinking, and the final answer stands behind it.
  bool as_thinking = false;
  std::string thought;  // stands for the thinking of answers that have none
};

struct KeptAnswer {
  std::string problem;  // its id
  std::string prompt;
  std::string thinking;
  std::string answer;
};

// Chooses problem by problem. A text that passed once does not pass again, spaces aside.
class AnswerFilter {
 public:
  AnswerFilter(const Task& task, KeepRules rules) : task_(task), rules_(rules) {}

  std::vector<KeptAnswer> choose(const SampledProblem& sampled);
  // Right answers that were not kept, by what they fell by.
  struct Counts {
    int64_t answers = 0;
    int64_t right = 0;
    int64_t kept = 0;
    int64_t of_wrong_length = 0;
    int64_t of_other_language = 0;
    int64_t without_a_way = 0;  // that could not be made thinking
    int64_t twice = 0;
    int64_t too_many = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  bool passes(const Problem& problem, const SampledAnswer& answer, KeptAnswer& kept);

  const Task& task_;
  KeepRules rules_;
  Counts counts_;
  std::set<uint64_t> seen_;  // hashes of prompts with their answers
};

}  // namespace minke
