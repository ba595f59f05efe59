// Ollama's dialect: chat, generate, and the models. The shapes follow Ollama's API documentation;
// docs/api.md says what is taken, what is passed over and what is refused.
#pragma once

#include <chrono>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/api/sse.h"
#include "server/openai/openai.h"

namespace minke::server {

Routes ollama_chat_routes(Services& services);
Routes ollama_embed_routes(Services& services);
Routes ollama_model_routes(Services& services);
Route ollama_pull_route(Services& services);

// A request of either kind that makes an answer.
struct OllamaAsk {
  Ask ask;
  bool is_generate = false;
  bool asks_nothing = false;  // no message, no prompt: the model is to be loaded, or to go
  bool streams = true;
  bool wants_logprobs = false;
  // How long the model stays after this; negative: until its room is needed.
  std::optional<std::chrono::seconds> keep_alive = {};
};
Shape ollama_chat_shape();
Shape ollama_generate_shape();
std::expected<OllamaAsk, ApiError> read_ollama_chat(const Call& call);
std::expected<OllamaAsk, ApiError> read_ollama_generate(const Call& call);

// "5m", "1h30m", "-1" or a number of seconds; none: it is not written so.
std::optional<std::chrono::seconds> read_keep_alive(const Value& value);

// "2026-03-01T08:00:00.123456Z", as Ollama writes times.
std::string ollama_time(std::chrono::system_clock::time_point time);

// The members under which requests name a model: `model`, or `name` of old.
std::vector<Member> ollama_name_members();
std::expected<std::string, ApiError> read_ollama_name(const Value& body);

// A stream of JSON values, one a line.
class LineStream {
 public:
  explicit LineStream(std::shared_ptr<http::Responder> responder)
      : responder_(std::move(responder)) {}

  // `still_here` is said whenever nothing else is for a while: clients know no comments in such a
  // stream, so it has to be a value that adds nothing.
  void begin(const Value& still_here) {
    responder_->begin({.status = 200, .headers = {{"Content-Type", "application/x-ndjson"}}});
    responder_->keep_alive(to_json(still_here) + "\n", kSilenceMax);
  }
  bool send(const Value& value) { return responder_->write(on_one_line(to_json(value)) + "\n"); }
  void end() { responder_->end(); }

 private:
  std::shared_ptr<http::Responder> responder_;
};

}  // namespace minke::server
