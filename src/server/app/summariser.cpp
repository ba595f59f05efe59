#include "server/app/summariser.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace minke::server {
namespace {

constexpr std::string_view kWish =
    "Keep names, figures, decisions, open questions, and code that is still needed. Write the "
    "summary and nothing else, in the language that was spoken.";

std::string whole_wish() {
  return fmt::format(
      "Summarise our conversation so far, so that it can go on from your summary alone. {}", kWish);
}

std::string passage_text(std::string_view summary, std::string_view passages) {
  if (summary.empty()) {
    return fmt::format(
        "This is the beginning of a conversation:\n\n{}\n\nSummarise it, so that it can go on "
        "from your summary alone. {}",
        passages, kWish);
  }
  return fmt::format(
      "This is a summary of a conversation so far:\n\n{}\n\nThen it went on:\n\n{}\n\nSummarise "
      "all of it anew, the summary and what followed, so that it can go on from your summary "
      "alone. {}",
      summary, passages, kWish);
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// Where the character begins that a byte belongs to.
size_t character_at(std::string_view text, size_t at) {
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80) --at;
  return at;
}

// Where a text falls into two halves: behind a line or a word, where one ends near the middle.
size_t middle_of(std::string_view text) {
  constexpr size_t kNear = 200;
  const size_t half = text.size() / 2;
  const std::string_view before =
      text.substr(half - std::min(kNear, half / 2), std::min(kNear, half / 2));
  for (const char end : {'\n', ' '}) {
    const size_t at = before.rfind(end);
    if (at != std::string_view::npos) return half - before.size() + at + 1;
  }
  return character_at(text, half);
}

}  // namespace

std::shared_ptr<Asking> Summariser::begin(ChatService& chat, Ask ask, Told told,
                                          std::shared_ptr<AnswerSink> sink) {
  auto made = std::make_shared<Summariser>(chat, std::move(ask), std::move(told), std::move(sink));
  Ask whole = made->ask_;
  chat.count(std::move(whole), [made](const std::expected<Counted, ApiError>& counted) {
    if (!counted) return made->on_refused(counted.error());
    made->counted(*counted);
  });
  return made;
}

Summariser::Summariser(ChatService& chat, Ask ask, Told told, std::shared_ptr<AnswerSink> sink)
    : chat_(chat), sink_(std::move(sink)), ask_(std::move(ask)), told_(std::move(told)) {
  ask_.turns.push_back({.role = "user", .content = whole_wish(), .reasoning = {}});
  // Whoever thinks all the same does so briefly: it is paid for at every passage.
  constexpr int64_t kThinkBudget = 256;
  ask_.sampling.think = false;
  ask_.sampling.think_budget = kThinkBudget;
  ask_.sampling.stop.clear();
}

void Summariser::cancel() {
  std::shared_ptr<Asking> asking;
  {
    const std::lock_guard lock(mutex_);
    is_cancelled_ = true;
    asking = asking_;
  }
  if (asking) asking->cancel();
}

void Summariser::counted(const Counted& counted) {
  constexpr int64_t kWholeTokens = 2'000;
  constexpr int64_t kPassageTokens = 1'000;
  constexpr int64_t kShareOfContext = 6;
  const int64_t context = counted.context_tokens;
  const int64_t left = context - counted.tokens;
  summary_tokens_max_ = std::min(kPassageTokens, context / kShareOfContext);
  const auto wished = ask_.sampling.tokens_max;
  if (wished) summary_tokens_max_ = std::min(summary_tokens_max_, *wished);
  if (left >= summary_tokens_max_) {
    is_last_ = true;
    ask_.sampling.tokens_max = std::min(left, wished.value_or(kWholeTokens));
    return start(std::move(ask_));
  }
  ask_.sampling.tokens_max = summary_tokens_max_;
  ask_.turns.clear();
  chat_.models().lease(ask_.model,
                       [self = shared_from_this()](const std::expected<Lease, ApiError>& lease) {
                         if (!lease) return self->on_refused(lease.error());
                         self->divide(*(*lease)->engine);
                       });
}

void Summariser::divide(const LocalEngine& engine) {
  constexpr int64_t kLeast = 64;   // tokens; in less nothing is said
  constexpr int64_t kMargin = 16;  // what parts and the whole may differ by
  const auto frame =
      engine.chat_question(question(passage_text("x", "")).turns, {},
                           ask_.sampling.over(engine.default_sampling()), ChatTimeline());
  if (!frame) return on_refused(engine_error(frame.error()));
  const int64_t context = engine.context_tokens();
  room_ = context - std::ssize(frame->prompt.tokens) - summary_tokens_max_ - kMargin;
  passage_max_ = room_ - summary_tokens_max_;
  if (passage_max_ < kLeast) {
    return on_refused(bad_request(
        context < engine.config().context_max
            ? fmt::format("the model's context of {} tokens is too small to summarise in: load "
                          "the model with a larger context (--ctx, at most {}), or choose another "
                          "model",
                          context, engine.config().context_max)
            : fmt::format("the model's context of {} tokens is too small to summarise in: choose "
                          "another model",
                          context),
        "model"));
  }
  if (!told_.summary.empty()) add_passage(engine, "Summary of what came before: " + told_.summary);
  for (const ChatTurn& turn : told_.turns)
    add_passage(engine, (turn.role == "user" ? "User: " : "Assistant: ") + turn.content);
  told_ = {};
  ask_next();
}

