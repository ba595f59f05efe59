// Writes an answer as OpenAI's Responses have it: items, whole or by events. Clients keep to the
// events strictly: an item and each of its parts is announced before what it holds, and every one
// of them is finished; the response at the end holds all that was announced, under one id.

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "server/api/sse.h"
#include "server/openai/responses.h"

namespace minke::server {
namespace {

Value response_usage(const Usage& usage) {
  return Value(Value::Object{
      {"input_tokens", usage.prompt_tokens},
      {"input_tokens_details", Value(Value::Object{{"cached_tokens", usage.cached_tokens}})},
      {"output_tokens", usage.answer_tokens},
      {"output_tokens_details", Value(Value::Object{{"reasoning_tokens", usage.reasoning_tokens}})},
      {"total_tokens", usage.prompt_tokens + usage.answer_tokens},
  });
}

const char* status_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kTokensMax:
    case FinishReason::kContextFull:
      return "incomplete";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kEndOfTurn:
    case FinishReason::kToolCalls:
    case FinishReason::kStopString:
      return "completed";
  }
  return "completed";
}

class ResponseSink final : public AnswerSink {
 public:
  ResponseSink(std::shared_ptr<Call> call, ResponseAsk asked, std::shared_ptr<ResponseTable> table)
      : call_(std::move(call)),
        asked_(std::move(asked)),
        table_(std::move(table)),
        stream_(call_->responder),
        id_(fresh_id("resp_")),
        created_(unix_time_s()) {}

  // What a client that knows the id may cancel.
  void set_asking(const std::weak_ptr<Asking>& asking) {
    const std::lock_guard lock(mutex_);
    asking_ = asking;
    if (asked_.stores) table_->set_asking(id_, asking);
  }

  void on_refused(const ApiError& error) override { call_->fail(error); }

  void on_prepared(const Prepared& prepared) override {
    engine_ = prepared.model->engine.get();
    model_ = prepared.model->name;
    const SamplingOptions sampling = asked_.ask.sampling.over(engine_->default_sampling());
    for (auto& [name, value] : asked_.repeated) {
      if (name == "temperature" && value.is_null()) value = sampling.temperature;
      if (name == "top_p" && value.is_null()) value = sampling.top_p;
    }
    const Value now = response("in_progress");
    if (asked_.stores) {
      const std::lock_guard lock(mutex_);
      ResponseTable::Kept begun = kept(now, {});
      begun.asking = asking_;
      table_->keep(id_, std::move(begun));
    }
    if (!asked_.streams) return;
    stream_.begin();
    emit("response.created", {{"response", now}});
    emit("response.in_progress", {{"response", now}});
  }

  void on_token(int64_t, const TokenEvent& event) override {
    if (asked_.wants_logprobs) logprobs_.take_token(*engine_, event);
  }

  void on_piece(int64_t, const Piece& piece) override {
    logprobs_.take_piece(piece.kind);
    if (piece.kind == PieceKind::kToolCall) {
      close_item("completed");
      add_call(*piece.call);
      return;
    }
    if (item_ && item_->kind != piece.kind) close_item("completed");
    if (!item_) open_item(piece.kind);
    add_text(std::string(piece.text));
  }

  void on_answer(int64_t, std::expected<Answer, ApiError> answer) override {
    if (!answer) return end_failed(answer.error());
    const char* status = status_name(answer->finish);
    // Clients that read the text of an answer expect a message, also where it is empty.
    if (!item_ && output_.empty()) open_item(PieceKind::kContent);
    close_item(answer->finish == FinishReason::kCancelled ? "incomplete" : status);
    Value whole = response(status);
    set(whole, "completed_at", unix_time_s());
    set(whole, "usage", response_usage(answer->usage));
    if (std::string_view(status) == "incomplete") {
      set(whole, "incomplete_details", Value(Value::Object{{"reason", "max_output_tokens"}}));
    }
    keep(whole, *answer);
    if (!asked_.streams) return call_->respond(whole);
    emit(std::string_view(status) == "incomplete" ? "response.incomplete" : "response.completed",
         {{"response", whole}});
    stream_.end();
  }

