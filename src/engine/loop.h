// The engine's thread: takes requests of tokens from any thread, runs them together step by step,
// samples, and calls back. It knows no model: a StepRunner turns a batch into logits, so all of
// this is tested without one.
//
// Threads: submit(), cancel() and stats() from any thread. The StepRunner and all callbacks are
// called on the loop's own thread; callbacks must not block it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <thread>
#include <unordered_map>
#include <vector>

#include "core/result.h"
#include "engine/drafter.h"
#include "engine/kv_pool.h"
#include "engine/logit_mask.h"
#include "engine/page_keeper.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"
#include "minke/engine.h"
#include "ops/ops.h"

namespace minke {

// Computes steps. Owned and used by the loop's thread once the loop runs.
class StepRunner {
 public:
  virtual ~StepRunner() = default;
  virtual void apply(std::span<const PageAction> actions) = 0;
  // Logits of batch.logit_rows, [logit_rows, vocab_size], valid until the next call; the sampler
  // writes to them (and restores what was there). Of an abandoned batch it may return anything, and
  // should return soon. An error is for all requests of the step.
  virtual Result<std::span<float>> run(const Batch& batch) = 0;
  // The states that logits come of, of all rows: [rows, dim], valid until the next call.
  virtual Result<std::span<const float>> states(const Batch& batch);
  // The bytes of a page, to be kept and to be put back; 0: they cannot be had.
  virtual size_t page_bytes() const { return 0; }
  virtual void read_page(int32_t /*page*/, std::span<std::byte> /*bytes*/) {}
  virtual void write_page(int32_t /*page*/, std::span<const std::byte> /*bytes*/) {}
  // What guesses for it, if there is something: its own, on the loop's thread as well.
  virtual DraftModel* draft_model() { return nullptr; }
};

struct TokenEvent {
  int32_t token = 0;
  int64_t position = 0;
  bool ends_turn = false;    // an end-of-generation token: no text
  bool is_thinking = false;  // of the thinking, its end included; LocalEngine::ask() tells it apart
  // What SamplingOptions::logprobs_top asked for, during the call only; null where it did not.
  const TokenLogprob* logprob = nullptr;
  const std::vector<TokenLogprob>* top = nullptr;
};

enum class TokenVerdict : uint8_t { kContinue, kStopString, kCancel };

struct LoopRequest {
  std::vector<int32_t> prompt;
  SamplingOptions sampling;  // stop strings are the caller's affair: they are about text
  uint64_t stream = 0;       // tells several answers to one prompt under one seed apart
  bool ignore_end = false;   // end-of-generation tokens do not end it (benchmarks)
  // Nobody waits for it: it is read (tokens_max has to be 0) while nothing else is to be done,
  // gives way to every other request, and goes on when that is answered. What it leaves in the
  // cache is the first to go.
  bool is_ahead = false;

  // The first position whose prediction is wanted, at least 1; negative: the first after the
  // prompt. Earlier ones are for on_logits alone.
  int64_t logits_from = -1;
  // The logits that predict the token at `position`, in ascending order of positions, without
  // guesses that failed. The span is valid during the call only. May be empty.
  std::function<void(int64_t position, std::span<const float> logits)> on_logits;
  std::function<TokenVerdict(const TokenEvent&)> on_token;  // may be empty
  // Behind each step that read some of the prompt: so many of its tokens are read. May be empty.
  std::function<void(int64_t tokens)> on_read;
  // What the next token has to be, whatever the logits say. Asked before each token of the answer,
  // when on_token has had all those before it, on which alone it may depend. May be empty.
  std::function<std::optional<int32_t>()> forced_token;
  // Which tokens may come next, where none is forced: the others are not sampled. Asked as
  // forced_token is, and like it a function of the answer's tokens alone. An error ends the
  // request. May be empty: all.
  std::function<Result<TokenSet>()> allowed_tokens;
  // Called once, last. May be empty.
  std::function<void(Result<struct Completion>)> on_done;
};

// A text as one vector: the mean of its tokens' states, of length one. Read in steps between those
// of other requests, never from the cache (which has no states).
struct EmbeddingRequest {
  std::vector<int32_t> tokens;
  std::function<void(Result<std::vector<float>>)> on_done;  // once
};

struct Completion {
  std::vector<int32_t> tokens;  // with the token that ended the turn
  std::vector<TokenLogprob> logprobs;
  std::vector<std::vector<TokenLogprob>> top;
  FinishReason finish = FinishReason::kEndOfTurn;
  uint64_t seed = 0;
  Usage usage;
};

struct LoopOptions {
  SchedulerOptions scheduler;
  int64_t context_tokens = 0;  // longest sequence
  int64_t context_max = 0;     // the longest that the model could be loaded with
  int64_t vocab_size = 0;
  std::vector<int32_t> end_tokens;  // end-of-generation
};

struct LoopStats {
  uint64_t steps = 0;
  uint64_t steps_abandoned = 0;  // not among the steps
  uint64_t rows = 0;             // tokens computed, guesses included
  uint64_t sampled_tokens = 0;
  uint64_t drafted_tokens = 0;
  uint64_t accepted_tokens = 0;
  uint64_t preemptions = 0;
  uint64_t evictions = 0;
  int64_t requests_waiting = 0;
  int64_t requests_running = 0;
  int64_t ahead = 0;  // requests that nobody waits for, among neither of those
  int32_t pages = 0;
  int32_t pages_cached = 0;
  double run_seconds = 0;     // in StepRunner::run
  double sample_seconds = 0;  // in the sampler and the callbacks
};

class Loop {
 public:
  // `pages`: of the KV cache behind `runner`; they hold at least context_tokens tokens (CHECK).
  // `page_file`: where pages outlive the process, if they are to; of runner->page_bytes().
  Loop(LoopOptions options, int32_t pages, std::unique_ptr<StepRunner> runner,
       std::unique_ptr<PageFile> page_file = nullptr);
  // Ends what is under way with FinishReason::kCancelled. Not from a callback.
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // on_done tells errors too: no call of submit() is without an answer. When it is called, stats()
  // counts the request as neither waiting nor running.
  uint64_t submit(LoopRequest request);
  // The same for a vector.
  uint64_t submit(EmbeddingRequest request);
  // on_done comes with kCancelled (of a vector, an error) and what there is so far: after the step
  // under way, which is given up when most of its rows are for requests that were cancelled.
  void cancel(uint64_t id);
  // The refusal of a text that is too long for the context: `name` is what the caller calls it.
  // With room for an answer, unless it is only read.
  Error too_long(std::string_view name, int64_t tokens, bool reads_only) const;
  // submit() and wait; an error on the loop's own thread. Stopping `stop` cancels.
  Result<Completion> run(LoopRequest request, const std::stop_token& stop = {});

