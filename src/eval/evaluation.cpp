#include "eval/evaluation.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <string_view>
#include <utility>

#include "tasks/draws.h"
#include "tasks/final_answer.h"
#include "tasks/math_answer.h"

namespace minke {

namespace {

constexpr int64_t kGeneratedProblems = 200;

struct Finished {
  size_t problem = 0;
  int64_t sample = 0;
  Result<EvalAnswer> answer;
};

// What answering threads hand to the one that judges.
class FinishedQueue {
 public:
  void push(Finished finished) {
    const std::lock_guard lock(mutex_);
    items_.push_back(std::move(finished));
    changed_.notify_one();
  }
  Finished pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !items_.empty(); });
    Finished finished = std::move(items_.front());
    items_.pop_front();
    return finished;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Finished> items_;
};

uint64_t sample_seed(uint64_t seed, const Problem& problem, int64_t sample) {
  const auto words = philox(seed, stable_hash(problem.id), static_cast<uint64_t>(sample));
  return uint64_t{words[0]} << 32 | words[1];
}

// The samples of a problem that agree with each other, by their final answers.
struct Votes {
  std::string_view answer;
  int64_t count = 0;
  bool correct = false;
};

// Whether the answer that most samples give is right; of equals, the one that came first. Nothing
// where no sample has a final answer.
std::optional<bool> consensus(const std::vector<const EvalSample*>& samples) {
  std::vector<Votes> votes;
  for (const EvalSample* const sample : samples) {
    if (sample->truncated) continue;
    const auto answer = final_answer(sample->answer);
    if (!answer) continue;
    const auto known = std::ranges::find_if(votes, [&](const Votes& vote) {
      return vote.answer == *answer || same_math(vote.answer, *answer);
    });
    if (known == votes.end()) {
      votes.push_back({.answer = *answer, .count = 1, .correct = sample->correct});
    } else {
      ++known->count;
    }
  }
  if (votes.empty()) return std::nullopt;
  return std::ranges::max_element(votes, {}, &Votes::count)->correct;
}

// 2, 4, 8, ... and `last` itself.
std::vector<int64_t> counts_to(int64_t last) {
  std::vector<int64_t> counts;
  for (int64_t k = 2; k < last; k *= 2) counts.push_back(k);
  if (last > 1) counts.push_back(last);
  return counts;
}

double share_of(const std::vector<const EvalSample*>& samples, bool EvalSample::* flag) {
  const auto count =
      std::ranges::count_if(samples, [&](const EvalSample* sample) { return sample->*flag; });
  return static_cast<double>(count) / static_cast<double>(samples.size());
}

}  // namespace

EvalSample judged(const Task& task, const Problem& problem, int64_t sample, EvalAnswer answer) {
  Verdict verdict = task.check(problem, answer.answer);
  EvalSample judged = {.problem = problem.id,
                       .sample = sample,
                       .prompt = problem.prompt,
                       .expected = problem.expected,
                       .thinking = std::move(answer.thinking),
                       .answer = std::move(answer.answer),
                       .thinking_closed = answer.thinking_closed,
                       .truncated = answer.truncated,
                       .well_formed = verdict.well_formed,
                       .correct = verdict.correct,
                       .why = std::move(verdict.why),
                       .tokens = answer.tokens};
  // Whatever stands in an answer that was cut off: it has not been given.
  if (judged.truncated && judged.correct) judged.why = "cut off";
  judged.correct = judged.correct && !judged.truncated;
  judged.well_formed = judged.well_formed && judged.thinking_closed && !judged.truncated;
  return judged;
}

std::vector<Problem> choose_problems(const Task& task, const EvalRequest& request) {
  const uint64_t size = task.size(request.split);
  std::vector<Problem> problems;
  if (size != Task::kEndless) {
    std::vector<uint64_t> order(size);
    for (uint64_t i = 0; i < size; ++i) order[i] = i;
    // All of them need no choice, and stay in their order.
    if (request.problems_max > 0 && static_cast<uint64_t>(request.problems_max) < size) {
      Draws draws(request.seed, stable_hash(task.name()));
      draws.shuffle(std::span(order));
      order.resize(static_cast<size_t>(request.problems_max));
    }
    for (const uint64_t index : order) problems.push_back(task.problem(request.split, index));
    return problems;
  }
  const int64_t count = request.problems_max > 0 ? request.problems_max : kGeneratedProblems;
  std::set<std::string> seen;
  // Indices of different seeds do not meet.
  for (int64_t tries = 0; std::ssize(problems) < count && tries < 20 * count + 1000; ++tries) {
    Problem problem =
        task.problem(request.split, (request.seed << 32) + static_cast<uint64_t>(tries));
    if (seen.insert(problem.expected + "\n" + problem.prompt).second) {
      problems.push_back(std::move(problem));
    }
  }
  return problems;
}

