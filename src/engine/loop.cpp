#include "engine/loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <future>
#include <iterator>
#include <limits>
#include <random>
#include <utility>

#include "core/check.h"
#include "engine/memory_budget.h"

namespace minke {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

uint64_t fresh_seed() {
  std::random_device device;
  // 53 bits, so that a seed survives every JSON parser.
  return (uint64_t{device()} << 32 | device()) >> 11;
}

}  // namespace

struct Loop::Active {
  uint64_t id = 0;
  LoopRequest request;
  SamplerOptions sampler;
  Completion completion;
  int64_t prompt_size = 0;
  int64_t positions_max = 0;
  Clock::time_point submitted;
  Clock::time_point first_token;
  Clock::time_point last_token;
};

Loop::Loop(LoopOptions options, int32_t pages, std::unique_ptr<StepRunner> runner,
           std::unique_ptr<PageFile> page_file)
    : options_(std::move(options)),
      runner_(std::move(runner)),
      pool_(pages),
      keeper_(page_file ? std::make_unique<PageKeeper>(std::move(page_file), pool_, *runner_)
                        : nullptr),
      scheduler_(options_.scheduler, pool_, runner_->draft_model()),
      ends_(static_cast<size_t>(options_.vocab_size), false) {
  CHECK_GE(int64_t{pages} * kKvPageTokens, options_.context_tokens);
  for (const int32_t token : options_.end_tokens) {
    if (token >= 0 && token < options_.vocab_size) ends_[static_cast<size_t>(token)] = true;
  }
  counted_.pages = pages;
  stats_.pages = pages;
  thread_ = std::thread([this] { work(); });
}

Result<std::span<const float>> StepRunner::states(const Batch&) {
  return fail("this model gives no states to make vectors of");
}

Loop::~Loop() {
  CHECK(!on_loop_thread());
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    reconsider_step();
  }
  wake_.notify_one();
  thread_.join();
}

uint64_t Loop::submit(LoopRequest request) { return enqueue(std::move(request), false); }

uint64_t Loop::enqueue(LoopRequest request, bool cancelled) {
  uint64_t id = 0;
  {
    const std::lock_guard lock(mutex_);
    id = ++last_id_;
    ++(request.is_ahead ? stats_.ahead : stats_.requests_waiting);
    if (cancelled) cancelled_.push_back(id);
    inbox_.push_back({id, Clock::now(), std::move(request)});
    reconsider_step();
  }
  wake_.notify_one();
  return id;
}

uint64_t Loop::submit(EmbeddingRequest request) {
  uint64_t id = 0;
  {
    const std::lock_guard lock(mutex_);
    id = ++last_id_;
    Embedding embedding;
    embedding.id = id;
    embedding.request = std::move(request);
    embedding_inbox_.push_back(std::move(embedding));
  }
  wake_.notify_one();
  return id;
}

void Loop::cancel(uint64_t id) {
  {
    const std::lock_guard lock(mutex_);
    cancelled_.push_back(id);
    reconsider_step();
  }
  wake_.notify_one();
}

// What the step under way computes for the living is done again in the next one, at less cost than
// the others would wait for.
void Loop::reconsider_step() {
  int64_t rows = 0;
  int64_t wanted = 0;
  for (const StepRows& share : step_rows_) {
    rows += share.rows;
    if (std::ranges::find(cancelled_, share.id) == cancelled_.end()) wanted += share.rows;
  }
  // Of what is read ahead the newcomer may be about to read the same: he waits for that.
  const auto is_in_the_way = [&](const Message& message) {
    const std::vector<int32_t>& prompt = message.request.prompt;
    return !message.request.is_ahead &&
           std::ranges::mismatch(prompt, step_ahead_).in2 != step_ahead_.end();
  };
  if (rows > 0 && (stop_ || 2 * wanted < rows || std::ranges::any_of(inbox_, is_in_the_way))) {
    abandoned_ = true;
  }
}

void Loop::begin_step(const StepPlan& plan) {
  const std::lock_guard lock(mutex_);
  abandoned_ = false;
  for (const PlannedSequence& planned : plan.sequences) {
    step_rows_.push_back({planned.id, planned.rows});
    if (planned.id != running_ahead_) continue;
    const auto tokens =
        scheduler_.tokens(planned.id).first(static_cast<size_t>(planned.position + planned.rows));
    step_ahead_.assign(tokens.begin(), tokens.end());
  }
  reconsider_step();
}

