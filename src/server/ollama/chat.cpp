// POST /api/chat and /api/generate.

#include <fmt/format.h>

#include <utility>

#include "server/ollama/ollama.h"

namespace minke::server {
namespace {

using Clock = std::chrono::steady_clock;

int64_t nanoseconds(Clock::duration time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
}
int64_t nanoseconds(double seconds) { return static_cast<int64_t>(seconds * 1e9); }

const char* done_reason(FinishReason reason) {
  return reason == FinishReason::kTokensMax || reason == FinishReason::kContextFull ? "length"
                                                                                    : "stop";
}

class OllamaSink final : public AnswerSink {
 public:
  OllamaSink(Services& services, std::shared_ptr<Call> call, const OllamaAsk& asked)
      : services_(services),
        call_(std::move(call)),
        is_generate_(asked.is_generate),
        streams_(asked.streams),
        wants_logprobs_(asked.wants_logprobs),
        keep_alive_(asked.keep_alive),
        name_(asked.ask.model),
        stream_(call_->responder) {}

  void on_refused(const ApiError& error) override { call_->fail(error); }

  void on_prepared(const Prepared& prepared) override {
    engine_ = prepared.model->engine.get();
    model_ = prepared.model->name;
    prepared_at_ = Clock::now();
    if (keep_alive_) services_.models.keep(model_, *keep_alive_);
    if (streams_) stream_.begin(piece("", PieceKind::kContent));
  }

  void on_token(int64_t, const TokenEvent& event) override {
    if (!wants_logprobs_ || event.logprob == nullptr || event.ends_turn) return;
    logprobs_.push_back(openai_token_logprobs(*engine_, *event.logprob, *event.top));
  }

  void on_piece(int64_t, const Piece& now) override {
    if (now.kind == PieceKind::kToolCall) {
      Value call = call_value(*now.call);
      if (streams_) send(with_calls({call}));
      calls_.push_back(std::move(call));
      return;
    }
    if (streams_) send(piece(std::string(now.text), now.kind));
  }

  void on_answer(int64_t, std::expected<Answer, ApiError> answer) override {
    if (keep_alive_ && keep_alive_->count() == 0) (void)services_.models.unload(model_);
    if (!answer) {
      if (!streams_) return call_->fail(answer.error());
      stream_.send(Value(Value::Object{{"error", answer.error().message}}));
      stream_.end();
      return;
    }
    Value last = streams_ ? piece("", PieceKind::kContent) : whole(*answer);
    add_end(last, *answer);
    if (!streams_) return call_->respond(last);
    send(std::move(last));
    stream_.end();
  }

 private:
  Value::Object frame() const {
    return {{"model", name_}, {"created_at", ollama_time(std::chrono::system_clock::now())}};
  }

  // A line that brings so much text.
  Value piece(std::string text, PieceKind kind) const {
    Value::Object out = frame();
    const bool is_thinking = kind == PieceKind::kReasoning;
    std::string content = is_thinking ? "" : text;
    if (is_generate_) {
      out.emplace_back("response", std::move(content));
      if (is_thinking) out.emplace_back("thinking", std::move(text));
    } else {
      Value::Object message = {{"role", "assistant"}, {"content", std::move(content)}};
      if (is_thinking) message.emplace_back("thinking", std::move(text));
      out.emplace_back("message", Value(std::move(message)));
    }
    out.emplace_back("done", false);
    return Value(std::move(out));
  }

  Value with_calls(Value::Array calls) const {
    Value::Object out = frame();
    out.emplace_back("message", Value(Value::Object{{"role", "assistant"},
                                                    {"content", ""},
                                                    {"tool_calls", Value(std::move(calls))}}));
    out.emplace_back("done", false);
    return Value(std::move(out));
  }

  Value call_value(const ToolCall& call) const {
    Result<Value> arguments = parse_json(call.arguments);
    return Value(Value::Object{
        {"id", call.id},
        {"function", Value(Value::Object{{"index", std::ssize(calls_)},
                                         {"name", call.name},
                                         {"arguments", arguments ? *std::move(arguments)
                                                                 : Value(Value::Object{})}})}});
  }

  Value whole(const Answer& answer) const {
    Value::Object out = frame();
    if (is_generate_) {
      out.emplace_back("response", answer.content);
      if (!answer.reasoning.empty()) out.emplace_back("thinking", answer.reasoning);
    } else {
      Value::Object message = {{"role", "assistant"}, {"content", answer.content}};
      if (!answer.reasoning.empty()) message.emplace_back("thinking", answer.reasoning);
      if (!calls_.empty()) message.emplace_back("tool_calls", Value(calls_));
      out.emplace_back("message", Value(std::move(message)));
    }
    if (!logprobs_.empty()) out.emplace_back("logprobs", Value(logprobs_));
    out.emplace_back("done", false);
    return Value(std::move(out));
  }

  void add_end(Value& line, const Answer& answer) const {
    Value::Object& out = *line.as_object();
    for (auto& [name, value] : out) {
      if (name == "done") value = true;
    }
    const Usage& usage = answer.usage;
    const auto begun = call_->request->received;
    out.emplace_back("done_reason", done_reason(answer.finish));
    out.emplace_back("total_duration", nanoseconds(Clock::now() - begun));
    out.emplace_back("load_duration", nanoseconds(prepared_at_ - begun));
    out.emplace_back("prompt_eval_count", usage.prompt_tokens);
    out.emplace_back("prompt_eval_duration", nanoseconds(usage.prompt_seconds));
    out.emplace_back("eval_count", usage.answer_tokens);
    out.emplace_back("eval_duration", nanoseconds(usage.answer_seconds));
  }