Status evaluate(const Task& task, const std::vector<Problem>& problems, const EvalRequest& request,
                const Ask& ask, SampleFile& file,
                const std::function<bool(std::span<const EvalSample>)>& progress) {
  std::set<std::pair<std::string_view, int64_t>> known;
  for (const EvalSample& sample : file.samples()) known.emplace(sample.problem, sample.sample);
  std::vector<std::pair<size_t, int64_t>> waiting;
  for (size_t problem = 0; problem < problems.size(); ++problem) {
    for (int64_t sample = 0; sample < request.samples; ++sample) {
      if (!known.contains({problems[problem].id, sample})) waiting.emplace_back(problem, sample);
    }
  }
  known.clear();  // its views end with the file's next sample
  FinishedQueue queue;
  Status status;
  bool goes_on = progress(file.samples());
  int64_t running = 0;
  for (size_t next = 0; (goes_on && next < waiting.size()) || running > 0;) {
    while (goes_on && next < waiting.size() && running < request.running_max) {
      const auto [problem, sample] = waiting[next++];
      ++running;
      ask(problems[problem], sample_seed(request.seed, problems[problem], sample),
          [&queue, problem, sample](Result<EvalAnswer> answer) {
            queue.push({.problem = problem, .sample = sample, .answer = std::move(answer)});
          });
    }
    Finished finished = queue.pop();
    --running;
    if (!finished.answer) {
      if (status) status = std::unexpected(std::move(finished.answer).error());
      goes_on = false;
      continue;
    }
    const Status added = file.add(
        judged(task, problems[finished.problem], finished.sample, *std::move(finished.answer)));
    if (!added && status) status = added;
    goes_on = goes_on && added && progress(file.samples());
  }
  return status;
}

EvalSummary summarise(std::span<const EvalSample> samples, int64_t samples_of_each) {
  std::map<std::string_view, std::vector<const EvalSample*>> by_problem;
  for (const EvalSample& sample : samples) {
    if (sample.sample < samples_of_each) by_problem[sample.problem].push_back(&sample);
  }
  EvalSummary summary;
  std::vector<double> right, well_formed, truncated, agreed;
  std::map<int64_t, std::vector<double>> passed;
  double tokens = 0;
  for (auto& [problem, of_problem] : by_problem) {
    if (std::ssize(of_problem) < samples_of_each) continue;
    std::ranges::sort(of_problem, {}, &EvalSample::sample);
    right.push_back(share_of(of_problem, &EvalSample::correct));
    well_formed.push_back(share_of(of_problem, &EvalSample::well_formed));
    truncated.push_back(share_of(of_problem, &EvalSample::truncated));
    const auto count = std::ranges::count_if(of_problem, &EvalSample::correct);
    for (const int64_t k : counts_to(samples_of_each)) {
      passed[k].push_back(pass_at_k(samples_of_each, count, k));
    }
    if (const auto vote = consensus(of_problem)) agreed.push_back(*vote ? 1 : 0);
    for (const EvalSample* const sample : of_problem) tokens += static_cast<double>(sample->tokens);
  }
  summary.problems = std::ssize(right);
  summary.samples = summary.problems * samples_of_each;
  summary.pass_at_1 = mean_share(right);
  summary.well_formed = mean_share(well_formed);
  summary.truncated = mean_share(truncated);
  for (const auto& [k, values] : passed) summary.pass_at_k[k] = mean_share(values);
  if (samples_of_each > 1 && !agreed.empty()) {
    // A problem on which nobody voted is not agreed on.
    agreed.resize(right.size(), 0);
    summary.cons_at_k = mean_share(agreed);
  }
  if (summary.samples > 0) summary.tokens_mean = tokens / static_cast<double>(summary.samples);
  return summary;
}

}  // namespace minke
