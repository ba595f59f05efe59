#include "train/grpo.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "core/random.h"
#include "train/data/shuffle.h"

namespace minke {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Streams of random numbers under the run's seed, apart from those of answers.
constexpr uint64_t kOrderStream = 0x67727030;
constexpr int64_t kSamplesShown = 4;

uint64_t mixed(uint64_t seed, uint64_t a, uint64_t b) {
  const auto words = philox(seed, a, b);
  return (uint64_t{words[0]} << 32U) | words[1];
}

}  // namespace

uint64_t shuffled(uint64_t size, uint64_t seed, uint64_t index) {
  if (size == Task::kEndless) return index;
  return Shuffle(seed, index / size, size).at(index % size);
}

struct Grpo::Answer {
  Rollout rollout;
  std::vector<double> reference;  // log p of the reference model, where there is one
  double reward = 0.0;
  double advantage = 0.0;
  bool correct = false;
  bool formed = false;
  bool counts = true;  // in the loss
};

struct Grpo::Group {
  Problem problem;
  ChatPrompt prompt;
  std::vector<Answer> answers;
  bool differs() const {
    return std::ranges::any_of(answers,
                               [&](const Answer& a) { return a.reward != answers[0].reward; });
  }
};

Grpo::Grpo(Trainer& trainer, const ChatText& text, std::shared_ptr<const Task> task,
           const RewardRule& rule, GrpoOptions options, Model* reference)
    : trainer_(trainer),
      text_(text),
      task_(std::move(task)),
      rule_(rule),
      options_(std::move(options)),
      reference_(reference),
      end_tokens_(text.end_tokens()) {
  CHECK(options_.policy.kl == 0.0 || reference_ != nullptr);
}

Result<GrpoReport> Grpo::step(int64_t step, double learning_rate) {
  GrpoReport report;
  MINKE_ASSIGN(std::vector<Group> groups, sample(step, report));
  MINKE_TRY(train(groups, step, learning_rate, report));
  return report;
}

Result<std::vector<Grpo::Group>> Grpo::sample(int64_t step, GrpoReport& report) {
  std::vector<Group> used;
  for (int64_t round = 0; round <= options_.refill_rounds; ++round) {
    const int64_t wanted = options_.prompts - std::ssize(used);
    if (wanted <= 0) break;
    MINKE_ASSIGN(std::vector<Group> groups, sample_round(step, round, wanted, report));
    const auto begin = Clock::now();
    pay(groups);
    count(groups, report);
    report.reward_seconds += seconds_since(begin);
    for (Group& group : groups) {
      if (group.differs()) used.push_back(std::move(group));
    }
  }
  const auto all = static_cast<double>(report.answers);
  for (double* sum :
       {&report.reward, &report.accuracy, &report.format, &report.tokens_mean, &report.truncated}) {
    *sum /= all;
  }
  report.solved /= all / static_cast<double>(options_.samples);
  report.groups_used = std::ssize(used);
  return used;
}

Result<std::vector<Grpo::Group>> Grpo::sample_round(int64_t step, int64_t round, int64_t count,
                                                    GrpoReport& report) {
  std::vector<Group> groups;
  std::vector<RolloutPrompt> prompts;
  const auto rounds = static_cast<uint64_t>(options_.refill_rounds + 1);
  const uint64_t first = (static_cast<uint64_t>(step) * rounds + static_cast<uint64_t>(round)) *
                         static_cast<uint64_t>(options_.prompts);
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t number = first + static_cast<uint64_t>(i);
    const uint64_t index = shuffled(task_->size(Split::kTrain), options_.seed, number);
    Group& group = groups.emplace_back();
    group.problem = task_->problem(Split::kTrain, index);
    MINKE_ASSIGN(group.prompt, text_.prompt(options_.system, group.problem.prompt));
    prompts.push_back(
        {.tokens = group.prompt.tokens, .number = number, .samples = options_.samples});
  }
  const auto begin = Clock::now();
  MINKE_ASSIGN(std::vector<Rollout> rollouts,
               sample_rollouts(trainer_.model(), trainer_.policy_ops(), prompts,
                               {.temperature = options_.temperature,
                                .tokens_max = options_.tokens_max,
                                .seed = options_.seed,
                                .sequences_max = options_.sequences_max,
                                .end_tokens = end_tokens_}));
  report.sample_seconds += seconds_since(begin);
  report.read += sampled_size(rollouts);
  for (Rollout& rollout : rollouts) {
    report.sampled_tokens += rollout.answer_tokens();
    groups[rollout.prompt].answers.push_back({.rollout = std::move(rollout)});
  }
  return groups;
}

