// POST /v1/messages and /v1/messages/count_tokens.

#include <fmt/format.h>

#include <iterator>
#include <utility>

#include "server/anthropic/anthropic.h"
#include "server/api/sse.h"

namespace minke::server {
namespace {

// Anthropic's servers sign thinking so that they can tell their own when it comes back. Here it is
// taken as it comes, and the signature only has to be there.
constexpr const char* kSignature = "bWlua2U=";

const char* stop_reason(FinishReason reason) {
  switch (reason) {
    case FinishReason::kToolCalls:
      return "tool_use";
    case FinishReason::kStopString:
      return "stop_sequence";
    case FinishReason::kTokensMax:
      return "max_tokens";
    case FinishReason::kContextFull:
      return "model_context_window_exceeded";
    case FinishReason::kEndOfTurn:
    case FinishReason::kCancelled:
      return "end_turn";
  }
  return "end_turn";
}

// What was found in the cache is counted apart from the input, as Anthropic counts.
Value usage_value(const Usage& usage) {
  return Value(Value::Object{{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
                             {"cache_creation_input_tokens", 0},
                             {"cache_read_input_tokens", usage.cached_tokens},
                             {"output_tokens", usage.answer_tokens}});
}

class MessageSink final : public AnswerSink {
 public:
  MessageSink(std::shared_ptr<Call> call, const MessageAsk& asked)
      : call_(std::move(call)),
        streams_(asked.streams),
        stops_(asked.ask.sampling.stop),
        stream_(call_->responder),
        id_(fresh_id("msg_")) {}

  void on_refused(const ApiError& error) override { call_->fail(error); }

  void on_prepared(const Prepared& prepared) override {
    engine_ = prepared.model->engine.get();
    model_ = prepared.model->name;
    if (!streams_) return;
    stream_.begin("event: ping\ndata: {\"type\":\"ping\"}\n\n");
    Usage usage;
    usage.prompt_tokens = prepared.prompt_tokens;
    emit("message_start", {{"message", message(Value(), Value(), usage)}});
    emit("ping", {});
  }

  void on_piece(int64_t, const Piece& piece) override {
    if (piece.kind == PieceKind::kToolCall) {
      close_block();
      add_call(*piece.call);
      return;
    }
    if (block_ && block_->kind != piece.kind) close_block();
    if (!block_) open_block(piece.kind);
    block_->text += piece.text;
    const std::string text(piece.text);
    emit_delta(piece.kind == PieceKind::kReasoning
                   ? Value(Value::Object{{"type", "thinking_delta"}, {"thinking", text}})
                   : Value(Value::Object{{"type", "text_delta"}, {"text", text}}));
  }

  void on_answer(int64_t, std::expected<Answer, ApiError> answer) override {
    close_block();
    if (!answer) {
      if (!streams_) return call_->fail(answer.error());
      stream_.send("error", error_response(answer.error(), Dialect::kAnthropic).body);
      stream_.end();
      return;
    }
    const Value reason = stop_reason(answer->finish);
    const std::string stop = stop_string_of(*answer, stops_, *engine_);
    const Value sequence = stop.empty() ? Value() : Value(stop);
    if (!streams_) return call_->respond(message(reason, sequence, answer->usage));
    emit("message_delta",
         {{"delta", Value(Value::Object{{"stop_reason", reason}, {"stop_sequence", sequence}})},
          {"usage", usage_value(answer->usage)}});
    emit("message_stop", {});
    stream_.end();
  }

 private:
  // The block that is being written: thinking or text.
  struct Block {
    PieceKind kind = PieceKind::kContent;
    std::string text;
  };

  Value message(Value reason, Value sequence, const Usage& usage) const {
    return Value(Value::Object{{"id", id_},
                               {"type", "message"},
                               {"role", "assistant"},
                               {"model", model_},
                               {"content", Value(content_)},
                               {"stop_reason", std::move(reason)},
                               {"stop_sequence", std::move(sequence)},
                               {"usage", usage_value(usage)}});
  }

  void emit(const char* type, Value::Object data) {
    if (!streams_) return;
    data.insert(data.begin(), {"type", type});
    stream_.send(type, to_json(Value(std::move(data))));
  }
  // About the block that comes next in the content.
  void emit_delta(Value delta) {
    emit("content_block_delta", {{"index", std::ssize(content_)}, {"delta", std::move(delta)}});
  }

  static Value block_value(PieceKind kind, const std::string& text, const char* signature) {
    if (kind == PieceKind::kReasoning) {
      return Value(
          Value::Object{{"type", "thinking"}, {"thinking", text}, {"signature", signature}});
    }
    return Value(Value::Object{{"type", "text"}, {"text", text}});
  }

  void open_block(PieceKind kind) {
    block_ = Block{.kind = kind, .text = {}};
    emit("content_block_start",
         {{"index", std::ssize(content_)}, {"content_block", block_value(kind, "", "")}});
  }

  void close_block() {
    if (!block_) return;
    if (block_->kind == PieceKind::kReasoning) {
      emit_delta(Value(Value::Object{{"type", "signature_delta"}, {"signature", kSignature}}));
    }
    emit("content_block_stop", {{"index", std::ssize(content_)}});
    content_.push_back(block_value(block_->kind, block_->text, kSignature));
    block_.reset();
  }

  void add_call(const ToolCall& call) {
    const auto block = [&](Value input) {
      return Value(Value::Object{
          {"type", "tool_use"}, {"id", call.id}, {"name", call.name}, {"input", std::move(input)}});
    };
    emit("content_block_start",
         {{"index", std::ssize(content_)}, {"content_block", block(Value(Value::Object{}))}});
    emit_delta(
        Value(Value::Object{{"type", "input_json_delta"}, {"partial_json", call.arguments}}));
    emit("content_block_stop", {{"index", std::ssize(content_)}});
    Result<Value> input = parse_json(call.arguments);
    content_.push_back(block(input ? *std::move(input) : Value(Value::Object{})));
  }

  const std::shared_ptr<Call> call_;
  const bool streams_;
  const std::vector<std::string> stops_;
  EventStream stream_;
  const std::string id_;
  const LocalEngine* engine_ = nullptr;
  std::string model_;
  Value::Array content_;  // blocks that are finished
  std::optional<Block> block_;
};

void answer(Services& services, const std::shared_ptr<Call>& call) {
  std::expected<MessageAsk, ApiError> asked = read_message_request(*call, services.models);
  if (!asked) return call->fail(asked.error());
  note_passed_over(services.log, *call, asked->passed_over);
  const auto sink = std::make_shared<MessageSink>(call, *asked);
  ask_for(services.chat, call, std::move(asked->ask), sink);
}

void count(Services& services, const std::shared_ptr<Call>& call) {
  std::expected<MessageAsk, ApiError> asked = read_prompt(*call, services.models);
  if (!asked) return call->fail(asked.error());
  services.chat.count(std::move(asked->ask), [call](std::expected<Counted, ApiError> counted) {
    if (!counted) return call->fail(counted.error());
    call->respond(Value(Value::Object{{"input_tokens", counted->tokens}}));
  });
}

Shape message_shape() {
  const Shape tokens = Shape::integer(0, int64_t{1} << 40);
  const Shape usage =
      Shape::object(
          {required("input_tokens", tokens), required("cache_creation_input_tokens", tokens),
           required("cache_read_input_tokens", tokens), required("output_tokens", tokens)})
          .named("AnthropicUsage");
  const Shape block =
      Shape::object({required("type", Shape::choice({"text", "thinking", "tool_use"}))});
  return Shape::object({
                           required("id", Shape::string()),
                           required("type", Shape::choice({"message"})),
                           required("role", Shape::choice({"assistant"})),
                           required("model", Shape::string()),
                           required("content", Shape::array(block, 100'000)),
                           required("stop_reason", Shape::string()),
                           required("stop_sequence", Shape::string().nullable()),
                           required("usage", usage),
                       })
      .named("AnthropicAnswer");
}

}  // namespace

Routes anthropic_routes(Services& services) {
  return {
      {.method = "POST",
       .path = "/v1/messages",
       .id = "createMessage",
       .summary = "Answer a conversation",
       .description = "With `stream`, the answer comes as server-sent events: message_start, the "
                      "blocks with their deltas, message_delta, message_stop, and pings while the "
                      "prompt is read. A client that goes ends its answer.",
       .tag = "Anthropic",
       .body = message_request_shape(),
       .body_bytes_max = kChatBody,
       .answers = {{.status = 200, .description = "The answer", .shape = message_shape()},
                   {.status = 200,
                    .description = "The answer as it comes",
                    .media_type = "text/event-stream",
                    .shape = Shape::any()}},
       .handle = [&services](const std::shared_ptr<Call>& call) { answer(services, call); }},
      {.method = "POST",
       .path = "/v1/messages/count_tokens",
       .id = "countMessageTokens",
       .summary = "The tokens that a conversation has as a prompt",
       .tag = "Anthropic",
       .body = Shape::object(prompt_members()).named("AnthropicCountRequest"),
       .body_bytes_max = kChatBody,
       .answers = {{.description = "Their number",
                    .shape = Shape::object(
                        {required("input_tokens", Shape::integer(0, int64_t{1} << 40))})}},
       .handle = [&services](const std::shared_ptr<Call>& call) { count(services, call); }},
  };
}

}  // namespace minke::server
