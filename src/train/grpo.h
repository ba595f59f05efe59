// Group relative policy optimisation: for each question a group of answers is sampled from the
// model itself, rules pay them, and the model moves towards those that were paid more than their
// group's mean. The very kernels that sampled compute the policy that is trained, so that before
// the first update of a step log p is log p_old to the last bit (GrpoReport::logprob_drift is 0).
//
// A step is a function of (options.seed, step, weights, optimiser): a run that was stopped goes on
// as if it had not been.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "models/forward_work.h"
#include "tasks/reward.h"
#include "tasks/task.h"
#include "train/chat_text.h"
#include "train/policy.h"
#include "train/rollout.h"
#include "train/trainer.h"

namespace minke {

struct GrpoOptions {
  PolicyOptions policy;
  int64_t prompts = 48;  // groups a step
  int64_t samples = 16;  // answers a group
  double temperature = 1.0;
  int64_t tokens_max = 256;     // of an answer
  int64_t minibatches = 1;      // updates an epoch
  int64_t epochs = 1;           // over the same answers
  int64_t batch_tokens = 8192;  // of one forward and backward pass
  int64_t sequences_max = 256;  // answers sampled at a time
  // Dynamic sampling (DAPO): so many more rounds of prompts until there are `prompts` groups whose
  // rewards differ. Groups that do not differ never count.
  int64_t refill_rounds = 0;
  bool skip_truncated = false;  // answers cut by tokens_max teach nothing
  std::string system;           // message before each question
  uint64_t seed = 1;
};

// One answer, for people to look at.
struct GrpoSample {
  std::string prompt;
  std::string text;  // the whole answer
  double reward = 0.0;
  bool correct = false;
};

struct GrpoReport {
  // Of all answers that were sampled.
  int64_t answers = 0;
  double reward = 0.0;
  double accuracy = 0.0;     // correct and not cut
  double format = 0.0;       // thinking closed and a well-formed answer
  double solved = 0.0;       // share of groups with a correct answer
  double tokens_mean = 0.0;  // of an answer
  double truncated = 0.0;
  int64_t groups_used = 0;  // whose rewards differ
  // Of the training.
  double loss = 0.0;
  double kl = 0.0;
  double entropy = 0.0;        // nats a token, in the first epoch
  double clipped = 0.0;        // share of tokens, all epochs
  double logprob_drift = 0.0;  // largest |log p - log p_old| before the first update: 0
  double gradient_norm = 0.0;  // of the last update
  int64_t updates = 0;
  int64_t trained_tokens = 0;  // prompts included
  int64_t sampled_tokens = 0;
  PassSize trained;  // forward and back
  PassSize read;     // forward alone: answers as they were sampled, and a reference's look at them
  double sample_seconds = 0.0;
  double reward_seconds = 0.0;
  double train_seconds = 0.0;
  std::vector<GrpoSample> samples;  // a few
};

class Grpo {
 public:
  // All outlive the object; `reference` may be null where options.policy.kl is 0. It has the
  // trainer's architecture; of an adapter's training it is the model itself, without the adapter.
  Grpo(Trainer& trainer, const ChatText& text, std::shared_ptr<const Task> task,
       const RewardRule& rule, GrpoOptions options, Model* reference = nullptr);

  // Samples, pays, updates. `learning_rate` is for each of its updates. Fails where the model's
  // numbers are no numbers any more, where memory is short, or where a question cannot be asked.
  Result<GrpoReport> step(int64_t step, double learning_rate);

 private:
  struct Answer;
  struct Group;

  Result<std::vector<Group>> sample(int64_t step, GrpoReport& report);
  Result<std::vector<Group>> sample_round(int64_t step, int64_t round, int64_t count,
                                          GrpoReport& report);
  void pay(std::vector<Group>& groups);
  void count(const std::vector<Group>& groups, GrpoReport& report);
  Status train(std::vector<Group>& groups, int64_t step, double learning_rate, GrpoReport& report);
  Status update(std::span<Answer* const> answers, double learning_rate, bool is_first,
                GrpoReport& report);
  Status refer(std::span<Answer* const> answers, std::span<const TrainSequence> sequences);
  Result<TokenLoss> loss_of(std::span<Answer* const> answers, const TrainBatch& batch,
                            const Tensor& logits, int64_t all_answers, int64_t all_tokens,
                            bool is_first, GrpoReport& report);

  Trainer& trainer_;
  const ChatText& text_;
  std::shared_ptr<const Task> task_;
  const RewardRule& rule_;
  GrpoOptions options_;
  Model* reference_;
  std::vector<int32_t> end_tokens_;
};

// The index-th number of a shuffled 0 .. size - 1, an order of its own for each epoch; of an
// endless task (Task::kEndless) the index itself. A pure function of its arguments.
uint64_t shuffled(uint64_t size, uint64_t seed, uint64_t index);

}  // namespace minke