// False when the step was given up.
bool Loop::end_step() {
  const std::lock_guard lock(mutex_);
  step_rows_.clear();
  step_ahead_.clear();
  return !abandoned_;
}

Result<Completion> Loop::run(LoopRequest request, const std::stop_token& stop) {
  if (on_loop_thread()) {
    return misuse(
        "a callback of the engine asked the engine for an answer and would wait for "
        "itself for ever: ask from another thread");
  }
  // Shared, because this thread may be on its way before set_value has quite returned.
  const auto promise = std::make_shared<std::promise<Result<Completion>>>();
  std::future<Result<Completion>> future = promise->get_future();
  request.on_done = [promise, on_done = std::move(request.on_done)](Result<Completion> result) {
    if (on_done) on_done(result);
    promise->set_value(std::move(result));
  };
  const uint64_t id = enqueue(std::move(request), stop.stop_requested());
  const std::stop_callback on_stop(stop, [this, id] { cancel(id); });
  return future.get();
}

LoopStats Loop::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void Loop::publish_stats() {
  counted_.preemptions = scheduler_.preemptions();
  counted_.evictions = pool_.evictions();
  counted_.pages_cached = pool_.cached();
  const int64_t reads_ahead = running_ahead_ == 0 ? 0 : 1;
  counted_.requests_running = static_cast<int64_t>(scheduler_.running()) - reads_ahead;
  const std::lock_guard lock(mutex_);
  const auto newly_ahead =
      std::ranges::count_if(inbox_, [](const Message& one) { return one.request.is_ahead; });
  counted_.requests_waiting =
      static_cast<int64_t>(scheduler_.waiting()) + std::ssize(inbox_) - newly_ahead;
  counted_.ahead = std::ssize(ahead_) + reads_ahead + newly_ahead;
  stats_ = counted_;
}

void Loop::work() {
  if (keeper_) {
    keeper_->restore();
    note_page_file();
  }
  while (take_messages()) {
    if (scheduler_.idle()) take_up();
    step();
    embed_some();
  }
  while (!embeddings_.empty()) end_embedding(fail("the engine was closed"));
  while (!active_.empty()) finish(active_.begin()->first, FinishReason::kCancelled);
  if (keeper_) keeper_->keep_all();
}

// Time to write pages to the disk, a few at once, until somebody comes.
void Loop::keep_pages() {
  const auto is_wanted = [this] {
    const std::lock_guard lock(mutex_);
    return stop_ || !inbox_.empty() || !cancelled_.empty() || !embedding_inbox_.empty();
  };
  if (!keeper_) return;
  while (!has_work() && !is_wanted() && keeper_->keep_some()) {
  }
  note_page_file();
}

void Loop::note_page_file() {
  for (std::string notice = keeper_->take_notice(); !notice.empty();
       notice = keeper_->take_notice()) {
    note(std::move(notice));
  }
}

void Loop::note(std::string notice) {
  const std::lock_guard lock(mutex_);
  notices_.push_back(std::move(notice));
}

std::vector<std::string> Loop::take_notices() {
  const std::lock_guard lock(mutex_);
  return std::exchange(notices_, {});
}

// Waits while there is nothing to do. False when the loop is to end; then whatever came last is
// among the active, to be told so.
bool Loop::take_messages() {
  keep_pages();
  std::vector<Message> requests;
  std::vector<uint64_t> cancelled;
  bool stop = false;
  {
    std::unique_lock lock(mutex_);
    if (!has_work()) {
      wake_.wait(lock, [&] {
        return stop_ || !inbox_.empty() || !cancelled_.empty() || !embedding_inbox_.empty();
      });
    }
    std::ranges::move(embedding_inbox_, std::back_inserter(embeddings_));
    embedding_inbox_.clear();
    requests.swap(inbox_);
    cancelled.swap(cancelled_);
    stop = stop_;
  }
  // The refused are told last, when the counts no longer have them.
  std::vector<std::pair<const Message*, Error>> refused;
  for (Message& message : requests) {
    if (Status started = start(message); !started) {
      refused.emplace_back(&message, std::move(started).error());
    }
  }
  for (const uint64_t id : cancelled) {
    finish(id, FinishReason::kCancelled);
    const auto place = std::ranges::find(embeddings_, id, &Embedding::id);
    if (place == embeddings_.end()) continue;
    std::rotate(embeddings_.begin(), place, std::next(place));
    end_embedding(fail("the request was cancelled"));
  }
  if (!requests.empty() || !cancelled.empty()) publish_stats();
  for (auto& [message, error] : refused) {
    const auto& on_done = message->request.on_done;
    if (on_done) on_done(std::unexpected(std::move(error)));
  }
  return !stop;
}

