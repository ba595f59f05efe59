#include "train/rollout.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "engine/loop.h"
#include "engine/model_runner.h"
#include "engine/sampler.h"

namespace minke {
namespace {

// What the loop's thread and the waiting one share.
class Collector {
 public:
  Collector(std::vector<Rollout>& rollouts, double temperature)
      : rollouts_(rollouts), temperature_(temperature), left_(rollouts.size()) {}

  // On the loop's thread, which calls this before it samples the token of that position.
  void note_logits(size_t rollout, std::span<const float> logits) {
    auto sum = sampler_.log_sum_exp(logits, temperature_);
    log_sum_exp_ = sum ? *sum : 0.0;  // the loop's own sampler refuses such logits with a sentence
    logits_ = logits;
    at_ = rollout;
  }
  TokenVerdict take(size_t rollout, int32_t token) {
    CHECK_EQ(at_, rollout);
    rollouts_[rollout].logprobs.push_back(
        Sampler::logprob(logits_, log_sum_exp_, token, temperature_));
    return TokenVerdict::kContinue;
  }
  void done(size_t rollout, Result<Completion> completion) {
    const std::lock_guard lock(mutex_);
    if (completion) {
      Rollout& own = rollouts_[rollout];
      own.truncated = completion->finish == FinishReason::kTokensMax;
      own.tokens.insert(own.tokens.end(), completion->tokens.begin(), completion->tokens.end());
    } else if (!fault_) {
      fault_ = completion.error();
    }
    if (--left_ == 0) all_done_.notify_all();
  }
  // False where it was stopped before all were done.
  Result<bool> wait(const std::function<bool()>& is_stopped) {
    constexpr auto kLook = std::chrono::milliseconds(100);
    std::unique_lock lock(mutex_);
    do {
      if (is_stopped && is_stopped()) return false;
    } while (!all_done_.wait_for(lock, kLook, [&] { return left_ == 0; }));
    if (fault_) return std::unexpected(*fault_);
    return true;
  }

 private:
  std::vector<Rollout>& rollouts_;
  const double temperature_;
  Sampler sampler_;
  std::span<const float> logits_;
  double log_sum_exp_ = 0.0;
  size_t at_ = 0;
  std::mutex mutex_;
  std::condition_variable all_done_;
  size_t left_;
  std::optional<Error> fault_;
};

}  // namespace

Result<std::vector<Rollout>> sample_rollouts(Model& model, Ops& ops,
                                             std::span<const RolloutPrompt> prompts,
                                             const RolloutOptions& options) {
  std::vector<Rollout> rollouts;
  int64_t longest = 0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    longest = std::max(longest, std::ssize(prompts[i].tokens) + options.tokens_max);
    for (int64_t sample = 0; sample < prompts[i].samples; ++sample) {
      rollouts.push_back({.prompt = i,
                          .tokens = prompts[i].tokens,
                          .prompt_tokens = std::ssize(prompts[i].tokens)});
    }
  }
  if (rollouts.empty()) return rollouts;
  const int64_t at_once = std::min(options.sequences_max, std::ssize(rollouts));
  const int64_t pages_each = (longest + kKvPageTokens - 1) / kKvPageTokens + 1;
  const auto pages = static_cast<int32_t>(at_once * pages_each);
  MINKE_ASSIGN(KvStore kv, KvStore::create(model.kv_spec(KvDtype::kBF16), pages));
  LoopOptions loop_options = {.scheduler = {.sequences_max = at_once, .draft_tokens = 0},
                              .context_tokens = longest,
                              .context_max = longest,
                              .vocab_size = model.config().vocab_size,
                              .end_tokens = options.end_tokens};
  Collector collector(rollouts, options.temperature);
  Loop loop(std::move(loop_options), pages,
            std::make_unique<ModelRunner>(ops, model, std::move(kv), ModelRunner::CheckWeights{}));
  size_t next = 0;
  for (const RolloutPrompt& prompt : prompts) {
    for (int64_t sample = 0; sample < prompt.samples; ++sample) {
      const size_t index = next++;
      LoopRequest request;
      request.prompt = prompt.tokens;
      request.sampling.temperature = options.temperature;
      request.sampling.top_p = 1.0;
      request.sampling.top_k = 0;
      request.sampling.min_p = 0.0;
      request.sampling.tokens_max = options.tokens_max;
      request.sampling.speculate = false;
      request.sampling.seed = options.seed;
      request.stream = (prompt.number << 16U) + static_cast<uint64_t>(sample);
      request.on_logits = [&collector, index](int64_t /*position*/, std::span<const float> logits) {
        collector.note_logits(index, logits);
      };
      request.on_token = [&collector, index](const TokenEvent& event) {
        return collector.take(index, event.token);
      };
      request.on_done = [&collector, index](Result<Completion> completion) {
        collector.done(index, std::move(completion));
      };
      loop.submit(std::move(request));
    }
  }
  MINKE_ASSIGN(const bool is_whole, collector.wait(options.is_stopped));
  if (!is_whole) return std::vector<Rollout>();
  return rollouts;
}

PassSize sampled_size(std::span<const Rollout> rollouts) {
  PassSize size;
  std::optional<size_t> prompt;
  for (const Rollout& rollout : rollouts) {
    if (prompt != rollout.prompt) size.add_rows(0, rollout.prompt_tokens);
    prompt = rollout.prompt;
    // The last token is never read.
    if (rollout.answer_tokens() == 0) continue;
    size.add_rows(rollout.prompt_tokens, rollout.answer_tokens() - 1);
    size.logit_rows += rollout.answer_tokens();
  }
  return size;
}

}  // namespace minke
