#include "train/reject.h"

#include <algorithm>
#include <utility>

#include "tasks/draws.h"
#include "tasks/final_answer.h"
#include "tasks/reward.h"
#include "train/grpo.h"

namespace minke {
namespace {

std::vector<std::string_view> words_of(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  std::vector<std::string_view> words;
  for (size_t at = text.find_first_not_of(kSpace); at != std::string_view::npos;) {
    const size_t end = std::min(text.find_first_of(kSpace, at), text.size());
    words.push_back(text.substr(at, end - at));
    at = text.find_first_not_of(kSpace, end);
  }
  return words;
}

// Hashes of all runs of three words (of the whole where there are fewer).
std::set<uint64_t> trigrams_of(const KeptAnswer& kept) {
  const std::string text = kept.thinking + "\n" + kept.answer;
  const std::vector<std::string_view> words = words_of(text);
  std::set<uint64_t> trigrams;
  for (size_t i = 0; i + 2 < words.size(); ++i) {
    const char* const end = words[i + 2].data() + words[i + 2].size();
    trigrams.insert(stable_hash({words[i].data(), static_cast<size_t>(end - words[i].data())}));
  }
  if (trigrams.empty()) trigrams.insert(stable_hash(text));
  return trigrams;
}

// Jaccard's: what is in both, of what is in either.
double likeness(const std::set<uint64_t>& a, const std::set<uint64_t>& b) {
  const auto both = std::ranges::count_if(a, [&](uint64_t hash) { return b.contains(hash); });
  return static_cast<double>(both) / static_cast<double>(std::ssize(a) + std::ssize(b) - both);
}

// The first stays; then each time the one that is least like any that was chosen.
std::vector<KeptAnswer> most_diverse(std::vector<KeptAnswer> from, size_t count) {
  std::vector<KeptAnswer> chosen;
  std::vector<std::set<uint64_t>> trigrams;
  trigrams.reserve(from.size());
  for (const KeptAnswer& kept : from) trigrams.push_back(trigrams_of(kept));
  std::vector<double> nearest(from.size(), 0.0);
  std::vector<bool> used(from.size(), false);
  for (size_t next = 0; chosen.size() < count && chosen.size() < from.size();) {
    used[next] = true;
    chosen.push_back(std::move(from[next]));
    size_t best = from.size();
    for (size_t i = 0; i < from.size(); ++i) {
      if (used[i]) continue;
      nearest[i] = std::max(nearest[i], likeness(trigrams[i], trigrams[next]));
      if (best == from.size() || nearest[i] < nearest[best]) best = i;
    }
    next = best;
  }
  return chosen;
}

}  // namespace

Result<SampledBatch> sample_answers(Model& model, Ops& ops, const ChatText& text, const Task& task,
                                    const AskOptions& options, int64_t batch, int64_t problems) {
  std::vector<RolloutPrompt> prompts;
  std::vector<ChatPrompt> asked;
  std::vector<Problem> of_task;
  SampledBatch sampled;
  const int64_t first = batch * options.prompts;
  for (int64_t i = first; i < std::min(first + options.prompts, problems); ++i) {
    const auto number = static_cast<uint64_t>(i);
    const uint64_t index = shuffled(task.size(Split::kTrain), options.seed, number);
    of_task.push_back(task.problem(Split::kTrain, index));
    const std::string question =
        of_task.back().prompt + (options.hint.empty() ? "" : "\n" + options.hint);
    MINKE_ASSIGN(ChatPrompt prompt, text.prompt(options.system, question));
    prompts.push_back({.tokens = prompt.tokens, .number = number, .samples = options.samples});
    asked.push_back(std::move(prompt));
    sampled.problems.push_back({.index = index, .answers = {}});
  }
  MINKE_ASSIGN(const std::vector<Rollout> rollouts,
               sample_rollouts(model, ops, prompts,
                               {.temperature = options.temperature,
                                .tokens_max = options.tokens_max,
                                .seed = options.seed,
                                .sequences_max = options.sequences_max,
                                .end_tokens = text.end_tokens(),
                                .is_stopped = options.is_stopped}));
  if (rollouts.empty()) return SampledBatch{};
  for (const Rollout& rollout : rollouts) {
    ChatAnswer read = text.read(asked[rollout.prompt], rollout.answer());
    const Verdict verdict = task.check(of_task[rollout.prompt], read.answer);
    sampled.tokens += rollout.answer_tokens();
    sampled.problems[rollout.prompt].answers.push_back(
        {.thinking = std::move(read.thinking),
         .answer = std::move(read.answer),
         .tokens = rollout.answer_tokens(),
         .thinking_closed = read.thinking_closed,
         .truncated = rollout.truncated,
         .correct = verdict.correct && !rollout.truncated});
  }
  sampled.passes = sampled_size(rollouts);
  return sampled;
}

bool AnswerFilter::passes(const Problem& problem, const SampledAnswer& answer, KeptAnswer& kept) {
  if (answer.tokens < rules_.tokens_min || answer.tokens > rules_.tokens_max) {
    ++counts_.of_wrong_length;
    return false;
  }
  if (script_consistency(problem.prompt, answer.thinking + "\n" + answer.answer) <
      rules_.language) {
    ++counts_.of_other_language;
    return false;
  }
  if (rules_.as_thinking && !answer.thinking_closed) {
    auto worked = worked_answer(answer.answer);
    // What is left of the answer has to be right by itself.
    if (!worked || !task_.check(problem, worked->answer).correct) {
      ++counts_.without_a_way;
      return false;
    }
    kept.thinking = std::move(worked->way);
    kept.answer = std::move(worked->answer);
  } else {
    kept.thinking = trimmed(answer.thinking);
    if (kept.thinking.empty()) kept.thinking = rules_.thought;
    kept.answer = trimmed(answer.answer);
  }
  std::string text = kept.prompt;
  for (const std::string_view word : words_of(kept.thinking)) text.append(" ").append(word);
  for (const std::string_view word : words_of(kept.answer)) text.append(" ").append(word);
  if (!seen_.insert(stable_hash(text)).second) {
    ++counts_.twice;
    return false;
  }
  return true;
}

std::vector<KeptAnswer> AnswerFilter::choose(const SampledProblem& sampled) {
  const Problem problem = task_.problem(Split::kTrain, sampled.index);
  std::vector<const SampledAnswer*> right;
  for (const SampledAnswer& answer : sampled.answers) {
    if (answer.correct) right.push_back(&answer);
  }
  counts_.answers += std::ssize(sampled.answers);
  counts_.right += std::ssize(right);
  if (rules_.prefer != KeepRules::Prefer::kFirst) {
    std::ranges::stable_sort(right, {}, &SampledAnswer::tokens);
  }
  std::vector<KeptAnswer> kept;
  for (const SampledAnswer* answer : right) {
    KeptAnswer one = {
        .problem = problem.id, .prompt = problem.prompt, .thinking = {}, .answer = {}};
    if (passes(problem, *answer, one)) kept.push_back(std::move(one));
  }
  const auto count = static_cast<size_t>(rules_.each_max);
  if (kept.size() > count) {
    counts_.too_many += std::ssize(kept) - rules_.each_max;
    if (rules_.prefer == KeepRules::Prefer::kDiverse) kept = most_diverse(std::move(kept), count);
    kept.resize(count);
  }
  counts_.kept += std::ssize(kept);
  return kept;
}

}  // namespace minke