Error Loop::too_long(std::string_view name, int64_t tokens, bool reads_only) const {
  return {.message =
              fmt::format("{} has {} tokens, and a context of {} tokens has no room for "
                          "it{}: {}",
                          name, tokens, options_.context_tokens, reads_only ? "" : " and an answer",
                          context_way_out(options_.context_tokens, options_.context_max)),
          .kind = ErrorKind::kUsage};
}

Status Loop::check(const LoopRequest& request) const {
  MINKE_TRY(check_sampling(request.sampling));
  for (const auto& [token, bias] : request.sampling.logit_bias) {
    if (token < 0 || token >= options_.vocab_size || !(bias >= -100 && bias <= 100)) {
      return misuse(
          fmt::format("logit_bias must name tokens of the vocabulary, which has {}, and "
                      "be in [-100, 100], got {} for token {}",
                      options_.vocab_size, bias, token));
    }
  }
  CHECK(!request.is_ahead || request.sampling.tokens_max == 0);
  const int64_t size = std::ssize(request.prompt);
  if (size == 0) return misuse("the prompt is empty: there is nothing to continue");
  const bool reads_only = request.sampling.tokens_max == 0;
  if (size > options_.context_tokens || (size == options_.context_tokens && !reads_only)) {
    return std::unexpected(too_long("the prompt", size, reads_only));
  }
  for (int64_t i = 0; i < size; ++i) {
    const int32_t token = request.prompt[static_cast<size_t>(i)];
    if (token < 0 || token >= options_.vocab_size) {
      return misuse(
          fmt::format("token {} at position {} of the prompt is not in the vocabulary, "
                      "which has {} tokens",
                      token, i, options_.vocab_size));
    }
  }
  return {};
}

// Takes the request over, unless it is refused.
Status Loop::start(Message& message) {
  const uint64_t id = message.id;
  LoopRequest& request = message.request;
  MINKE_TRY(check(request));
  auto active = std::make_unique<Active>();
  active->id = id;
  active->submitted = message.submitted;
  const uint64_t seed = request.sampling.seed ? *request.sampling.seed : fresh_seed();
  active->sampler = SamplerOptions::from(request.sampling, seed);
  active->sampler.stream = request.stream;
  active->completion.seed = seed;
  active->prompt_size = std::ssize(request.prompt);
  active->completion.usage.prompt_tokens = active->prompt_size;

  const int64_t tokens_max = request.sampling.tokens_max;
  const int64_t room = options_.context_tokens - active->prompt_size;
  active->positions_max =
      active->prompt_size + (tokens_max < 0 ? room : std::min(tokens_max, room));
  active->request = std::move(request);
  if (active->request.is_ahead) {
    ahead_.push_back(id);
  } else {
    give_way();
    schedule(*active);
  }
  active_.emplace(id, std::move(active));
  return {};
}

void Loop::schedule(Active& active) {
  const LoopRequest& request = active.request;
  SequenceInput input;
  input.tokens = request.prompt;
  // Logits that predict position p are those of the row at p - 1.
  input.logits_from = request.logits_from < 0 ? -1 : std::max<int64_t>(request.logits_from - 1, 0);
  input.positions_max = active.positions_max;
  input.generate = request.sampling.tokens_max != 0;
  input.speculate = request.sampling.speculate && input.generate;
  input.speculate_with = request.sampling.speculate_with;
  input.sampling = active.sampler;
  input.is_ahead = request.is_ahead;
  scheduler_.submit(active.id, std::move(input));
}

