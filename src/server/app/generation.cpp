#include "server/app/generation.h"

#include <utility>

namespace minke::server {
namespace {

int64_t ms_of(double seconds) { return static_cast<int64_t>(seconds * 1000); }

history::Usage usage_of(const Usage& usage) {
  return {.prompt_tokens = usage.prompt_tokens,
          .cached_tokens = usage.cached_tokens,
          .answer_tokens = usage.answer_tokens,
          .reasoning_tokens = usage.reasoning_tokens,
          .prompt_ms = ms_of(usage.prompt_seconds),
          .answer_ms = ms_of(usage.answer_seconds),
          .drafted_tokens = usage.drafted_tokens,
          .accepted_tokens = usage.accepted_tokens};
}

const char* reason_of(FinishReason reason) {
  switch (reason) {
    case FinishReason::kEndOfTurn:
    case FinishReason::kStopString:
      return "stop";
    case FinishReason::kToolCalls:
      return "tool_calls";
    case FinishReason::kTokensMax:
      return "length";
    case FinishReason::kContextFull:
      return "context";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "stop";
}

}  // namespace

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Generation::Generation(history::Message message, OnEnd on_end)
    : id_(message.generation_id.value_or("")),
      message_id_(message.id),
      conversation_id_(message.conversation_id),
      on_end_(std::move(on_end)),
      message_(std::move(message)),
      content_saved_(message_.content.size()) {
  for (const history::ThinkingSegment& segment : message_.thinking)
    segments_saved_.push_back({.bytes = segment.text.size(), .is_closed = segment.ms.has_value()});
}

const char* Generation::name_of(Kind kind) {
  switch (kind) {
    case Kind::kQueued:
      return "queued";
    case Kind::kReading:
      return "reading";
    case Kind::kThinking:
      return "thinking";
    case Kind::kThought:
      return "thought";
    case Kind::kThinkingEnd:
      return "thinking-end";
    case Kind::kText:
      return "text";
    case Kind::kSpeed:
      return "speed";
    case Kind::kDone:
      return "done";
  }
  return "done";
}

void Generation::follow(std::shared_ptr<Asking> asking) {
  bool is_stopped = false;
  {
    const std::lock_guard lock(mutex_);
    if (!has_ended_) asking_ = asking;
    is_stopped = is_stopped_;
  }
  if (is_stopped) asking->cancel();
}

void Generation::stop() {
  std::shared_ptr<Asking> asking;
  {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
    asking = asking_;
  }
  if (asking) asking->cancel();
}

bool Generation::send(EventStream& stream, uint64_t id, Kind kind, const std::string& data) {
  return stream.send(id, name_of(kind),
                     is_text(kind) ? to_json(Value(Value::Object{{"text", data}})) : data);
}

void Generation::tell(Kind kind, std::string data) {
  events_.push_back({.kind = kind, .data = std::move(data)});
  const uint64_t id = events_.size();
  std::erase_if(listeners_,
                [&](EventStream& stream) { return !send(stream, id, kind, events_.back().data); });
}

// Texts that follow each other come as one, what passes is left out but for the last.
bool Generation::replay(EventStream& stream, uint64_t after) const {
  for (size_t i = after; i < events_.size();) {
    const Event& event = events_[i];
    if (!is_text(event.kind)) {
      ++i;
      const bool is_stale = passes(event.kind) && i < events_.size();
      if (!is_stale && !send(stream, i, event.kind, event.data)) return false;
      continue;
    }
    std::string text;
    size_t last = i;
    for (; i < events_.size() && (events_[i].kind == event.kind || passes(events_[i].kind)); ++i) {
      if (events_[i].kind != event.kind) continue;
      text += events_[i].data;
      last = i;
    }
    i = last + 1;
    if (!send(stream, i, event.kind, text)) return false;
  }
  return true;
}

void Generation::attach(std::shared_ptr<http::Responder> responder, uint64_t after) {
  EventStream stream(std::move(responder));
  stream.begin();
  const std::lock_guard lock(mutex_);
  if (!replay(stream, after)) return;
  if (is_over_) {
    stream.end();
  } else {
    listeners_.push_back(std::move(stream));
  }
}

std::optional<history::Growth> Generation::growth() {
  const std::lock_guard lock(mutex_);
  if (has_ended_) return std::nullopt;
  history::Growth growth{.message_id = message_id_};
  for (size_t i = 0; i < message_.thinking.size(); ++i) {
    const history::ThinkingSegment& segment = message_.thinking[i];
    const SegmentSaved saved = i < segments_saved_.size() ? segments_saved_[i] : SegmentSaved();
    const bool is_kept = i < segments_saved_.size() && saved.bytes == segment.text.size() &&
                         saved.is_closed == segment.ms.has_value();
    if (is_kept) continue;
    growth.thinking.push_back({.segment = static_cast<int64_t>(i),
                               .started_at_ms = segment.started_at_ms,
                               .ms = segment.ms,
                               .text = segment.text.substr(saved.bytes)});
  }
  growth.text = message_.content.substr(content_saved_);
  if (growth.thinking.empty() && growth.text.empty()) return std::nullopt;
  return growth;
}

void Generation::saved(const history::Growth& growth) {
  const std::lock_guard lock(mutex_);
  content_saved_ += growth.text.size();
  for (const history::ThinkingGrowth& thinking : growth.thinking) {
    const auto index = static_cast<size_t>(thinking.segment);
    if (index >= segments_saved_.size()) segments_saved_.resize(index + 1);
    segments_saved_[index].bytes += thinking.text.size();
    segments_saved_[index].is_closed = thinking.ms.has_value();
  }
}

history::Message Generation::message() const {
  const std::lock_guard lock(mutex_);
  return message_;
}

void Generation::end(const history::Message& kept) {
  const std::lock_guard lock(mutex_);
  if (is_over_) return;
  message_ = kept;
  tell(Kind::kDone, Value(Value::Object{{"message", history::to_value(kept)}}));
  is_over_ = true;
  ended_at_ = Clock::now();
  asking_.reset();
  for (EventStream& stream : listeners_) stream.end();
  listeners_.clear();
}

bool Generation::is_over() const {
  const std::lock_guard lock(mutex_);
  return is_over_;
}

Generation::Clock::time_point Generation::ended_at() const {
  const std::lock_guard lock(mutex_);
  return ended_at_;
}

bool Generation::is_thinking() const {
  return !message_.thinking.empty() && !message_.thinking.back().ms.has_value();
}

void Generation::close_thinking() {
  if (!is_thinking()) return;
  const auto took =
      std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - thinking_since_);
  message_.thinking.back().ms = took.count();
  tell(Kind::kThinkingEnd, Value(Value::Object{{"ms", int64_t{took.count()}}}));
}

history::FinishedAnswer Generation::finished(history::MessageStatus status) {
  close_thinking();
  has_ended_ = true;
  message_.status = status;
  message_.finished_at_ms = now_ms();
  return {.message_id = message_id_,
          .status = status,
          .content = message_.content,
          .thinking = message_.thinking,
          .thinking_closed = message_.thinking_closed,
          .finish_reason = message_.finish_reason,
          .error = message_.error,
          .usage = message_.usage};
}

void Generation::on_refused(const ApiError& error) { on_answer(0, std::unexpected(error)); }

void Generation::on_prepared(const Prepared& prepared) {
  const std::lock_guard lock(mutex_);
  prompt_tokens_ = prepared.prompt_tokens;
}

void Generation::on_waiting(int64_t /*index*/, int64_t position) {
  const std::lock_guard lock(mutex_);
  tell(Kind::kQueued, Value(Value::Object{{"position", position}}));
}

void Generation::on_reading(int64_t /*index*/, int64_t tokens) {
  constexpr std::chrono::milliseconds kPause(250);
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  if (now - told_reading_ < kPause && tokens < prompt_tokens_) return;
  told_reading_ = now;
  tell(Kind::kReading,
       Value(Value::Object{{"prompt_tokens", prompt_tokens_}, {"read_tokens", tokens}}));
}

void Generation::on_token(int64_t /*index*/, const TokenEvent& /*event*/) {
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  if (tokens_++ == 0) first_token_ = told_speed_ = now;
  if (now - told_speed_ < std::chrono::seconds(1)) return;
  told_speed_ = now;
  const double seconds = std::chrono::duration<double>(now - first_token_).count();
  tell(Kind::kSpeed,
       Value(Value::Object{{"answer_tokens", tokens_},
                           {"tokens_per_s", static_cast<double>(tokens_ - 1) / seconds}}));
}

void Generation::on_piece(int64_t /*index*/, const Piece& piece) {
  const std::lock_guard lock(mutex_);
  if (piece.kind == PieceKind::kReasoning) {
    if (!is_thinking()) {
      message_.thinking.push_back({.started_at_ms = now_ms()});
      thinking_since_ = Clock::now();
      tell(Kind::kThinking,
           Value(Value::Object{{"started_at_ms", message_.thinking.back().started_at_ms}}));
    }
    message_.thinking.back().text += piece.text;
    tell(Kind::kThought, std::string(piece.text));
  } else if (piece.kind == PieceKind::kContent) {
    close_thinking();
    message_.content += piece.text;
    tell(Kind::kText, std::string(piece.text));
  }
}

void Generation::on_answer(int64_t /*index*/, std::expected<Answer, ApiError> answer) {
  history::FinishedAnswer finished;
  {
    const std::lock_guard lock(mutex_);
    if (has_ended_) return;
    if (answer) {
      message_.usage = usage_of(answer->usage);
      message_.finish_reason = reason_of(answer->finish);
      message_.thinking_closed = message_.thinking_closed || answer->thinking_was_closed;
      const bool is_stopped = answer->finish == FinishReason::kCancelled;
      finished = this->finished(is_stopped ? history::MessageStatus::kStopped
                                           : history::MessageStatus::kComplete);
    } else {
      message_.error = answer.error().message;
      if (answer.error().code == "context_length_exceeded") message_.finish_reason = "context";
      finished = this->finished(history::MessageStatus::kFailed);
    }
  }
  on_end_(shared_from_this(), std::move(finished));
}

}  // namespace minke::server
