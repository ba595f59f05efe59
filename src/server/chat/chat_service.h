// From a request, whichever dialect it came in, to answers: finds and loads the model, renders and
// tokenises, waits for its turn, asks the engine, remembers the conversation's tokens, and has what
// comes next read ahead. Every dialect and the app are callers of this and of nothing below it.
//
// Any thread. A sink is called on a worker or on the engine's thread, never by two at once for one
// answer; it must not block.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "minke/engine.h"
#include "server/api/route.h"
#include "server/chat/model_host.h"

namespace minke::server {

// What a request wants of sampling; what it leaves out is as the model has it.
struct SamplingWish {
  std::optional<double> temperature, top_p, min_p;
  std::optional<double> repeat_penalty, presence_penalty, frequency_penalty;
  std::optional<int64_t> top_k, tokens_max, think_budget, logprobs_top, repeat_window;
  std::optional<uint64_t> seed;
  std::optional<bool> think;
  std::vector<std::string> stop;
  std::vector<std::pair<int32_t, double>> logit_bias;
  AnswerForm form;
  bool speculate = true;

  SamplingOptions over(const SamplingOptions& defaults) const;

  // Of an object whose members were checked, those that all dialects call the same: temperature,
  // top_p, min_p, top_k, the penalties, seed, and stop (a text or several).
  static SamplingWish read(const Value& object);
};

// Whether and which tools the model may, or has to, call.
struct ToolChoice {
  enum class Kind : uint8_t { kAuto, kNone, kRequired, kNamed };
  Kind kind = Kind::kAuto;
  std::string name;  // kNamed
};

// An answer that was cut off, to go on where it ended.
struct BegunAnswer {
  std::string reasoning;
  std::string content;  // empty: it was still thinking, if there is reasoning
};

struct Ask {
  std::string model = {};   // as the request names it; empty: the default
  std::string client = {};  // for fair turns
  std::vector<ChatTurn> turns = {};
  std::string prompt_param = "messages";  // what the dialect calls the member with the prompt
  // Raw text or tokens instead of turns: no template.
  std::optional<std::string> raw_text = {};
  std::optional<std::vector<int32_t>> raw_tokens = {};
  std::vector<Tool> tools = {};
  ToolChoice tool_choice = {};
  SamplingWish sampling = {};
  // The answer is what follows this, of which nothing is said again.
  std::optional<BegunAnswer> begun = {};
  int64_t count = 1;  // answers, each its own under the same seed
  // Of the client's whole request, where this is one of its prompts; 0: count is all.
  int64_t request_count = 0;
  int64_t context_max = 0;  // of prompt and answer, below the model's; 0: the model's
};

struct Prepared {
  Lease model;
  int64_t prompt_tokens = 0;
  int64_t context_tokens = 0;
  bool starts_thinking = false;  // the prompt ends inside the thinking
};

class AnswerSink {
 public:
  virtual ~AnswerSink() = default;
  // Either this, once, and nothing else (no model, no room, a prompt that is too long) ...
  virtual void on_refused(const ApiError& error) = 0;
  // ... or this, then what follows for each answer, and on_answer last.
  virtual void on_prepared(const Prepared&) {}
  virtual void on_waiting(int64_t /*index*/, int64_t /*position*/) {}
  virtual void on_reading(int64_t /*index*/, int64_t /*tokens*/) {}
  virtual void on_token(int64_t /*index*/, const TokenEvent&) {}
  virtual void on_piece(int64_t /*index*/, const Piece&) {}
  virtual void on_answer(int64_t index, std::expected<Answer, ApiError> answer) = 0;
};

// Answers under way. Dropping it does not end them.
class Asking {
 public:
  virtual ~Asking() = default;
  // Ends what has not ended: on_answer comes with FinishReason::kCancelled and what there is.
  virtual void cancel() = 0;
};

// Texts that are to be vectors.
struct EmbedInput {
  std::string text = {};
  std::optional<std::vector<int32_t>> tokens = {};  // instead of the text
};
struct EmbedAsk {
  std::string model;              // as in Ask
  std::string client;             // likewise
  std::vector<EmbedInput> input;  // at least one
};
struct EmbeddedTexts {
  std::string model;
  std::vector<std::vector<float>> vectors;  // of length one, one a text
  int64_t tokens = 0;                       // of all texts
};
// Comes once, on a worker.
using OnEmbedded = std::function<void(std::expected<EmbeddedTexts, ApiError>)>;

struct ServiceOptions {
  // For a turn: who has waited longer is told that it takes too long.
  std::chrono::milliseconds waiting_time_max = std::chrono::minutes(10);
};

struct ServiceStats {
  uint64_t asked = 0, answered = 0, refused = 0, failed = 0, cancelled = 0;
  uint64_t prompt_tokens = 0, cached_tokens = 0, answer_tokens = 0, reasoning_tokens = 0;
  double prompt_seconds = 0, answer_seconds = 0;
};

// A prompt's tokens without asking, also beyond the context: for count_tokens and the app's meter.
struct Counted {
  int64_t tokens = 0;
  int64_t context_tokens = 0;
};

class ChatService {
 public:
  ChatService(ServiceOptions options, ModelHost& models, boost::asio::thread_pool& workers);
  ~ChatService();

  std::shared_ptr<Asking> ask(Ask what, std::shared_ptr<AnswerSink> sink);
  // A turn of the model's queue as well, one for all the texts.
  std::shared_ptr<Asking> embed(EmbedAsk what, OnEmbedded on_done);
  void count(Ask what, std::function<void(std::expected<Counted, ApiError>)> on_counted);
  // Ends everything that is under way, as Asking::cancel does: the server is ending.
  void cancel_all();
  ModelHost& models() { return models_; }
  ServiceStats stats() const;

 private:
  using Clock = std::chrono::steady_clock;
  class Watched : public Asking {
   public:
    // Ends it if its time is up.
    virtual void check_time(Clock::time_point now) = 0;
  };
  class AskingImpl;
  class Embedding;
  static ApiError queue_full(const TurnQueue& queue);
  static ApiError never_fits(const TurnQueue& queue, int64_t answers, std::string param);
  static ApiError timed_out(Clock::duration time);
  static ApiError cancelled();
  void watch(const std::shared_ptr<Watched>& begun);
  void note(const std::expected<Answer, ApiError>& answer);
  void keep_time(const std::stop_token& stop);
  std::vector<std::shared_ptr<Watched>> under_way();

  const ServiceOptions options_;
  ModelHost& models_;
  boost::asio::thread_pool& workers_;
  mutable std::mutex mutex_;
  ServiceStats stats_;
  std::deque<std::weak_ptr<Watched>> watched_;
  std::condition_variable_any wake_;
  std::jthread clock_;  // last
};

// Asks for the client of a call, whose going ends the answers.
std::shared_ptr<Asking> ask_for(ChatService& service, const std::shared_ptr<Call>& call, Ask what,
                                std::shared_ptr<AnswerSink> sink);

void embed_for(ChatService& service, const std::shared_ptr<Call>& call, EmbedAsk what,
               OnEmbedded on_done);

// Which of the stop strings ended the answer; empty: none did.
std::string stop_string_of(const Answer& answer, const std::vector<std::string>& stops,
                           const Engine& engine);

// What the turns are where a template refuses them as they are: system text at the head alone,
// users and assistants in turn.
std::vector<ChatTurn> folded_turns(const std::vector<ChatTurn>& turns);

// An engine's fault as clients see it.
ApiError engine_error(const Error& error);

}  // namespace minke::server
