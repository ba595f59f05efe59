#include "engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "core/check.h"

namespace minke {
namespace {

// A scored prompt gets so many rows of logits a step even when generating sequences use the rest.
constexpr int64_t kScoreRowsMin = 16;

// Rows of a step that nobody waits for: few are lost when somebody comes.
constexpr int64_t kAheadRowsMax = kKvPageTokens;

// Waiting requests that are looked at a step: enough to fill a batch past those that are put off.
constexpr size_t kAdmissionsLookedAt = 256;

// What all sequences together learn of a draft model, and how far a new one forgives it.
constexpr double kSharedLearning = 0.02;
constexpr double kSharedForgiveness = 0.1;

int64_t pages_for(int64_t tokens) { return (tokens + kKvPageTokens - 1) / kKvPageTokens; }

}  // namespace

struct Scheduler::Sequence {
  uint64_t id = 0;
  uint64_t arrival = 0;
  std::vector<int32_t> tokens;  // prompt, then what was sampled
  int64_t prompt_size = 0;
  int64_t logits_next = 0;  // the first position whose logits are wanted and not yet delivered
  int64_t positions_max = 0;
  bool generate = true;
  bool is_ahead = false;
  int64_t computed = 0;  // tokens whose keys and values are in the pages
  int64_t reused = -1;   // found in the cache at the first admission
  bool running = false;
  bool tail_published = false;
  KvSequence kv;

  std::unique_ptr<Speculation> speculation;  // null: without
  SamplerOptions sampling;
  std::vector<int32_t> drafts;

  // This step.
  int64_t rows = 0;    // without guesses
  int64_t logits = 0;  // likewise