 private:
  // The item that is being written; reasoning or a message.
  struct Item {
    PieceKind kind = PieceKind::kContent;
    std::string id;
    std::string text;
    Value::Array logprobs;
  };

  static void set(Value& object, std::string_view name, Value value) {
    for (auto& [known, old] : *object.as_object()) {
      if (known != name) continue;
      old = std::move(value);
      return;
    }
  }

  Value response(const char* status) const {
    Value::Object out = {{"id", id_},
                         {"object", "response"},
                         {"created_at", created_},
                         {"completed_at", Value()},
                         {"status", status},
                         {"error", Value()},
                         {"incomplete_details", Value()},
                         {"model", model_},
                         {"output", Value(output_)},
                         {"usage", Value()}};
    out.insert(out.end(), asked_.repeated.begin(), asked_.repeated.end());
    return Value(std::move(out));
  }

  void emit(const char* type, Value::Object data) {
    if (!asked_.streams) return;
    Value::Object event = {{"type", type}, {"sequence_number", sequence_++}};
    std::ranges::move(data, std::back_inserter(event));
    stream_.send(type, to_json(Value(std::move(event))));
  }

  // An event about the item that comes next in the output.
  void emit_on_item(const char* type, const std::string& item_id, Value::Object data) {
    Value::Object all = {{"item_id", item_id}, {"output_index", std::ssize(output_)}};
    std::ranges::move(data, std::back_inserter(all));
    emit(type, std::move(all));
  }

  void emit_item(const char* type, const Value& item) {
    emit(type, {{"output_index", std::ssize(output_)}, {"item", item}});
  }

  bool is_summary() const { return item_->kind == PieceKind::kReasoning && asked_.wants_summary; }

  Value part(const std::string& text, Value::Array logprobs) const {
    if (item_->kind == PieceKind::kReasoning) {
      return Value(Value::Object{{"type", asked_.wants_summary ? "summary_text" : "reasoning_text"},
                                 {"text", text}});
    }
    return Value(Value::Object{{"type", "output_text"},
                               {"text", text},
                               {"annotations", Value(Value::Array{})},
                               {"logprobs", Value(std::move(logprobs))}});
  }

  Value item_value(const char* status, Value::Array parts) const {
    if (item_->kind == PieceKind::kReasoning) {
      Value::Object out = {{"id", item_->id},
                           {"type", "reasoning"},
                           {"summary", Value(asked_.wants_summary ? parts : Value::Array{})}};
      if (!asked_.wants_summary) out.emplace_back("content", Value(std::move(parts)));
      out.emplace_back("encrypted_content", Value());
      out.emplace_back("status", status);
      return Value(std::move(out));
    }
    return Value(Value::Object{{"id", item_->id},
                               {"type", "message"},
                               {"status", status},
                               {"role", "assistant"},
                               {"content", Value(std::move(parts))}});
  }

  void open_item(PieceKind kind) {
    item_ = Item{.kind = kind,
                 .id = fresh_id(kind == PieceKind::kReasoning ? "rs_" : "msg_"),
                 .text = {},
                 .logprobs = {}};
    emit_item("response.output_item.added", item_value("in_progress", {}));
    emit_part(
        is_summary() ? "response.reasoning_summary_part.added" : "response.content_part.added",
        {{"part", part("", {})}});
  }

  // An event about the item's one part.
  void emit_part(const char* type, Value::Object data) {
    data.insert(data.begin(), {is_summary() ? "summary_index" : "content_index", 0});
    emit_on_item(type, item_->id, std::move(data));
  }

  void add_text(std::string text) {
    item_->text += text;
    if (item_->kind == PieceKind::kReasoning) {
      emit_part(
          is_summary() ? "response.reasoning_summary_text.delta" : "response.reasoning_text.delta",
          {{"delta", std::move(text)}});
      return;
    }
    Value::Array logprobs = logprobs_.take();
    item_->logprobs.insert(item_->logprobs.end(), logprobs.begin(), logprobs.end());
    emit_part("response.output_text.delta",
              {{"delta", std::move(text)}, {"logprobs", Value(std::move(logprobs))}});
  }

