// Decides what the next forward pass computes: which sequences, which of their tokens, which rows'
// logits. Requests wait in order of arrival, run together, and are put back when pages run out.
//
//   StepPlan plan = scheduler.plan();          // which sequences, and their pages
//   ... carry out plan.actions, have plan.drafts filled in ...
//   scheduler.lay_out(plan);                   // the batch, and what each row is for
//   ... run the model, sample ...
//   scheduler.advance(planned, sampled);       // for every entry of plan.sequences
//   scheduler.finish(id, keep);                // for those that ended
//
// Nothing that it decides can change an answer: a row's logits depend on its own sequence only, and
// sampling on the position (docs/numerics.md). So it is free to cut prompts in chunks, to mix
// sequences, to compute again what was evicted, and to guess ahead.
//
// A step takes first one row of every sequence that generates, with guesses behind it where that
// pays; what is left of the row budget is shared evenly among prompts being read. The oldest
// sequence never waits for pages: younger ones are put back for it. Holds no tensors. Not
// thread-safe: owned by the engine's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/kv_pool.h"
#include "engine/speculation.h"
#include "engine/step_cost.h"
#include "ops/ops.h"

namespace minke {

struct SchedulerOptions {
  int64_t prefill_chunk = 512;  // prompt rows a step takes at most
  // The same while other sequences generate: it bounds how long they wait for their next token.
  int64_t prefill_chunk_shared = 128;
  int64_t sequences_max = 64;
  // Rows of logits a step holds at most for guesses and scores; one for each sequence is beside it.
  int64_t logit_rows_max = 64;
  int64_t draft_tokens = -1;  // Speculation::Options
};

struct SequenceInput {
  std::vector<int32_t> tokens;  // the prompt, at least one
  // Logits are wanted from this position on; the prompt's last position when negative. Scoring a
  // text asks for earlier ones, and those are then computed even where the cache has the prefix.
  int64_t logits_from = -1;
  int64_t positions_max = 0;  // the sequence never grows beyond; at least the prompt's length
  bool speculate = false;
  SpeculateWith speculate_with = SpeculateWith::kAny;
  SamplerOptions sampling;  // for guesses
  // Nobody waits for it: it reads in small steps, and what it leaves in the cache goes first.
  bool is_ahead = false;
  // False: only read. Over (for finish()) when computed(id) is the number of tokens.
  bool generate = true;
};

// A sequence's share of a step. Its rows are the tokens at positions [position, position + rows),
// the last `drafts` of them guesses. Logits of the last `logits` rows are wanted: they lie at
// [first_logit, first_logit + logits) of the model's output.
struct PlannedSequence {
  uint64_t id = 0;
  int64_t position = 0;
  int64_t rows = 0;
  int64_t drafts = 0;
  int64_t first_logit = 0;
  int64_t logits = 0;
  bool samples = false;  // the last row that is no guess is the last token known: what comes next?
};

struct StepPlan {
  std::vector<PageAction> actions;   // before anything is computed, in order
  std::vector<DraftRequest> drafts;  // for the draft model to fill in, behind the actions
  Batch batch;
  std::vector<PlannedSequence> sequences;
  bool decode_only = false;  // no prompt rows: a step whose time StepCost may learn from
  bool empty() const { return sequences.empty(); }
};

class Scheduler {
 public:
  // `pool` outlives the scheduler. The pool must hold the longest sequence (positions_max).
  // `draft_model` may be null; else it outlives the scheduler, too.
  Scheduler(const SchedulerOptions& options, KvPool& pool, DraftModel* draft_model = nullptr);
  ~Scheduler();

  void submit(uint64_t id, SequenceInput input);
  // What to compute next. Page lists are valid until the next call of a function that is neither
  // const nor lay_out().
  StepPlan plan();
  // Completes the plan, which is empty when nothing is waiting or running.
  void lay_out(StepPlan& plan);
  // The planned rows are computed. `sampled` are the tokens that follow, in order: none when
  // planned.samples is false; else one, and one more for each guess that was right.
  void advance(const PlannedSequence& planned, std::span<const int32_t> sampled);
  // The sequence is over (also: cancelled, waiting or running). `keep`: what it computed may serve
  // others. Unknown ids are ignored.
  void finish(uint64_t id, bool keep);

  bool idle() const { return waiting_.empty() && running_.empty(); }
  // All tokens of a sequence, prompt first; empty for unknown ids.
  std::span<const int32_t> tokens(uint64_t id) const;
  int64_t computed(uint64_t id) const;       // of them, how many the cache holds
  int64_t reused_tokens(uint64_t id) const;  // of the prompt, when it was first admitted
  // The guess at `index` of a planned sequence.
  int32_t draft(const PlannedSequence& planned, int64_t index) const;

  StepCost& step_cost() { return cost_; }
  size_t waiting() const { return waiting_.size(); }
  size_t running() const { return running_.size(); }
  uint64_t preemptions() const { return preemptions_; }
  void check_invariants() const;  // for tests

 private:
  struct Sequence;

  void admit(StepPlan& plan);
  bool fits(const Sequence& sequence) const;
  void start(Sequence& sequence, StepPlan& plan);
  bool shares_unread_prefix(const Sequence& sequence) const;
  void preempt(Sequence& sequence);
  bool make_room(Sequence& sequence, int64_t tokens, StepPlan& plan);
  void plan_decodes(StepPlan& plan);
  void plan_drafts(StepPlan& plan);
  void settle(const Sequence& sequence);
  void plan_prefills(StepPlan& plan);
  void plan_prefill(Sequence& sequence, int64_t rows, int64_t score_rows, StepPlan& plan);
  Sequence* find(uint64_t id) const;

  SchedulerOptions options_;
  KvPool& pool_;
  DraftModel* draft_model_;      // null: none
  Acceptance model_acceptance_;  // of its guesses, all sequences together
  StepCost cost_;
  std::unordered_map<uint64_t, std::unique_ptr<Sequence>> sequences_;
  std::deque<Sequence*> waiting_;   // front is next
  std::vector<Sequence*> running_;  // by arrival, oldest first
  uint64_t arrivals_ = 0;
  uint64_t preemptions_ = 0;
};

}  // namespace minke