// Somebody came who waits: what is read ahead is put off. What was read of it stays.
void Loop::give_way() {
  if (running_ahead_ == 0) return;
  scheduler_.finish(running_ahead_, true);
  ahead_.push_front(std::exchange(running_ahead_, 0));
}

// Nobody waits: time to read ahead.
void Loop::take_up() {
  if (ahead_.empty()) return;
  running_ahead_ = ahead_.front();
  ahead_.pop_front();
  schedule(*active_.at(running_ahead_));
}

void Loop::step() {
  StepPlan plan = scheduler_.plan();
  runner_->apply(plan.actions);
  if (!plan.drafts.empty()) runner_->draft_model()->draft(plan.drafts);
  scheduler_.lay_out(plan);
  if (plan.empty()) return;
  begin_step(plan);
  plan.batch.abandoned = &abandoned_;
  const Clock::time_point before = Clock::now();
  const Result<std::span<float>> computed = runner_->run(plan.batch);
  const Clock::time_point after = Clock::now();
  if (!end_step()) {
    ++counted_.steps_abandoned;
    return;
  }
  if (!computed) {
    for (const PlannedSequence& planned : plan.sequences) {
      fail_request(planned.id, computed.error());
    }
    return;
  }
  const std::span<float> logits = *computed;
  CHECK_EQ(logits.size(), plan.batch.logit_rows.size() * static_cast<size_t>(options_.vocab_size));
  const double seconds = seconds_between(before, after);
  if (plan.decode_only) {
    scheduler_.step_cost().observe(std::ssize(plan.batch.tokens), seconds);
  }
  ++counted_.steps;
  counted_.rows += plan.batch.tokens.size();
  counted_.run_seconds += seconds;
  for (const PlannedSequence& planned : plan.sequences) {
    handle(planned, logits.subspan(static_cast<size_t>(planned.first_logit * options_.vocab_size),
                                   static_cast<size_t>(planned.logits * options_.vocab_size)));
  }
  counted_.sample_seconds += seconds_between(after, Clock::now());
  publish_stats();
}

// Reads some more of the first text that is to be a vector.
void Loop::embed_some() {
  if (embeddings_.empty()) return;
  Embedding& embedding = embeddings_.front();
  const std::vector<int32_t>& tokens = embedding.request.tokens;
  const int64_t size = std::ssize(tokens);
  if (size == 0) return end_embedding(misuse("an empty text has no vector"));
  if (size > options_.context_tokens) {
    return end_embedding(std::unexpected(too_long("the text", size, true)));
  }
  for (const int32_t token : tokens) {
    if (token < 0 || token >= options_.vocab_size) {
      return end_embedding(misuse(fmt::format("token {} is not in the vocabulary, which has {}",
                                              token, options_.vocab_size)));
    }
  }
  std::vector<PageAction> actions;
  if (!pool_.grow(embedding.sequence, size, actions)) {
    // Others hold the pages: they come free when those end.
    if (scheduler_.idle()) end_embedding(fail("the cache has no room for the text"));
    return;
  }
  runner_->apply(actions);
  const SchedulerOptions& limits = options_.scheduler;
  const int64_t rows =
      std::min(size - embedding.read,
               scheduler_.idle() ? limits.prefill_chunk : limits.prefill_chunk_shared);
  Batch batch;
  for (int64_t position = embedding.read; position < embedding.read + rows; ++position) {
    batch.tokens.push_back(tokens[static_cast<size_t>(position)]);
    batch.positions.push_back(static_cast<int32_t>(position));
  }
  batch.sequences.push_back({.first_row = 0,
                             .row_count = rows,
                             .first_position = embedding.read,
                             .pages = embedding.sequence.pages()});
  {
    const std::lock_guard lock(mutex_);
    abandoned_ = false;
    step_rows_.push_back({embedding.id, rows});
    reconsider_step();
  }
  batch.abandoned = &abandoned_;
  const Result<std::span<const float>> states = runner_->states(batch);
  if (!end_step()) {
    ++counted_.steps_abandoned;
    return;
  }
  if (!states) return end_embedding(std::unexpected(states.error()));
  const size_t dim = states->size() / static_cast<size_t>(rows);
  embedding.sum.resize(dim);
  for (size_t i = 0; i < states->size(); ++i) embedding.sum[i % dim] += (*states)[i];
  embedding.read += rows;
  if (embedding.read < size) return;
  // The mean's direction is the sum's.
  double squares = 0;
  for (const float one : embedding.sum) squares += double{one} * one;
  if (!(squares > 0 && squares < std::numeric_limits<double>::infinity())) {
    return end_embedding(fail("the states of the text are no numbers"));
  }
  const auto scale = static_cast<float>(1 / std::sqrt(squares));
  for (float& one : embedding.sum) one *= scale;
  end_embedding(std::move(embedding.sum));
}

