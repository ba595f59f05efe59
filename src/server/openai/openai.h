// OpenAI's dialect: what its requests have in common, and its routes. The shapes follow OpenAI's
// API reference; beyond it, requests may say what minke's sampler has (top_k, min_p,
// repeat_penalty, think, think_budget), and answers carry `reasoning_content` and `reasoning`, as
// DeepSeek's and others' servers write thinking.
#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "server/api/route.h"
#include "server/chat/chat_service.h"
#include "server/log.h"

namespace minke::server {

// What routes of all dialects need. Outlives the routes.
struct Services {
  ChatService& chat;
  ModelHost& models;
  Log& log;
};

Routes openai_chat_routes(Services& services);
Routes openai_completion_routes(Services& services);
Routes openai_response_routes(Services& services);
Routes openai_model_routes(Services& services);
Routes openai_embedding_routes(Services& services);

// Parts of requests, for chat completions, responses and others that borrow them.

// The members that choose how tokens are sampled.
std::vector<Member> sampling_members();
std::expected<SamplingWish, ApiError> read_sampling(const Value& body);

Shape chat_message_shape();
std::expected<std::vector<ChatTurn>, ApiError> read_turns(const Value& messages,
                                                          const std::string& path);
// Text of a content that is a string, null or an array of parts.
std::expected<std::string, ApiError> read_content(const Value* content, const std::string& path);

Shape tool_shape();
std::expected<std::vector<Tool>, ApiError> read_tools(const Value* tools, const std::string& path);
std::expected<ToolChoice, ApiError> read_tool_choice(const Value* choice);

// `response_format`, or what `param` calls it: text, json_object, json_schema, or regex.
std::expected<AnswerForm, ApiError> read_response_format(const Value* format,
                                                         std::string param = "response_format");

const char* openai_finish_reason(FinishReason reason);
Value openai_usage(const Usage& usage);
// One more answer to the same prompt.
void add_answer(Usage& total, const Usage& one);
// A token with its logprob and those of others as OpenAI writes them.
Value openai_token_logprobs(const LocalEngine& engine, const TokenLogprob& chosen,
                            const std::vector<TokenLogprob>& top);
// The logprobs of an answer's content, without those of thinking and of calls: tokens come before
// the pieces that they complete.
class ContentLogprobs {
 public:
  void take_token(const LocalEngine& engine, const TokenEvent& event);
  void take_piece(PieceKind kind);
  // Of the content since the last time.
  Value::Array take();

 private:
  Value::Array pending_;
  bool has_thought_ = false, has_content_ = false;
};
// The text of a token that may be a part of a character, which no JSON holds: "bytes:\xe2\x80".
std::string token_text(const LocalEngine& engine, int32_t token);
Value openai_timings(const Usage& usage);
Value openai_tool_call(const ToolCall& call);
Shape usage_shape();
// Agents offer the tools of their makers' servers to everybody: what of a request means nothing
// here is passed over, and the log says what kinds of things those were.
void note_passed_over(Log& log, const Call& call, std::vector<std::string> what);
int64_t unix_time_s();
// A fresh identifier, "chatcmpl-..." for prefix "chatcmpl-".
std::string fresh_id(const char* prefix);

}  // namespace minke::server