  int64_t size() const { return static_cast<int64_t>(tokens.size()); }
  int64_t remaining() const { return size() - computed; }
  bool decodes() const { return remaining() == 1 && size() > prompt_size; }
};

Scheduler::Scheduler(const SchedulerOptions& options, KvPool& pool, DraftModel* draft_model)
    : options_(options),
      pool_(pool),
      draft_model_(draft_model),
      model_acceptance_(draft_model == nullptr ? 0.0 : draft_model->acceptance_prior()) {
  CHECK_GE(options_.prefill_chunk, 1);
  CHECK_GE(options_.prefill_chunk_shared, 1);
  CHECK_GE(options_.sequences_max, 1);
  CHECK_GE(options_.logit_rows_max, 1);
}

Scheduler::~Scheduler() = default;

Scheduler::Sequence* Scheduler::find(uint64_t id) const {
  const auto place = sequences_.find(id);
  return place == sequences_.end() ? nullptr : place->second.get();
}

std::span<const int32_t> Scheduler::tokens(uint64_t id) const {
  const Sequence* sequence = find(id);
  if (sequence == nullptr) return {};
  return sequence->tokens;
}

int64_t Scheduler::computed(uint64_t id) const {
  const Sequence* sequence = find(id);
  return sequence == nullptr ? 0 : sequence->computed;
}

int64_t Scheduler::reused_tokens(uint64_t id) const {
  const Sequence* sequence = find(id);
  return sequence == nullptr ? 0 : std::max<int64_t>(sequence->reused, 0);
}

int32_t Scheduler::draft(const PlannedSequence& planned, int64_t index) const {
  const Sequence* sequence = find(planned.id);
  CHECK(sequence != nullptr && index >= 0 && index < planned.drafts);
  return sequence->drafts[static_cast<size_t>(index)];
}

void Scheduler::submit(uint64_t id, SequenceInput input) {
  CHECK(!input.tokens.empty());
  const auto size = static_cast<int64_t>(input.tokens.size());
  CHECK_GE(input.positions_max, size);
  CHECK_LE(input.positions_max, int64_t{pool_.pages()} * kKvPageTokens);
  auto sequence = std::make_unique<Sequence>();
  sequence->id = id;
  sequence->arrival = ++arrivals_;
  sequence->tokens = std::move(input.tokens);
  sequence->prompt_size = size;
  sequence->logits_next = input.logits_from < 0 ? size - 1 : std::min(input.logits_from, size - 1);
  sequence->generate = input.generate;
  sequence->is_ahead = input.is_ahead;
  sequence->positions_max = input.positions_max;
  sequence->sampling = input.sampling;
  if (input.speculate) {
    if (draft_model_ != nullptr) {
      model_acceptance_.forgive(draft_model_->acceptance_prior(), kSharedForgiveness);
    }
    sequence->speculation = std::make_unique<Speculation>(
        draft_model_, Speculation::Options{.with = input.speculate_with,
                                           .draft_tokens = options_.draft_tokens,
                                           .chance = model_acceptance_.chance()});
  }
  waiting_.push_back(sequence.get());
  const bool fresh = sequences_.emplace(id, std::move(sequence)).second;
  CHECK(fresh);
}

// The sequence gives its pages back and waits again, before all that came after it. What it has
// computed stays cached as long as there is room.
void Scheduler::preempt(Sequence& sequence) {
  CHECK(sequence.running);
  settle(sequence);
  pool_.close(std::exchange(sequence.kv, {}),
              std::span(sequence.tokens).first(static_cast<size_t>(sequence.computed)));
  sequence.running = false;
  sequence.computed = 0;
  sequence.rows = 0;
  sequence.logits = 0;
  sequence.drafts.clear();
  std::erase(running_, &sequence);
  const auto place = std::ranges::find_if(
      waiting_, [&](const Sequence* other) { return other->arrival > sequence.arrival; });
  waiting_.insert(place, &sequence);
  ++preemptions_;
}

// Pages for `tokens` tokens of the sequence, at the cost of sequences that came later.
bool Scheduler::make_room(Sequence& sequence, int64_t tokens, StepPlan& plan) {
  while (!pool_.grow(sequence.kv, tokens, plan.actions)) {
    Sequence* youngest = running_.back();
    if (youngest == &sequence) return false;
    preempt(*youngest);
  }
  return true;
}

// Someone who runs is about to compute more of this prompt than the cache has: it is cheaper to
// wait for that. This is what makes sixteen answers to one question cost one prompt.
bool Scheduler::shares_unread_prefix(const Sequence& sequence) const {
  int64_t cached = -1;
  for (const Sequence* other : running_) {
    const int64_t limit =
        std::min({sequence.logits_next, other->prompt_size, sequence.prompt_size - 1});
    if (other->computed >= limit) continue;
    const auto mine = sequence.tokens.begin();
    const int64_t shared = std::mismatch(mine, mine + limit, other->tokens.begin()).first - mine;
    if (other->computed >= shared) continue;
    if (cached < 0) cached = pool_.match(sequence.tokens).tokens;
    if (shared > cached + kKvPageTokens / 4) return true;
  }
  return false;
}

// Are there pages for the sequence beside what those that run will need to read their prompts? A
// page of air for each of them, so that the newcomer is not put back at once.
bool Scheduler::fits(const Sequence& sequence) const {
  if (running_.empty()) return true;
  const KvPool::Match match = pool_.match(sequence.tokens);
  int64_t needed = pages_for(sequence.size() + 1) - match.tokens / kKvPageTokens;
  for (const Sequence* other : running_) {
    const auto held = static_cast<int64_t>(other->kv.pages().size());
    needed += std::max<int64_t>(0, pages_for(other->size()) - held) + 1;
  }
  return needed <= pool_.available() - match.unused_pages;
}

void Scheduler::start(Sequence& sequence, StepPlan& plan) {
  int64_t reused = 0;
  sequence.kv =
      pool_.open(sequence.tokens, sequence.logits_next, reused, plan.actions, sequence.is_ahead);
  sequence.running = true;
  sequence.computed = reused;
  if (sequence.reused < 0) sequence.reused = reused;
  const auto place = std::ranges::find_if(
      running_, [&](const Sequence* other) { return other->arrival > sequence.arrival; });
  running_.insert(place, &sequence);
}

void Scheduler::admit(StepPlan& plan) {
  size_t index = 0;
  while (index < std::min(waiting_.size(), kAdmissionsLookedAt) &&
         static_cast<int64_t>(running_.size()) < options_.sequences_max) {
    Sequence& sequence = *waiting_[index];
    if (shares_unread_prefix(sequence)) {
      ++index;
      continue;
    }
    // Who does not fit keeps those behind from overtaking, or a long prompt would wait for ever.
    if (!fits(sequence)) return;
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(index));
    start(sequence, plan);
  }
}

void Scheduler::plan_decodes(StepPlan& plan) {
  // By index: making room may put sequences at the end of running_ back.
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence& sequence = *running_[i];
    if (!sequence.decodes()) continue;
    if (!make_room(sequence, sequence.size(), plan)) {
      preempt(sequence);
      break;  // it was the youngest
    }
    sequence.rows = 1;
    sequence.logits = 1;
  }
}