void Loop::end_embedding(Result<std::vector<float>> result) {
  Embedding done = std::move(embeddings_.front());
  embeddings_.pop_front();
  pool_.discard(std::move(done.sequence));
  if (done.request.on_done) done.request.on_done(std::move(result));
}

Status Loop::note_logprobs(Active& active, std::span<const float> logits, int32_t token) {
  const int64_t count = active.request.sampling.logprobs_top;
  if (count < 0) return {};
  MINKE_ASSIGN(const double log_sum, sampler_.log_sum_exp(logits));
  active.completion.logprobs.push_back({token, Sampler::logprob(logits, log_sum, token)});
  active.completion.top.push_back(sampler_.top(logits, log_sum, count));
  return {};
}

Result<int32_t> Loop::next_token(Active& active, std::span<float> logits,
                                 std::span<const int32_t> history) {
  if (active.request.forced_token) {
    if (const std::optional<int32_t> forced = active.request.forced_token()) return *forced;
  }
  const auto& biases = active.request.sampling.logit_bias;
  unbiased_.clear();
  for (const auto& [id, bias] : biases) {
    float& score = logits[static_cast<size_t>(id)];
    unbiased_.push_back(score);
    score += static_cast<float>(bias);
  }
  Result<int32_t> token = sample(active, logits, history);
  // Backwards: a token may be named twice.
  for (size_t i = biases.size(); i-- > 0;) {
    logits[static_cast<size_t>(biases[i].first)] = unbiased_[i];
  }
  return token;
}

Result<int32_t> Loop::sample(Active& active, std::span<float> logits,
                             std::span<const int32_t> history) {
  if (!active.request.allowed_tokens) return sampler_.sample(logits, history, active.sampler);
  MINKE_ASSIGN(const TokenSet allowed, active.request.allowed_tokens());
  const std::span<float> masked = mask_.apply(logits, allowed, options_.end_tokens);
  if (masked.empty()) {
    return fail(
        "no token of the model's vocabulary can go on with the answer as its form asks for: the "
        "form is nested too deeply, or the vocabulary lacks the characters");
  }
  Result<int32_t> token = sampler_.sample(masked, history, active.sampler);
  mask_.restore(logits);
  return token;
}

bool Loop::take_token(Active& active, int64_t position, int32_t token) {
  Completion& completion = active.completion;
  active.last_token = Clock::now();
  if (completion.tokens.empty()) active.first_token = active.last_token;
  completion.tokens.push_back(token);
  ++counted_.sampled_tokens;
  const bool ends_turn = !active.request.ignore_end && ends_[static_cast<size_t>(token)];
  TokenVerdict verdict = TokenVerdict::kContinue;
  if (active.request.on_token) {
    TokenEvent event = {.token = token, .position = position, .ends_turn = ends_turn};
    if (!completion.logprobs.empty()) {
      event.logprob = &completion.logprobs.back();
      event.top = &completion.top.back();
    }
    verdict = active.request.on_token(event);
  }
  if (ends_turn) {
    completion.finish = FinishReason::kEndOfTurn;
  } else if (verdict == TokenVerdict::kStopString) {
    completion.finish = FinishReason::kStopString;
  } else if (verdict == TokenVerdict::kCancel) {
    completion.finish = FinishReason::kCancelled;
  } else if (position + 1 == active.positions_max) {
    const int64_t tokens_max = active.request.sampling.tokens_max;
    completion.finish = std::ssize(completion.tokens) == tokens_max ? FinishReason::kTokensMax
                                                                    : FinishReason::kContextFull;
  } else {
    return false;
  }
  return true;
}

