// Texts on their way to be vectors: one turn of the model's queue for a request, whose texts are
// read one after the other, so that those of several requests are read in turn.

#include <boost/asio/post.hpp>
#include <utility>

#include "server/chat/chat_service.h"

namespace minke::server {

class ChatService::Embedding final : public Watched,
                                     public std::enable_shared_from_this<Embedding> {
 public:
  Embedding(ChatService& service, EmbedAsk what, OnEmbedded on_done)
      : service_(service),
        ask_(std::move(what)),
        on_done_(std::move(on_done)),
        began_(Clock::now()) {}

  void begin() {
    service_.models_.lease(ask_.model,
                           [self = shared_from_this()](std::expected<Lease, ApiError> lease) {
                             if (!lease) return self->end(std::unexpected(lease.error()));
                             self->prepare(*std::move(lease));
                           });
  }

  void cancel() override;
  void check_time(Clock::time_point now) override;

 private:
  void prepare(Lease lease);
  void start();
  void read_next();  // mutex_ is held
  void take(Result<std::vector<float>> vector);
  void end(std::expected<EmbeddedTexts, ApiError> result);

  ChatService& service_;
  const EmbedAsk ask_;
  const OnEmbedded on_done_;
  const Clock::time_point began_;

  std::mutex mutex_;  // for what follows
  Lease lease_;
  std::vector<std::vector<int32_t>> texts_;
  EmbeddedTexts embedded_;
  TurnQueue::Ticket ticket_ = 0;
  bool has_turn_ = false;
  uint64_t engine_id_ = 0;  // of the text that is being read; 0: none is
  bool is_cancelled_ = false;
  bool is_over_ = false;
};

void ChatService::Embedding::prepare(Lease lease) {
  LocalEngine& engine = *lease->engine;
  std::vector<std::vector<int32_t>> texts;
  int64_t tokens = 0;
  for (const EmbedInput& one : ask_.input) {
    texts.push_back(one.tokens ? *one.tokens : engine.text_prompt(one.text, false));
    tokens += std::ssize(texts.back());
  }
  {
    const std::lock_guard lock(mutex_);
    if (is_over_) return;
    lease_ = lease;
    texts_ = std::move(texts);
    embedded_.model = lease->name;
    embedded_.tokens = tokens;
  }
  // Whoever makes room has other things to do: a worker goes on.
  const auto started = [self = shared_from_this()] {
    boost::asio::post(self->service_.workers_, [self] { self->start(); });
  };
  std::vector<TurnQueue::Ticket> tickets;
  if (!lease->queue.enter({{.client = ask_.client,
                            .tokens = tokens,
                            .is_embedding = true,
                            .start = started,
                            .on_moved = {}}},
                          tickets)) {
    return end(std::unexpected(queue_full(lease->queue)));
  }
  bool is_over = false;
  {
    const std::lock_guard lock(mutex_);
    is_over = is_over_;
    ticket_ = tickets.front();
    if (!is_over && has_turn_) read_next();
  }
  if (is_over) lease->queue.leave(tickets.front());
}

// Its turn has come, perhaps before it was told its ticket.
void ChatService::Embedding::start() {
  const std::lock_guard lock(mutex_);
  has_turn_ = true;
  if (!is_over_ && ticket_ != 0) read_next();
}

void ChatService::Embedding::read_next() {
  const size_t index = embedded_.vectors.size();
  engine_id_ = lease_->engine->submit(EmbeddingRequest{
      .tokens = std::move(texts_[index]),
      .on_done = [self = shared_from_this()](auto vector) { self->take(std::move(vector)); }});
}

// On the engine's thread.
void ChatService::Embedding::take(Result<std::vector<float>> vector) {
  std::expected<EmbeddedTexts, ApiError> result;
  {
    const std::lock_guard lock(mutex_);
    engine_id_ = 0;
    if (!vector || is_cancelled_) {
      ApiError error = vector || is_cancelled_ ? cancelled() : engine_error(vector.error());
      if (error.status == 400) error.param = "input";
      result = std::unexpected(std::move(error));
    } else {
      embedded_.vectors.push_back(*std::move(vector));
      if (embedded_.vectors.size() < texts_.size()) return read_next();
      result = std::move(embedded_);
    }
  }
  end(std::move(result));
}

// It is told when its place is free again, on a worker: the vectors of many texts are a long
// answer.
void ChatService::Embedding::end(std::expected<EmbeddedTexts, ApiError> result) {
  Lease lease;
  TurnQueue::Ticket ticket = 0;
  bool was_cancelled = false;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(is_over_, true)) return;
    ticket = ticket_;
    was_cancelled = is_cancelled_;
    lease.swap(lease_);
  }
  if (ticket != 0) lease->queue.leave(ticket);
  {
    const std::lock_guard lock(service_.mutex_);
    ServiceStats& stats = service_.stats_;
    ++(was_cancelled ? stats.cancelled : result ? stats.answered : stats.failed);
    if (result) stats.prompt_tokens += static_cast<uint64_t>(result->tokens);
  }
  boost::asio::post(service_.workers_,
                    [self = shared_from_this(), result = std::move(result)]() mutable {
                      self->on_done_(std::move(result));
                    });
}

void ChatService::Embedding::cancel() {
  uint64_t id = 0;
  Lease lease;
  {
    const std::lock_guard lock(mutex_);
    if (is_over_) return;
    is_cancelled_ = true;
    id = engine_id_;
    lease = lease_;
  }
  // The engine ends what it reads within half a layer, and take() tells.
  if (id != 0) return lease->engine->cancel(id);
  end(std::unexpected(cancelled()));
}

void ChatService::Embedding::check_time(Clock::time_point now) {
  {
    const std::lock_guard lock(mutex_);
    if (is_over_ || has_turn_) return;
  }
  const auto time = now - began_;
  if (time > service_.options_.waiting_time_max) end(std::unexpected(timed_out(time)));
}

std::shared_ptr<Asking> ChatService::embed(EmbedAsk what, OnEmbedded on_done) {
  auto embedding = std::make_shared<Embedding>(*this, std::move(what), std::move(on_done));
  watch(embedding);
  embedding->begin();
  return embedding;
}

void embed_for(ChatService& service, const std::shared_ptr<Call>& call, EmbedAsk what,
               OnEmbedded on_done) {
  what.client = call->client;
  const std::shared_ptr<Asking> asking = service.embed(std::move(what), std::move(on_done));
  call->responder->on_gone([weak = std::weak_ptr(asking)] {
    if (const auto alive = weak.lock()) alive->cancel();
  });
}

}  // namespace minke::server