void Summariser::add_passage(const LocalEngine& engine, std::string text) {
  constexpr int64_t kJoin = 2;       // tokens: the blank line behind it
  constexpr int64_t kBytesMax = 16;  // a token: in a text of more its tokens are not counted first
  const auto halve = [&] {
    const size_t middle = middle_of(text);
    add_passage(engine, text.substr(0, middle));
    add_passage(engine, text.substr(middle));
  };
  if (std::ssize(text) > passage_max_ * kBytesMax) return halve();
  const int64_t tokens = std::ssize(engine.tokenize(text, false)) + kJoin;
  if (tokens > passage_max_) return halve();
  tokens_ += tokens;
  passages_.push_back({.text = std::move(text), .tokens = tokens});
}

// What a model wrote may be more tokens when it is read: its end is left out where it is too long.
void Summariser::keep(std::string summary) {
  summary_ = std::move(summary);
  summary_tokens_ = summary_tokens_max_;
  const Lease lease = chat_.models().loaded(ask_.model);
  if (!lease) return;
  while (true) {
    summary_tokens_ = std::ssize(lease->engine->tokenize(summary_, false));
    if (summary_tokens_ <= summary_tokens_max_) return;
    const double kept =
        static_cast<double>(summary_tokens_max_) / static_cast<double>(summary_tokens_);
    summary_.resize(
        character_at(summary_, static_cast<size_t>(kept * static_cast<double>(summary_.size()))));
  }
}

void Summariser::ask_next() {
  const int64_t most = room_ - summary_tokens_;
  std::string text;
  tokens_asked_ = 0;
  while (next_ < passages_.size() &&
         (tokens_asked_ == 0 || tokens_asked_ + passages_[next_].tokens <= most)) {
    Passage passage = std::move(passages_[next_++]);
    if (!text.empty()) text += "\n\n";
    text += passage.text;
    tokens_asked_ += passage.tokens;
  }
  is_last_ = next_ == passages_.size();
  start(question(passage_text(summary_, text)));
}

Ask Summariser::question(std::string text) const {
  Ask ask = ask_;
  ask.turns.clear();
  ask.turns.push_back({.role = "user", .content = std::move(text), .reasoning = {}});
  return ask;
}

// An answer may come before ask() has returned: its handle is then of no use any more.
void Summariser::start(Ask ask) {
  uint64_t round = 0;
  {
    const std::lock_guard lock(mutex_);
    round = ++round_;
  }
  std::shared_ptr<Asking> asking = chat_.ask(std::move(ask), shared_from_this());
  bool is_cancelled = false;
  {
    const std::lock_guard lock(mutex_);
    if (round == round_) asking_ = asking;
    is_cancelled = is_cancelled_;
  }
  if (is_cancelled) asking->cancel();
}

void Summariser::end(std::expected<Answer, ApiError> answer) {
  {
    const std::lock_guard lock(mutex_);
    ++round_;
    asking_.reset();
  }
  sink_->on_answer(0, std::move(answer));
}

void Summariser::on_refused(const ApiError& error) { end(std::unexpected(error)); }

void Summariser::on_prepared(const Prepared& prepared) {
  prompt_tokens_ = std::max<int64_t>(1, prepared.prompt_tokens);
  Prepared all = prepared;
  if (!passages_.empty()) all.prompt_tokens = tokens_;
  sink_->on_prepared(all);
}

void Summariser::on_waiting(int64_t index, int64_t position) { sink_->on_waiting(index, position); }

void Summariser::on_reading(int64_t index, int64_t tokens) {
  if (passages_.empty()) return sink_->on_reading(index, tokens);
  sink_->on_reading(index, tokens_done_ + tokens_asked_ * tokens / prompt_tokens_);
}

void Summariser::on_token(int64_t index, const TokenEvent& event) {
  if (is_last_) sink_->on_token(index, event);
}

void Summariser::on_piece(int64_t index, const Piece& piece) {
  if (is_last_) sink_->on_piece(index, piece);
}

void Summariser::on_answer(int64_t /*index*/, std::expected<Answer, ApiError> answer) {
  const bool is_whole = answer && answer->finish != FinishReason::kCancelled;
  if (!is_whole) return end(std::move(answer));
  if (!is_last_) {
    // A model that has nothing to add says nothing: what was known before stays known.
    if (!is_blank(answer->content)) keep(std::move(answer->content));
    tokens_done_ += tokens_asked_;
    return ask_next();
  }
  if (is_blank(answer->content))
    return end(std::unexpected(server_error("the model wrote no summary")));
  end(std::move(answer));
}

}  // namespace minke::server
