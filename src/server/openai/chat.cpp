// POST /v1/chat/completions.

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <mutex>
#include <utility>

#include "server/api/sse.h"
#include "server/chat/effort.h"
#include "server/openai/openai.h"

namespace minke::server {
namespace {

constexpr int64_t kAnswersMax = 16;
constexpr int64_t kTokensMax = int64_t{1} << 30;

struct ChatAsk {
  Ask ask;
  bool streams = false;
  bool includes_usage = false;
  bool wants_logprobs = false;
};

Shape request_shape() {
  std::vector<Member> members = {
      optional("model", Shape::string().at_most(500), "A name of /v1/models; else the default"),
      required("messages", Shape::array(chat_message_shape(), 10'000).at_least(1)),
      optional("stream", Shape::boolean()),
      optional("stream_options", Shape::object({optional("include_usage", Shape::boolean())})),
      optional("n", Shape::integer(1, kAnswersMax), "Answers, each on its own under one seed"),
      optional("max_tokens", Shape::integer(1, kTokensMax)),
      optional("max_completion_tokens", Shape::integer(1, kTokensMax)),
      optional("logprobs", Shape::boolean(), "Of the content: thinking has none"),
      optional("top_logprobs", Shape::integer(0, 20)),
      optional("response_format", Shape::object({required("type", Shape::string())}),
               "text, json_object, json_schema, or regex; holds from the end of the thinking on"),
      optional("tools", Shape::array(tool_shape(), 256)),
      optional("tool_choice", Shape::one_of({Shape::string(), Shape::map()})),
      optional("reasoning_effort", effort_shape(), "How long the model may think"),
  };
  for (Member& one : sampling_members()) members.push_back(std::move(one));
  return Shape::object(std::move(members)).named("ChatCompletionRequest");
}

std::expected<ChatAsk, ApiError> read_request(const Call& call) {
  const Value& body = call.body;
  ChatAsk out;
  out.ask.client = call.client;
  out.ask.model = text_member(body, "model");
  auto turns = read_turns(*body.find("messages"), "messages");
  if (!turns) return std::unexpected(turns.error());
  out.ask.turns = *std::move(turns);
  auto sampling = read_sampling(body);
  if (!sampling) return std::unexpected(sampling.error());
  out.ask.sampling = *std::move(sampling);
  SamplingWish& wish = out.ask.sampling;
  wish.tokens_max = maybe_integer(body, "max_completion_tokens");
  if (!wish.tokens_max) wish.tokens_max = maybe_integer(body, "max_tokens");
  if (const auto effort = maybe_text(body, "reasoning_effort")) read_effort(*effort, wish);
  out.wants_logprobs = maybe_bool(body, "logprobs").value_or(false);
  const int64_t top = maybe_integer(body, "top_logprobs").value_or(0);
  if (out.wants_logprobs) wish.logprobs_top = top;
  if (top > 0 && !out.wants_logprobs) {
    return std::unexpected(bad_request("top_logprobs wants logprobs to be true", "top_logprobs"));
  }
  auto form = read_response_format(member(body, "response_format"));
  if (!form) return std::unexpected(form.error());
  wish.form = *std::move(form);
  auto tools = read_tools(member(body, "tools"), "tools");
  if (!tools) return std::unexpected(tools.error());
  out.ask.tools = *std::move(tools);
  auto choice = read_tool_choice(member(body, "tool_choice"));
  if (!choice) return std::unexpected(choice.error());
  out.ask.tool_choice = *std::move(choice);
  out.ask.count = maybe_integer(body, "n").value_or(1);
  out.streams = maybe_bool(body, "stream").value_or(false);
  if (const Value* options = member(body, "stream_options")) {
    out.includes_usage = maybe_bool(*options, "include_usage").value_or(false);
  }
  return out;
}

Value logprobs_value(Value::Array entries) {
  return Value(Value::Object{{"content", Value(std::move(entries))}, {"refusal", Value()}});
}

// Writes the answers, whole or as they come.
class ChatSink final : public AnswerSink {
 public:
  ChatSink(std::shared_ptr<Call> call, const ChatAsk& asked)
      : call_(std::move(call)),
        streams_(asked.streams),
        includes_usage_(asked.includes_usage),
        wants_logprobs_(asked.wants_logprobs),
        stream_(call_->responder),
        id_(fresh_id("chatcmpl-")),
        created_(unix_time_s()),
        answers_(static_cast<size_t>(asked.ask.count)),
        parts_(static_cast<size_t>(asked.ask.count)) {}

  void on_refused(const ApiError& error) override { call_->fail(error); }

  void on_prepared(const Prepared& prepared) override {
    const std::lock_guard lock(mutex_);
    engine_ = prepared.model->engine.get();
    model_ = prepared.model->name;
    if (!streams_) return;
    stream_.begin();
    for (size_t index = 0; index < parts_.size(); ++index) {
      chunk(index, Value(Value::Object{{"role", "assistant"}, {"content", ""}}));
    }
  }

  void on_token(int64_t index, const TokenEvent& event) override {
    if (!wants_logprobs_) return;
    const std::lock_guard lock(mutex_);
    parts_[static_cast<size_t>(index)].logprobs.take_token(*engine_, event);
  }

  void on_piece(int64_t index, const Piece& piece) override {
    const std::lock_guard lock(mutex_);
    parts_[static_cast<size_t>(index)].logprobs.take_piece(piece.kind);
    if (!streams_) return parts_[static_cast<size_t>(index)].keep_logprobs();
    Value::Object delta;
    if (piece.kind == PieceKind::kContent) {
      delta.emplace_back("content", std::string(piece.text));
    } else if (piece.kind == PieceKind::kReasoning) {
      delta.emplace_back("reasoning_content", std::string(piece.text));
      delta.emplace_back("reasoning", std::string(piece.text));
    } else {
      Value call = openai_tool_call(*piece.call);
      call.as_object()->insert(call.as_object()->begin(),
                               {"index", parts_[static_cast<size_t>(index)].calls++});
      delta.emplace_back("tool_calls", Value(Value::Array{std::move(call)}));
    }
    chunk(static_cast<size_t>(index), Value(std::move(delta)));
  }

  void on_answer(int64_t index, std::expected<Answer, ApiError> answer) override {
    const std::lock_guard lock(mutex_);
    answers_[static_cast<size_t>(index)] = std::move(answer);
    ++done_;
    if (streams_) end_choice(static_cast<size_t>(index));
    if (done_ < answers_.size()) return;
    if (streams_) {
      end_stream();
    } else {
      respond();
    }
  }

 private:
  struct Part {
    int64_t calls = 0;
    ContentLogprobs logprobs;  // of tokens whose text has not come out yet
    Value::Array kept;         // of the others, where the answer comes as a whole

    void keep_logprobs() { std::ranges::move(logprobs.take(), std::back_inserter(kept)); }
  };

  Value frame(const char* object, Value::Array choices) const {
    return Value(Value::Object{{"id", id_},
                               {"object", object},
                               {"created", created_},
                               {"model", model_},
                               {"system_fingerprint", "minke"},
                               {"choices", Value(std::move(choices))}});
  }

  void chunk(size_t index, Value delta, Value finish = Value()) {
    Value logprobs;
    if (Value::Array entries = parts_[index].logprobs.take(); !entries.empty()) {
      logprobs = logprobs_value(std::move(entries));
    }
    Value choice(Value::Object{{"index", static_cast<int64_t>(index)},
                               {"delta", std::move(delta)},
                               {"logprobs", std::move(logprobs)},
                               {"finish_reason", std::move(finish)}});
    Value all = frame("chat.completion.chunk", {std::move(choice)});
    if (includes_usage_) all.as_object()->emplace_back("usage", Value());
    stream_.send(to_json(all));
  }

  void end_choice(size_t index) {
    const std::expected<Answer, ApiError>& answer = *answers_[index];
    if (!answer) {
      stream_.send(error_response(answer.error(), Dialect::kOpenAi).body);
      return;
    }
    chunk(index, Value(Value::Object{}), openai_finish_reason(answer->finish));
  }

  Usage total_usage() const {
    Usage total;
    for (const auto& answer : answers_) {
      if (!answer || !*answer) continue;
      add_answer(total, (*answer)->usage);
    }
    return total;
  }

  void end_stream() {
    if (includes_usage_) {
      const Usage usage = total_usage();
      Value all = frame("chat.completion.chunk", {});
      all.as_object()->emplace_back("usage", openai_usage(usage));
      all.as_object()->emplace_back("timings", openai_timings(usage));
      stream_.send(to_json(all));
    }
    stream_.send("[DONE]");
    stream_.end();
  }

  Value choice(size_t index) {
    const Answer& answer = **answers_[index];
    Value::Object message = {
        {"role", "assistant"}, {"content", answer.content}, {"refusal", Value()}};
    if (!answer.reasoning.empty()) {
      message.emplace_back("reasoning_content", answer.reasoning);
      message.emplace_back("reasoning", answer.reasoning);
    }
    if (!answer.tool_calls.empty()) {
      Value::Array calls;
      for (const ToolCall& one : answer.tool_calls) calls.push_back(openai_tool_call(one));
      message.emplace_back("tool_calls", Value(std::move(calls)));
      if (answer.content.empty()) message[1].second = Value();
    }
    Value logprobs;
    if (wants_logprobs_) {
      parts_[index].keep_logprobs();
      logprobs = logprobs_value(std::move(parts_[index].kept));
    }
    return Value(Value::Object{{"index", static_cast<int64_t>(index)},
                               {"message", Value(std::move(message))},
                               {"logprobs", std::move(logprobs)},
                               {"finish_reason", openai_finish_reason(answer.finish)}});
  }

  void respond() {
    Value::Array choices;
    for (size_t index = 0; index < answers_.size(); ++index) {
      if (!*answers_[index]) return call_->fail(answers_[index]->error());
      choices.push_back(choice(index));
    }
    const Usage usage = total_usage();
    Value all = frame("chat.completion", std::move(choices));
    all.as_object()->emplace_back("usage", openai_usage(usage));
    all.as_object()->emplace_back("timings", openai_timings(usage));
    call_->respond(all);
  }

  const std::shared_ptr<Call> call_;
  const bool streams_, includes_usage_, wants_logprobs_;
  EventStream stream_;
  const std::string id_;
  const int64_t created_;

  std::mutex mutex_;
  const LocalEngine* engine_ = nullptr;
  std::string model_;
  std::vector<std::optional<std::expected<Answer, ApiError>>> answers_;
  std::vector<Part> parts_;
  size_t done_ = 0;
};

void handle(Services& services, const std::shared_ptr<Call>& call) {
  std::expected<ChatAsk, ApiError> asked = read_request(*call);
  if (!asked) return call->fail(asked.error());
  const auto sink = std::make_shared<ChatSink>(call, *asked);
  ask_for(services.chat, call, std::move(asked->ask), sink);
}

}  // namespace

Routes openai_chat_routes(Services& services) {
  const Shape answer_message = Shape::object({
      required("role", Shape::choice({"assistant"})),
      required("content", Shape::string().nullable()),
      optional("reasoning_content", Shape::string()),
  });
  const Shape completion =
      Shape::object({
                        required("id", Shape::string()),
                        required("object", Shape::choice({"chat.completion"})),
                        required("created", Shape::integer(0, int64_t{1} << 40)),
                        required("model", Shape::string()),
                        required("choices",
                                 Shape::array(Shape::object({
                                                  required("index", Shape::integer(0, kAnswersMax)),
                                                  required("message", answer_message),
                                                  required("finish_reason", Shape::string()),
                                              }),
                                              kAnswersMax)),
                        required("usage", usage_shape()),
                    })
          .named("ChatCompletion");
  return {{
      .method = "POST",
      .path = "/v1/chat/completions",
      .id = "createChatCompletion",
      .summary = "Answer a conversation",
      .description =
          "With `stream`, the answer comes as server-sent events, a chunk for each piece "
          "of text, and `[DONE]` at the end. A client that goes ends its answer.",
      .tag = "OpenAI",
      .body = request_shape(),
      .body_bytes_max = kChatBody,
      .answers = {{.status = 200, .description = "The answer", .shape = completion},
                  {.status = 200,
                   .description = "The answer as it comes",
                   .media_type = "text/event-stream",
                   .shape = Shape::any()}},
      .handle = [&services](const std::shared_ptr<Call>& call) { handle(services, call); },
  }};
}

}  // namespace minke::server