void Grpo::pay(std::vector<Group>& groups) {
  trainer_.context().pool.parallel_for(std::ssize(groups), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Group& group = groups[static_cast<size_t>(i)];
      std::vector<double> rewards;
      for (Answer& answer : group.answers) {
        const Rollout& rollout = answer.rollout;
        const ChatAnswer read = text_.read(group.prompt, rollout.answer());
        const Verdict verdict = task_->check(group.problem, read.answer);
        answer.reward = rule_
                            .of({.prompt = group.problem.prompt,
                                 .thinking = read.thinking,
                                 .answer = read.answer,
                                 .thinking_closed = read.thinking_closed,
                                 .truncated = rollout.truncated,
                                 .tokens = rollout.answer_tokens(),
                                 .tokens_max = options_.tokens_max,
                                 .verdict = verdict})
                            .total;
        answer.correct = verdict.correct && !rollout.truncated;
        answer.formed = verdict.well_formed && read.thinking_closed && !rollout.truncated;
        answer.counts = !(options_.skip_truncated && rollout.truncated);
        rewards.push_back(answer.reward);
      }
      const std::vector<double> advantages =
          group_advantages(rewards, options_.policy.divide_by_deviation);
      for (size_t k = 0; k < advantages.size(); ++k) {
        group.answers[k].advantage = advantages[k];
      }
    }
  });
}

void Grpo::count(const std::vector<Group>& groups, GrpoReport& report) {
  for (const Group& group : groups) {
    for (const Answer& answer : group.answers) {
      ++report.answers;
      report.reward += answer.reward;
      report.accuracy += answer.correct ? 1.0 : 0.0;
      report.format += answer.formed ? 1.0 : 0.0;
      report.tokens_mean += static_cast<double>(answer.rollout.answer_tokens());
      report.truncated += answer.rollout.truncated ? 1.0 : 0.0;
    }
    report.solved +=
        std::ranges::any_of(group.answers, [](const Answer& a) { return a.correct; }) ? 1.0 : 0.0;
    if (std::ssize(report.samples) < kSamplesShown) {
      const Answer& first = group.answers.front();
      report.samples.push_back({.prompt = group.problem.prompt,
                                .text = text_.shown(first.rollout.answer()),
                                .reward = first.reward,
                                .correct = first.correct});
    }
  }
}

Status Grpo::train(std::vector<Group>& groups, int64_t step, double learning_rate,
                   GrpoReport& report) {
  const auto begin = Clock::now();
  std::vector<Answer*> answers;
  for (Group& group : groups) {
    for (Answer& answer : group.answers) {
      if (answer.counts) answers.push_back(&answer);
    }
  }
  const auto all = std::ssize(answers);
  if (all == 0) return {};
  int64_t first_tokens = 0;
  for (int64_t epoch = 0; epoch < options_.epochs; ++epoch) {
    const auto at = static_cast<uint64_t>(step * options_.epochs + epoch);
    for (int64_t i = all - 1; i > 0; --i) {
      const auto words =
          philox(options_.seed, mixed(options_.seed, kOrderStream, at), static_cast<uint64_t>(i));
      std::swap(answers[static_cast<size_t>(i)], answers[words[0] % static_cast<size_t>(i + 1)]);
    }
    for (int64_t part = 0; part < options_.minibatches; ++part) {
      const int64_t from = all * part / options_.minibatches;
      const int64_t to = all * (part + 1) / options_.minibatches;
      if (from == to) continue;
      const bool is_first = epoch == 0 && part == 0;
      const auto own =
          std::span(answers).subspan(static_cast<size_t>(from), static_cast<size_t>(to - from));
      if (epoch == 0) {
        for (const Answer* answer : own) first_tokens += answer->rollout.answer_tokens();
      }
      MINKE_TRY(update(own, learning_rate, is_first, report));
    }
  }
  const auto tokens = static_cast<double>(std::max<int64_t>(first_tokens, 1));
  const auto epochs = static_cast<double>(options_.epochs);
  report.entropy /= tokens * epochs;
  report.kl /= tokens * epochs;
  report.clipped /= tokens * epochs;
  if (report.updates > 0) report.loss /= static_cast<double>(report.updates);
  report.train_seconds = seconds_since(begin);
  return {};
}