  void close_item(const char* status) {
    if (!item_) return;
    const Value whole_part = part(item_->text, item_->logprobs);
    if (item_->kind == PieceKind::kReasoning) {
      emit_part(
          is_summary() ? "response.reasoning_summary_text.done" : "response.reasoning_text.done",
          {{"text", item_->text}});
    } else {
      emit_part("response.output_text.done",
                {{"text", item_->text}, {"logprobs", Value(item_->logprobs)}});
    }
    emit_part(is_summary() ? "response.reasoning_summary_part.done" : "response.content_part.done",
              {{"part", whole_part}});
    const Value item = item_value(status, {whole_part});
    emit_item("response.output_item.done", item);
    output_.push_back(item);
    item_.reset();
  }

  // The text of a custom tool's call, which the model wrote as the one argument of a function.
  static std::string custom_input(const std::string& arguments) {
    const Result<Value> value = parse_json(arguments);
    return value ? text_member(*value, "input", arguments) : arguments;
  }

  void add_call(const ToolCall& call) {
    const bool is_custom = asked_.custom_tools.contains(call.name);
    const char* field = is_custom ? "input" : "arguments";
    const std::string text = is_custom ? custom_input(call.arguments) : call.arguments;
    const std::string item_id = fresh_id(is_custom ? "ctc_" : "fc_");
    const auto item = [&](const char* status, const std::string& so_far) {
      return Value(Value::Object{{"id", item_id},
                                 {"type", is_custom ? "custom_tool_call" : "function_call"},
                                 {"status", status},
                                 {"call_id", call.id},
                                 {"name", call.name},
                                 {field, so_far}});
    };
    emit_item("response.output_item.added", item("in_progress", ""));
    emit_on_item(is_custom ? "response.custom_tool_call_input.delta"
                           : "response.function_call_arguments.delta",
                 item_id, {{"delta", text}});
    Value::Object done = {{field, text}};
    if (!is_custom) done.emplace_back("name", call.name);
    emit_on_item(is_custom ? "response.custom_tool_call_input.done"
                           : "response.function_call_arguments.done",
                 item_id, std::move(done));
    const Value whole = item("completed", text);
    emit_item("response.output_item.done", whole);
    output_.push_back(whole);
  }

  ResponseTable::Kept kept(const Value& whole, std::vector<ChatTurn> turns) const {
    return {.key = call_->key,
            .response = whole,
            .input = asked_.input,
            .turns = std::move(turns),
            .asking = {}};
  }

  void keep(const Value& whole, const Answer& answer) {
    if (!asked_.stores) return;
    std::vector<ChatTurn> turns = asked_.conversation;
    turns.push_back({.role = "assistant",
                     .content = answer.content,
                     .reasoning = answer.reasoning,
                     .tool_calls = answer.tool_calls});
    table_->update(id_, kept(whole, std::move(turns)));
  }

  void end_failed(const ApiError& error) {
    close_item("incomplete");
    Value whole = response("failed");
    set(whole, "error",
        Value(Value::Object{{"code", error.code.empty() ? error.type : error.code},
                            {"message", error.message}}));
    if (asked_.stores) table_->update(id_, kept(whole, asked_.conversation));
    if (!asked_.streams) return call_->fail(error);
    emit("response.failed", {{"response", whole}});
    stream_.end();
  }

  const std::shared_ptr<Call> call_;
  ResponseAsk asked_;
  const std::shared_ptr<ResponseTable> table_;
  EventStream stream_;
  const std::string id_;
  const int64_t created_;

  std::mutex mutex_;  // for asking_ alone
  std::weak_ptr<Asking> asking_;

  const LocalEngine* engine_ = nullptr;
  std::string model_;
  int64_t sequence_ = 0;
  Value::Array output_;  // items that are finished
  std::optional<Item> item_;
  ContentLogprobs logprobs_;  // of tokens whose text has not come out yet
};

}  // namespace

void ask_response(ChatService& service, const std::shared_ptr<Call>& call, ResponseAsk asked,
                  const std::shared_ptr<ResponseTable>& table) {
  Ask ask = asked.ask;
  const auto sink = std::make_shared<ResponseSink>(call, std::move(asked), table);
  sink->set_asking(ask_for(service, call, std::move(ask), sink));
}

}  // namespace minke::server