// Guesses behind the rows of generating sequences, where they pay and pages are at hand.
void Scheduler::plan_drafts(StepPlan& plan) {
  int64_t rows = 0;
  int64_t logit_rows = 0;
  int64_t generating = 0;
  double tokens = 0;
  for (const Sequence* sequence : running_) {
    rows += sequence->rows;
    logit_rows += sequence->logits;
    if (!sequence->decodes()) continue;
    tokens += static_cast<double>(sequence->rows);
    if (sequence->rows > 0 && sequence->speculation != nullptr) ++generating;
  }
  for (Sequence* sequence : running_) {
    if (sequence->rows == 0 || !sequence->decodes() || sequence->speculation == nullptr) continue;
    Speculation& speculation = *sequence->speculation;
    // The row behind the last guess must still have a position for its token.
    const int64_t tokens_left = sequence->positions_max - sequence->size() - 1;
    const int64_t limit = std::min(tokens_left, options_.logit_rows_max - logit_rows);
    if (limit <= 0) continue;
    const Speculation::Choice choice =
        speculation.choose(cost_, sequence->tokens, sequence->kv.pages(),
                           {.rows = rows,
                            .tokens = tokens,
                            .limit = limit,
                            .tokens_left = tokens_left,
                            .sharing = generating});
    const int64_t count = choice.count;
    if (count == 0) continue;
    if (!pool_.grow(sequence->kv, sequence->size() + count, plan.actions)) continue;
    if (choice.kind == DraftKind::kLookup) {
      speculation.copy(sequence->tokens, sequence->drafts);
    } else {
      plan.drafts.push_back({.id = sequence->id,
                             .tokens = sequence->tokens,
                             .pages = sequence->kv.pages(),
                             .sampling = sequence->sampling,
                             .count = count,
                             .confidence_min = choice.confidence_min,
                             .guesses = {}});
    }
    rows += count;
    logit_rows += count;
    double chance = 1.0;
    for (int64_t i = 0; i < count; ++i) tokens += chance *= choice.acceptance;
  }
}

// Rows of a prompt for this step: at most `rows`, with at most `score_rows` rows of logits, as far
// as pages can be found.
void Scheduler::plan_prefill(Sequence& sequence, int64_t rows, int64_t score_rows, StepPlan& plan) {
  if (sequence.is_ahead) rows = std::min(rows, kAheadRowsMax);
  const int64_t unscored = std::max<int64_t>(0, sequence.logits_next - sequence.computed);
  if (sequence.logits_next < sequence.size() - 1) rows = std::min(rows, unscored + score_rows);
  if (!make_room(sequence, sequence.computed + rows, plan)) {
    const int64_t capacity = sequence.kv.capacity() + int64_t{pool_.available()} * kKvPageTokens;
    rows = std::min(rows, capacity - sequence.computed);
    if (rows <= 0) return;
    const bool grown = pool_.grow(sequence.kv, sequence.computed + rows, plan.actions);
    CHECK(grown);
  }
  sequence.rows = rows;
  sequence.logits = std::max<int64_t>(0, rows - unscored);
}

void Scheduler::plan_prefills(StepPlan& plan) {
  std::vector<Sequence*> prompts;
  int64_t decode_rows = 0;
  for (Sequence* sequence : running_) {
    decode_rows += sequence->rows;
    if (sequence->rows == 0) prompts.push_back(sequence);
  }
  int64_t budget = options_.prefill_chunk;
  if (decode_rows > 0) budget = std::min(budget, options_.prefill_chunk_shared);
  int64_t score_rows = std::max(kScoreRowsMin, options_.logit_rows_max - decode_rows);
  // Shortest first, each at most an even share of what is left: short prompts are not held up, and
  // long ones get what the short ones leave.
  std::ranges::stable_sort(prompts, {}, [](const Sequence* s) { return s->remaining(); });
  auto left = static_cast<int64_t>(prompts.size());
  for (Sequence* sequence : prompts) {
    const int64_t share = (budget + left - 1) / left;
    --left;
    if (!sequence->running || share == 0) continue;  // put back for one before it
    plan_prefill(*sequence, std::min(sequence->remaining(), share), score_rows, plan);
    budget -= sequence->rows;
    // A prompt's last row has logits anyway; only further ones count.
    score_rows -= std::max<int64_t>(0, sequence->logits - 1);
  }
}