  LoopStats stats() const;
  // What went wrong and was survived, for a log: each once. Others than the loop may add to it.
  std::vector<std::string> take_notices();
  void note(std::string notice);
  bool on_loop_thread() const { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  struct Active;
  struct Message {
    uint64_t id = 0;
    std::chrono::steady_clock::time_point submitted;
    LoopRequest request;
  };

  uint64_t enqueue(LoopRequest request, bool cancelled);
  void work();
  void keep_pages();
  void note_page_file();
  bool take_messages();
  Status start(Message& message);
  void schedule(Active& active);
  bool has_work() const { return !scheduler_.idle() || !ahead_.empty() || !embeddings_.empty(); }
  void embed_some();
  void end_embedding(Result<std::vector<float>> result);
  void give_way();
  void take_up();
  Status check(const LoopRequest& request) const;
  void step();
  void begin_step(const StepPlan& plan);
  bool end_step();
  void reconsider_step();
  void handle(const PlannedSequence& planned, std::span<float> logits);
  Result<int32_t> sample(Active& active, std::span<float> logits, std::span<const int32_t> history);
  // The token behind `history`, as forced or as sampled.
  Result<int32_t> next_token(Active& active, std::span<float> logits,
                             std::span<const int32_t> history);
  // True when the request is over.
  bool take_token(Active& active, int64_t position, int32_t token);
  Status note_logprobs(Active& active, std::span<const float> logits, int32_t token);
  void finish(uint64_t id, FinishReason reason);
  void fail_request(uint64_t id, Error error);
  std::unique_ptr<Active> take_out(uint64_t id);
  void publish_stats();

  const LoopOptions options_;
  std::unique_ptr<StepRunner> runner_;
  KvPool pool_;
  std::unique_ptr<PageKeeper> keeper_;  // null: pages end with the process
  Scheduler scheduler_;
  Sampler sampler_;
  LogitMask mask_;
  std::vector<float> unbiased_;  // the scores of SamplingOptions::logit_bias's tokens
  std::vector<bool> ends_;       // by token
  std::unordered_map<uint64_t, std::unique_ptr<Active>> active_;
  LoopStats counted_;
  struct Embedding {
    uint64_t id = 0;
    EmbeddingRequest request;
    KvSequence sequence;
    int64_t read = 0;        // tokens
    std::vector<float> sum;  // of their states
  };
  std::deque<Embedding> embeddings_;  // the first is being read
  std::deque<uint64_t> ahead_;        // requests that nobody waits for, and that have to
  uint64_t running_ahead_ = 0;        // the one of them that is read now; 0: none

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Message> inbox_;  // guarded by mutex_, as all below
  std::vector<Embedding> embedding_inbox_;
  std::vector<uint64_t> cancelled_;
  std::vector<std::string> notices_;
  struct StepRows {
    uint64_t id = 0;
    int64_t rows = 0;
  };
  std::vector<StepRows> step_rows_;  // of the step under way
  std::vector<int32_t> step_ahead_;  // what will have been read after it, if nobody waits for it
  uint64_t last_id_ = 0;
  bool stop_ = false;
  LoopStats stats_;

  std::atomic<bool> abandoned_ = false;  // the step under way; set under mutex_, read by the runner
  std::thread thread_;                   // last: it uses all of the above
};

}  // namespace minke
