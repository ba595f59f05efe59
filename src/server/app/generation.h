// One answer of the app while it runs, and a while after. It belongs to the server: pages come and
// go, and whoever comes back gets what followed the last event that it saw.
//
// Any thread. Pieces come on the engine's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "server/api/sse.h"
#include "server/chat/chat_service.h"
#include "server/history/store.h"

namespace minke::server {

class Generation final : public AnswerSink, public std::enable_shared_from_this<Generation> {
 public:
  using OnEnd = std::function<void(std::shared_ptr<Generation>, history::FinishedAnswer)>;

  // `message` is the running one as it is kept, with what it already has where it goes on.
  // `on_end` is called once, on any thread; then end() has to be.
  Generation(history::Message message, OnEnd on_end);

  const std::string& id() const { return id_; }
  const std::string& message_id() const { return message_id_; }
  const std::string& conversation_id() const { return conversation_id_; }

  // Of what was asked with this as its sink: what stop() cancels.
  void follow(std::shared_ptr<Asking> asking);
  void stop();
  // Tells the events after `after`, and those that come.
  void attach(std::shared_ptr<http::Responder> responder, uint64_t after);

  // What has not been saved, if anything has not; saved() when it has been.
  std::optional<history::Growth> growth();
  void saved(const history::Growth& growth);
  // The message as it is now.
  history::Message message() const;
  // The last event.
  void end(const history::Message& kept);
  bool is_over() const;
  std::chrono::steady_clock::time_point ended_at() const;

  void on_refused(const ApiError& error) override;
  void on_prepared(const Prepared& prepared) override;
  void on_waiting(int64_t index, int64_t position) override;
  void on_reading(int64_t index, int64_t tokens) override;
  void on_token(int64_t index, const TokenEvent& event) override;
  void on_piece(int64_t index, const Piece& piece) override;
  void on_answer(int64_t index, std::expected<Answer, ApiError> answer) override;

 private:
  using Clock = std::chrono::steady_clock;
  enum class Kind : uint8_t {
    kQueued,
    kReading,
    kThinking,
    kThought,
    kThinkingEnd,
    kText,
    kSpeed,
    kDone
  };
  // Number i has the id i + 1. `data` is JSON, or of texts the text.
  struct Event {
    Kind kind;
    std::string data;
  };
  static const char* name_of(Kind kind);
  static bool is_text(Kind kind) { return kind == Kind::kText || kind == Kind::kThought; }
  // Worth nothing to who comes later.
  static bool passes(Kind kind) {
    return kind == Kind::kQueued || kind == Kind::kReading || kind == Kind::kSpeed;
  }

  // mutex_ is held for what follows.
  void tell(Kind kind, std::string data);
  void tell(Kind kind, const Value& data) { tell(kind, to_json(data)); }
  static bool send(EventStream& stream, uint64_t id, Kind kind, const std::string& data);
  bool replay(EventStream& stream, uint64_t after) const;
  void close_thinking();
  bool is_thinking() const;
  history::FinishedAnswer finished(history::MessageStatus status);

  const std::string id_, message_id_, conversation_id_;
  const OnEnd on_end_;

  mutable std::mutex mutex_;
  history::Message message_;
  std::vector<Event> events_;
  std::vector<EventStream> listeners_;
  std::shared_ptr<Asking> asking_;
  bool is_stopped_ = false;
  bool has_ended_ = false;  // on_end_ has been called
  bool is_over_ = false;    // the last event has been told
  Clock::time_point ended_at_;

  // What of the message is kept.
  size_t content_saved_ = 0;
  struct SegmentSaved {
    size_t bytes = 0;
    bool is_closed = false;
  };
  std::vector<SegmentSaved> segments_saved_;

  int64_t prompt_tokens_ = 0;
  Clock::time_point told_reading_{}, told_speed_{}, first_token_{}, thinking_since_{};
  int64_t tokens_ = 0;
};

int64_t now_ms();

}  // namespace minke::server