void Scheduler::lay_out(StepPlan& plan) {
  for (DraftRequest& request : plan.drafts) {
    CHECK_LE(std::ssize(request.guesses), request.count);
    find(request.id)->drafts = std::move(request.guesses);
  }
  plan.decode_only = true;
  Batch& batch = plan.batch;
  for (Sequence* sequence : running_) {
    if (sequence->rows == 0) continue;
    const auto drafts = static_cast<int64_t>(sequence->drafts.size());
    PlannedSequence planned;
    planned.id = sequence->id;
    planned.position = sequence->computed;
    planned.rows = sequence->rows + drafts;
    planned.drafts = drafts;
    planned.logits = sequence->logits + drafts;
    planned.first_logit = static_cast<int64_t>(batch.logit_rows.size());
    planned.samples = sequence->generate && sequence->computed + sequence->rows == sequence->size();
    if (!sequence->decodes()) plan.decode_only = false;

    const auto first_row = static_cast<int64_t>(batch.tokens.size());
    batch.sequences.push_back({.first_row = first_row,
                               .row_count = planned.rows,
                               .first_position = planned.position,
                               .pages = sequence->kv.pages()});
    for (int64_t i = 0; i < planned.rows; ++i) {
      const int64_t position = planned.position + i;
      batch.tokens.push_back(i < sequence->rows
                                 ? sequence->tokens[static_cast<size_t>(position)]
                                 : sequence->drafts[static_cast<size_t>(i - sequence->rows)]);
      batch.positions.push_back(static_cast<int32_t>(position));
      if (i >= planned.rows - planned.logits) {
        batch.logit_rows.push_back(static_cast<int32_t>(first_row + i));
      }
    }
    plan.sequences.push_back(planned);
  }
}

StepPlan Scheduler::plan() {
  StepPlan plan;
  for (Sequence* sequence : running_) {
    sequence->rows = 0;
    sequence->logits = 0;
    sequence->drafts.clear();
  }
  plan_decodes(plan);
  admit(plan);
  plan_prefills(plan);
  plan_drafts(plan);
  return plan;
}

void Scheduler::advance(const PlannedSequence& planned, std::span<const int32_t> sampled) {
  Sequence* sequence = find(planned.id);
  if (sequence == nullptr || !sequence->running) return;
  CHECK_EQ(planned.position, sequence->computed);
  CHECK_EQ(!sampled.empty(), planned.samples);
  const int64_t drafts = planned.drafts;
  int64_t accepted = 0;
  while (accepted < std::min<int64_t>(drafts, static_cast<int64_t>(sampled.size())) &&
         sampled[static_cast<size_t>(accepted)] ==
             sequence->drafts[static_cast<size_t>(accepted)]) {
    ++accepted;
  }
  CHECK_LE(static_cast<int64_t>(sampled.size()), accepted + 1);
  sequence->computed += planned.rows - drafts + accepted;
  sequence->logits_next = std::max(sequence->logits_next, sequence->computed);
  sequence->tokens.insert(sequence->tokens.end(), sampled.begin(), sampled.end());
  CHECK_LE(sequence->size(), sequence->positions_max);
  if (drafts > 0) {
    sequence->speculation->observe(drafts, accepted);
    if (sequence->speculation->choice().kind != DraftKind::kLookup) {
      model_acceptance_.observe(drafts, accepted, kSharedLearning);
    }
  }
  settle(*sequence);
  // The end of a prompt goes to the tree at once, for others that ask the same.
  const bool prompt_read = !sequence->tail_published && sequence->computed >= sequence->prompt_size;
  const auto computed = std::span(sequence->tokens).first(static_cast<size_t>(sequence->computed));
  pool_.publish(sequence->kv, computed, prompt_read);
  if (prompt_read) sequence->tail_published = true;
}

// Tells the draft model what the cache has of the sequence, now that its pages may pass to others.
void Scheduler::settle(const Sequence& sequence) {
  if (draft_model_ == nullptr) return;
  draft_model_->settle(sequence.kv.pages(), sequence.computed);
}

void Scheduler::finish(uint64_t id, bool keep) {
  Sequence* sequence = find(id);
  if (sequence == nullptr) return;
  if (sequence->running) {
    settle(*sequence);
    if (keep) {
      pool_.close(std::exchange(sequence->kv, {}),
                  std::span(sequence->tokens).first(static_cast<size_t>(sequence->computed)));
    } else {
      pool_.discard(std::exchange(sequence->kv, {}));
    }
    std::erase(running_, sequence);
  } else {
    std::erase(waiting_, sequence);
  }
  sequences_.erase(id);
}

void Scheduler::check_invariants() const {
  std::vector<const KvSequence*> held;
  for (const Sequence* sequence : running_) held.push_back(&sequence->kv);
  pool_.check_invariants(held);
  CHECK_EQ(sequences_.size(), waiting_.size() + running_.size());
  CHECK(std::ranges::is_sorted(running_, {}, [](const Sequence* s) { return s->arrival; }));
}

}  // namespace minke