// What a step computed for one sequence: hands its logits out, samples as far as its guesses hold,
// and tells the scheduler.
void Loop::handle(const PlannedSequence& planned, std::span<float> logits) {
  const auto place = active_.find(planned.id);
  if (place == active_.end()) return;
  Active& active = *place->second;
  const auto vocab = static_cast<size_t>(options_.vocab_size);
  const int64_t first_position = planned.position + planned.rows - planned.logits + 1;
  const auto row = [&](int64_t i) { return logits.subspan(static_cast<size_t>(i) * vocab, vocab); };
  const auto hand_out = [&](int64_t i) {
    if (active.request.on_logits) active.request.on_logits(first_position + i, row(i));
  };

  const int64_t sampled_from = planned.logits - planned.drafts - (planned.samples ? 1 : 0);
  for (int64_t i = 0; i < sampled_from; ++i) hand_out(i);
  if (!planned.samples) {
    scheduler_.advance(planned, {});
    if (active.request.on_read) {
      active.request.on_read(std::min(scheduler_.computed(planned.id), active.prompt_size));
    }
    if (active.positions_max == active.prompt_size &&
        scheduler_.computed(planned.id) == active.prompt_size) {
      finish(planned.id, FinishReason::kTokensMax);
    }
    return;
  }

  // The history that penalties look back on grows with each accepted guess.
  const std::span<const int32_t> known = scheduler_.tokens(planned.id);
  std::vector<int32_t> history;
  if (planned.drafts > 0) history.assign(known.begin(), known.end());
  std::vector<int32_t> sampled;
  bool over = false;
  for (int64_t i = sampled_from; i < planned.logits && !over; ++i) {
    hand_out(i);
    const Result<int32_t> token =
        next_token(active, row(i), history.empty() ? known : std::span<const int32_t>(history));
    if (!token) return fail_request(planned.id, token.error());
    if (Status status = note_logprobs(active, row(i), *token); !status) {
      return fail_request(planned.id, status.error());
    }
    sampled.push_back(*token);
    over = take_token(active, first_position + i, *token);
    const int64_t guess = i - sampled_from;
    if (guess == planned.drafts || scheduler_.draft(planned, guess) != *token) break;
    history.push_back(*token);
    ++active.completion.usage.accepted_tokens;
    ++counted_.accepted_tokens;
  }
  active.completion.usage.drafted_tokens += planned.drafts;
  counted_.drafted_tokens += static_cast<uint64_t>(planned.drafts);
  scheduler_.advance(planned, sampled);
  if (over) finish(planned.id, active.completion.finish);
}

// A request that ends, out of all lists but the scheduler's; null where it has ended before.
std::unique_ptr<Loop::Active> Loop::take_out(uint64_t id) {
  const auto place = active_.find(id);
  if (place == active_.end()) return nullptr;
  std::unique_ptr<Active> active = std::move(place->second);
  active_.erase(place);
  if (active->request.is_ahead) std::erase(ahead_, id);
  if (id == running_ahead_) running_ahead_ = 0;
  return active;
}

void Loop::finish(uint64_t id, FinishReason reason) {
  const std::unique_ptr<Active> active = take_out(id);
  if (active == nullptr) return;
  Completion& completion = active->completion;
  completion.finish = reason;
  Usage& usage = completion.usage;
  usage.cached_tokens = scheduler_.reused_tokens(id);
  usage.answer_tokens = std::ssize(completion.tokens);
  const bool answered = !completion.tokens.empty();
  usage.prompt_seconds =
      seconds_between(active->submitted, answered ? active->first_token : Clock::now());
  usage.answer_seconds = answered ? seconds_between(active->first_token, active->last_token) : 0;
  scheduler_.finish(id, true);
  publish_stats();
  if (active->request.on_done) active->request.on_done(std::move(completion));
}

// Numbers that are not numbers may be in the cache as well: nothing of the request is kept.
void Loop::fail_request(uint64_t id, Error error) {
  const std::unique_ptr<Active> active = take_out(id);
  CHECK(active != nullptr);
  scheduler_.finish(id, false);
  publish_stats();
  if (active->request.on_done) active->request.on_done(std::unexpected(std::move(error)));
}

}  // namespace minke