  void send(Value line) {
    if (!logprobs_.empty()) {
      line.as_object()->emplace_back("logprobs", Value(std::exchange(logprobs_, {})));
    }
    stream_.send(line);
  }

  Services& services_;
  const std::shared_ptr<Call> call_;
  const bool is_generate_, streams_, wants_logprobs_;
  const std::optional<std::chrono::seconds> keep_alive_;
  const std::string name_;  // as the request has it
  LineStream stream_;
  const LocalEngine* engine_ = nullptr;
  std::string model_;
  Clock::time_point prepared_at_;
  Value::Array calls_;
  Value::Array logprobs_;  // of tokens whose text has not come out yet
};

// Without a question, the model alone is meant: it is loaded, or goes.
void load_or_unload(Services& services, const std::shared_ptr<Call>& call, const OllamaAsk& asked) {
  const auto name = services.models.resolve(asked.ask.model);
  if (!name) return call->fail(name.error());
  const auto respond = [call, asked](const char* reason) {
    Value::Object out = {{"model", asked.ask.model},
                         {"created_at", ollama_time(std::chrono::system_clock::now())}};
    if (asked.is_generate) {
      out.emplace_back("response", "");
    } else {
      out.emplace_back("message", Value(Value::Object{{"role", "assistant"}, {"content", ""}}));
    }
    out.emplace_back("done", true);
    out.emplace_back("done_reason", reason);
    if (!asked.streams) return call->respond(Value(std::move(out)));
    call->responder->respond(
        http::text_response(200, "application/x-ndjson", to_json(Value(std::move(out))) + "\n"));
  };
  if (asked.keep_alive && asked.keep_alive->count() == 0) {
    const auto gone = services.models.unload(*name);
    if (!gone) return call->fail(gone.error());
    return respond("unload");
  }
  services.models.lease(*name, [&services, call, asked, respond,
                                name = *name](const std::expected<Lease, ApiError>& lease) {
    if (!lease) return call->fail(lease.error());
    if (asked.keep_alive) services.models.keep(name, *asked.keep_alive);
    respond("load");
  });
}

void handle(Services& services, const std::shared_ptr<Call>& call,
            std::expected<OllamaAsk, ApiError> asked) {
  if (!asked) return call->fail(asked.error());
  if (asked->asks_nothing) return load_or_unload(services, call, *asked);
  const auto sink = std::make_shared<OllamaSink>(services, call, *asked);
  ask_for(services.chat, call, std::move(asked->ask), sink);
}

std::vector<Member> end_members() {
  const Shape count = Shape::integer(0, int64_t{1} << 62);
  return {required("model", Shape::string()),
          required("created_at", Shape::string()),
          required("done", Shape::boolean()),
          optional("done_reason", Shape::string()),
          optional("total_duration", count, "Nanoseconds, as all durations here"),
          optional("load_duration", count),
          optional("prompt_eval_count", count),
          optional("prompt_eval_duration", count),
          optional("eval_count", count),
          optional("eval_duration", count)};
}

std::vector<RouteAnswer> answers_of(Shape shape) {
  return {{.status = 200, .description = "The answer", .shape = std::move(shape)},
          {.status = 200,
           .description = "The answer as it comes, a JSON value a line",
           .media_type = "application/x-ndjson",
           .shape = Shape::string()}};
}

}  // namespace

Routes ollama_chat_routes(Services& services) {
  std::vector<Member> chat_members = end_members(), generate_members = end_members();
  chat_members.push_back(required("message", Shape::object({
                                                 required("role", Shape::choice({"assistant"})),
                                                 required("content", Shape::string()),
                                                 optional("thinking", Shape::string()),
                                             })));
  generate_members.push_back(required("response", Shape::string()));
  generate_members.push_back(optional("thinking", Shape::string()));
  const char* description =
      "Streams unless `stream` is false; the last line has `done: true`. A client that goes ends "
      "its answer.";
  return {
      {.method = "POST",
       .path = "/api/chat",
       .id = "ollamaChat",
       .summary = "Answer a conversation",
       .description = description,
       .tag = "Ollama",
       .body = ollama_chat_shape(),
       .body_bytes_max = kChatBody,
       .answers = answers_of(Shape::object(std::move(chat_members)).named("OllamaChat")),
       .handle =
           [&services](const std::shared_ptr<Call>& call) {
             handle(services, call, read_ollama_chat(*call));
           }},
      {.method = "POST",
       .path = "/api/generate",
       .id = "ollamaGenerate",
       .summary = "Answer one prompt",
       .description = description,
       .tag = "Ollama",
       .body = ollama_generate_shape(),
       .body_bytes_max = kChatBody,
       .answers = answers_of(Shape::object(std::move(generate_members)).named("OllamaGenerate")),
       .handle =
           [&services](const std::shared_ptr<Call>& call) {
             handle(services, call, read_ollama_generate(*call));
           }},
  };
}

}  // namespace minke::server