Status Grpo::update(std::span<Answer* const> answers, double learning_rate, bool is_first,
                    GrpoReport& report) {
  int64_t all_tokens = 0;
  for (const Answer* answer : answers) all_tokens += answer->rollout.answer_tokens();
  // Of like lengths together, so that batches are full whatever the lengths.
  for (size_t from = 0; from < answers.size();) {
    size_t to = from;
    int64_t tokens = 0;
    while (to < answers.size()) {
      const auto length = std::ssize(answers[to]->rollout.tokens);
      if (to > from && tokens + length > options_.batch_tokens) break;
      tokens += length;
      ++to;
    }
    const auto own = answers.subspan(from, to - from);
    std::vector<TrainSequence> sequences;
    for (const Answer* answer : own) {
      sequences.push_back(
          {.tokens = answer->rollout.tokens, .first_target = answer->rollout.prompt_tokens});
    }
    PassSize size;
    for (const Answer* answer : own) {
      size.add_rows(0, std::ssize(answer->rollout.tokens) - 1);
      size.logit_rows += answer->rollout.answer_tokens();
    }
    report.trained += size;
    if (options_.policy.kl > 0.0) {
      MINKE_TRY(refer(own, sequences));
      report.read += size;
    }
    MINKE_ASSIGN(
        const TokenLoss loss,
        trainer_.accumulate(
            sequences,
            [&](const TrainBatch& batch, const Tensor& logits) {
              return loss_of(own, batch, logits, std::ssize(answers), all_tokens, is_first, report);
            },
            static_cast<double>(tokens) / static_cast<double>(std::max<int64_t>(all_tokens, 1))));
    report.trained_tokens += tokens;
    from = to;
  }
  MINKE_ASSIGN(const OptimiserReport step, trainer_.update(learning_rate));
  if (!step.applied) {
    return fail(
        fmt::format("the gradient's norm is {}: the policy has run away; a smaller "
                    "learning rate, or a checkpoint before this step, is the way out",
                    step.gradient_norm));
  }
  report.gradient_norm = step.gradient_norm;
  ++report.updates;
  return {};
}

Status Grpo::refer(std::span<Answer* const> answers, std::span<const TrainSequence> sequences) {
  MINKE_ASSIGN(
      const std::vector<double> logprobs,
      trainer_.logprobs(*reference_, trainer_.base_ops(), sequences, options_.temperature));
  auto next = logprobs.begin();
  for (Answer* answer : answers) {
    const auto end = next + std::ssize(answer->rollout.logprobs);
    answer->reference.assign(next, end);
    next = end;
  }
  return {};
}

Result<TokenLoss> Grpo::loss_of(std::span<Answer* const> answers, const TrainBatch& batch,
                                const Tensor& logits, int64_t all_answers, int64_t all_tokens,
                                bool is_first, GrpoReport& report) {
  // Each row's answer, and its place in it.
  std::vector<std::pair<const Answer*, size_t>> rows;
  for (const Answer* answer : answers) {
    for (size_t i = 0; i < answer->rollout.logprobs.size(); ++i) rows.emplace_back(answer, i);
  }
  CHECK_EQ(rows.size(), batch.targets.size());
  std::vector<double> means;  // each row's answer's mean δ, where one ratio is for all of it
  if (options_.policy.ratio_by_answer) {
    MINKE_ASSIGN(const std::vector<double> now,
                 token_logprobs(trainer_.context(), logits, batch.targets, options_.temperature));
    means.resize(rows.size());
    for (size_t row = 0; row < rows.size();) {
      const size_t count = rows[row].first->rollout.logprobs.size();
      double sum = 0.0;
      for (size_t i = 0; i < count; ++i) {
        sum += now[row + i] - rows[row].first->rollout.logprobs[i];
      }
      std::fill_n(means.begin() + static_cast<std::ptrdiff_t>(row), count,
                  sum / static_cast<double>(count));
      row += count;
    }
  }
  const auto term_of = [&](size_t row, double logprob) {
    const auto& [answer, i] = rows[row];
    const double delta = means.empty() ? logprob - answer->rollout.logprobs[i] : means[row];
    const double reference = answer->reference.empty() ? logprob : answer->reference[i];
    return policy_term(options_.policy, delta, answer->advantage, logprob, reference);
  };
  const auto share_of = [&](size_t row) {
    return policy_weight(options_.policy, std::ssize(rows[row].first->rollout.logprobs),
                         all_answers, all_tokens, options_.tokens_max);
  };
  MINKE_ASSIGN(TokenLoss loss,
               token_loss(
                   trainer_.context(), logits, batch.targets,
                   [&](int64_t row, double logprob) {
                     const auto index = static_cast<size_t>(row);
                     return static_cast<float>(term_of(index, logprob).pull * share_of(index));
                   },
                   options_.temperature));
  for (size_t row = 0; row < rows.size(); ++row) {
    const double logprob = loss.logprobs[row];
    const PolicyTerm term = term_of(row, logprob);
    report.loss += term.loss * share_of(row);
    report.kl += term.kl;
    report.clipped += term.clipped ? 1.0 : 0.0;
    if (is_first) {
      const double drift = std::abs(logprob - rows[row].first->rollout.logprobs[rows[row].second]);
      report.logprob_drift = std::max(report.logprob_drift, drift);
    }
  }
  report.entropy += loss.entropy * static_cast<double>(rows.size());
  return loss;
}

}  // namespace minke
