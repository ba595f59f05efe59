#include "server/openai/openai.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <span>
#include <utility>

#include "core/random.h"
#include "engine/answer_form.h"
#include "text/unicode.h"
#include "text/utf8_stream.h"

namespace minke::server {
namespace {

constexpr size_t kPartsMax = 1000;
constexpr size_t kToolsMax = 256;
constexpr size_t kStopsMax = 4;  // as OpenAI's API has it
constexpr size_t kStopCharactersMax = 1000;
constexpr int64_t kTokensMax = int64_t{1} << 30;
constexpr double kLogprobMin = -9999;  // JSON has no infinity

std::unexpected<ApiError> refused(std::string message, std::string param) {
  return std::unexpected(bad_request(std::move(message), std::move(param)));
}

// What a shape refuses by its kind and a reader cannot use.
std::expected<std::string, ApiError> read_part(const Value& part, const std::string& path) {
  const std::string type = text_member(part, "type", "text");
  if (type == "text" || type == "input_text" || type == "output_text") {
    return text_member(part, "text");
  }
  if (type == "refusal") return text_member(part, "refusal");
  if (type == "image_url" || type == "input_image" || type == "image") {
    return refused(fmt::format("{} is an image, and the model sees none", path), path);
  }
  return refused(fmt::format("{}.type must be 'text', got '{}'", path, type), path + ".type");
}

std::expected<void, ApiError> read_logit_bias(const Value& body, SamplingWish& wish) {
  const Value* bias = member(body, "logit_bias");
  if (bias == nullptr) return {};
  constexpr size_t kBiasesMax = 1024;
  const Value::Object& tokens = *bias->as_object();
  if (tokens.size() > kBiasesMax) {
    return refused(fmt::format("logit_bias names {} tokens, and at most {} are taken",
                               tokens.size(), kBiasesMax),
                   "logit_bias");
  }
  for (const auto& [name, value] : tokens) {
    const std::optional<double> number = maybe_number(*bias, name);
    const bool is_id = !name.empty() && name.size() <= 9 &&
                       name.find_first_not_of("0123456789") == std::string::npos;
    if (!is_id || !number || !(*number >= -100 && *number <= 100)) {
      return refused(fmt::format("logit_bias must have ids of tokens as keys and numbers in "
                                 "[-100, 100], got '{}': {}",
                                 name, to_json(value)),
                     "logit_bias");
    }
    wish.logit_bias.emplace_back(std::stoi(name), *number);
  }
  return {};
}

}  // namespace

std::vector<Member> sampling_members() {
  const Shape stop_text = Shape::string().at_least(1).at_most(kStopCharactersMax);
  return {
      optional("temperature", Shape::number(0, 2),
               "0 takes the likeliest token; what is left out is as the model's makers advise"),
      optional("top_p", Shape::number(0, 1), "Among the likeliest that make up this share"),
      optional("top_k", Shape::integer(0, 1'000'000), "Among the N likeliest; 0 is off"),
      optional("min_p", Shape::number(0, 1), "Not what is less likely than this times the first"),
      optional("repeat_penalty", Shape::number(0.1, 10), "Divides the scores of recent tokens"),
      optional("presence_penalty", Shape::number(-2, 2)),
      optional("frequency_penalty", Shape::number(-2, 2)),
      optional(
          "seed",
          Shape::integer(std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()),
          "The same seed gives the same answer"),
      optional("stop", Shape::one_of({stop_text, Shape::array(stop_text, kStopsMax)}),
               "Ends the answer where one of these would come"),
      optional("logit_bias", Shape::map(), "Added to the scores of tokens, by id"),
      optional("think", Shape::boolean(), "Whether the model thinks first, where it can choose"),
      optional("think_budget", Shape::integer(0, kTokensMax),
               "Thinking is closed, as the model would, after so many tokens"),
      optional("chat_template_kwargs",
               Shape::object({optional("enable_thinking", Shape::boolean()),
                              optional("thinking", Shape::boolean())}),
               "As `think`, in the words of other servers"),
  };
}

std::expected<SamplingWish, ApiError> read_sampling(const Value& body) {
  SamplingWish wish = SamplingWish::read(body);
  if (auto read = read_logit_bias(body, wish); !read) return std::unexpected(read.error());
  wish.think = maybe_bool(body, "think");
  if (const Value* kwargs = member(body, "chat_template_kwargs")) {
    if (!wish.think) wish.think = maybe_bool(*kwargs, "enable_thinking");
    if (!wish.think) wish.think = maybe_bool(*kwargs, "thinking");
  }
  wish.think_budget = maybe_integer(body, "think_budget");
  return wish;
}

std::expected<std::string, ApiError> read_content(const Value* content, const std::string& path) {
  if (content == nullptr || content->is_null()) return std::string();
  if (const std::string* text = content->as_string()) return *text;
  std::string text;
  const Value::Array& parts = *content->as_array();
  for (size_t i = 0; i < parts.size(); ++i) {
    auto part = read_part(parts[i], fmt::format("{}[{}]", path, i));
    if (!part) return part;
    if (!text.empty() && !part->empty()) text += "\n";
    text += *part;
  }
  return text;
}

Shape chat_message_shape() {
  const Shape part =
      Shape::object({required("type", Shape::string()), optional("text", Shape::string()),
                     optional("refusal", Shape::string())});
  const Shape call = Shape::object({
      optional("id", Shape::string()),
      optional("type", Shape::string()),
      required(
          "function",
          Shape::object({required("name", Shape::string().at_least(1)),
                         // Some clients send the object itself.
                         required("arguments", Shape::one_of({Shape::string(), Shape::map()}))})),
  });
  return Shape::object({
                           required("role", Shape::choice({"system", "developer", "user",
                                                           "assistant", "tool", "function"})),
                           optional("content", Shape::one_of({Shape::string(),
                                                              Shape::array(part, kPartsMax)})),
                           optional("reasoning_content", Shape::string(),
                                    "An assistant's thinking, as it was given"),
                           optional("reasoning", Shape::string()),
                           optional("tool_calls", Shape::array(call, kToolsMax)),
                           optional("tool_call_id", Shape::string()),
                           optional("name", Shape::string()),
                       })
      .named("ChatMessage");
}

std::expected<std::vector<ChatTurn>, ApiError> read_turns(const Value& messages,
                                                          const std::string& path) {
  std::vector<ChatTurn> turns;
  const Value::Array& all = *messages.as_array();
  for (size_t i = 0; i < all.size(); ++i) {
    const Value& message = all[i];
    const std::string here = fmt::format("{}[{}]", path, i);
    ChatTurn turn;
    turn.role = text_member(message, "role");
    if (turn.role != "assistant" && member(message, "content") == nullptr) {
      return refused(
          fmt::format("{0}.content is missing: a message of the role '{1}' has a text or "
                      "an array of parts",
                      here, turn.role),
          here + ".content");
    }
    auto content = read_content(message.find("content"), here + ".content");
    if (!content) return std::unexpected(content.error());
    turn.content = *std::move(content);
    turn.reasoning = text_member(message, "reasoning_content", text_member(message, "reasoning"));
    turn.tool_call_id = text_member(message, "tool_call_id");
    if (const Value* calls = member(message, "tool_calls")) {
      for (const Value& call : *calls->as_array()) {
        const Value& function = *call.find("function");
        const Value& arguments = *function.find("arguments");
        turn.tool_calls.push_back({.id = text_member(call, "id"),
                                   .name = text_member(function, "name"),
                                   .arguments = arguments.as_string() != nullptr
                                                    ? *arguments.as_string()
                                                    : to_json(arguments)});
      }
    }
    turns.push_back(std::move(turn));
  }
  return turns;
}

Shape tool_shape() {
  return Shape::object(
             {optional("type", Shape::string()),
              optional("function",
                       Shape::object({required("name", Shape::string().at_least(1).at_most(64)),
                                      optional("description", Shape::string()),
                                      optional("parameters", Shape::map()),
                                      optional("strict", Shape::boolean())}))})
      .named("Tool");
}

std::expected<std::vector<Tool>, ApiError> read_tools(const Value* tools, const std::string& path) {
  std::vector<Tool> out;
  if (tools == nullptr) return out;
  const Value::Array& all = *tools->as_array();
  for (size_t i = 0; i < all.size(); ++i) {
    const Value* function = member(all[i], "function");
    const std::string type = text_member(all[i], "type", "function");
    // Kinds of tools that only their makers' servers have are passed over: an agent offers them to
    // everybody.
    if (type != "function") continue;
    if (function == nullptr) {
      return refused(fmt::format("{}[{}].function is missing", path, i),
                     fmt::format("{}[{}].function", path, i));
    }
    const Value* parameters = member(*function, "parameters");
    out.push_back({.name = text_member(*function, "name"),
                   .description = text_member(*function, "description"),
                   .parameters = parameters == nullptr ? "" : to_json(*parameters)});
  }
  return out;
}

std::expected<ToolChoice, ApiError> read_tool_choice(const Value* choice) {
  using Kind = ToolChoice::Kind;
  if (choice == nullptr) return ToolChoice{};
  if (const std::string* word = choice->as_string()) {
    if (*word == "auto") return ToolChoice{};
    if (*word == "none") return ToolChoice{.kind = Kind::kNone, .name = {}};
    if (*word == "required" || *word == "any")
      return ToolChoice{.kind = Kind::kRequired, .name = {}};
  } else if (choice->as_object() != nullptr) {
    const Value* function = member(*choice, "function");
    const std::string name =
        function != nullptr ? text_member(*function, "name") : text_member(*choice, "name");
    if (!name.empty()) return ToolChoice{.kind = Kind::kNamed, .name = name};
  }
  return refused(fmt::format("tool_choice must be 'auto', 'none', 'required' or "
                             "{{\"type\": \"function\", \"function\": {{\"name\": ...}}}}, got {}",
                             to_json(*choice)),
                 "tool_choice");
}

std::expected<AnswerForm, ApiError> read_response_format(const Value* format, std::string param) {
  AnswerForm form;
  if (format == nullptr) return form;
  const std::string type = text_member(*format, "type");
  if (type == "json_object") {
    form.kind = AnswerForm::Kind::kJsonObject;
  } else if (type == "json_schema") {
    // Chat completions nest it; responses have it beside the type.
    const Value* outer = member(*format, "json_schema");
    const Value* schema = member(outer != nullptr ? *outer : *format, "schema");
    const bool lacks_outer = schema == nullptr && outer == nullptr && param == "response_format";
    param += lacks_outer ? ".json_schema" : outer != nullptr ? ".json_schema.schema" : ".schema";
    if (schema == nullptr) return refused(param + " is missing", param);
    form = {.kind = AnswerForm::Kind::kJsonSchema, .text = to_json(*schema)};
  } else if (type == "regex") {
    form = {.kind = AnswerForm::Kind::kRegex, .text = text_member(*format, "regex")};
    param += ".regex";
  } else if (type != "text") {
    return refused(fmt::format("{}.type must be 'text', 'json_object', 'json_schema' or 'regex', "
                               "got '{}'",
                               param, type),
                   param + ".type");
  }
  if (const Status readable = check_form(form); !readable) {
    return refused(fmt::format("{}: {}", param, readable.error().message), param);
  }
  return form;
}

const char* openai_finish_reason(FinishReason reason) {
  switch (reason) {
    case FinishReason::kToolCalls:
      return "tool_calls";
    case FinishReason::kTokensMax:
    case FinishReason::kContextFull:
      return "length";
    case FinishReason::kEndOfTurn:
    case FinishReason::kStopString:
    case FinishReason::kCancelled:
      return "stop";
  }
  return "stop";
}

Value openai_usage(const Usage& usage) {
  return Value(Value::Object{
      {"prompt_tokens", usage.prompt_tokens},
      {"completion_tokens", usage.answer_tokens},
      {"total_tokens", usage.prompt_tokens + usage.answer_tokens},
      {"prompt_tokens_details", Value(Value::Object{{"cached_tokens", usage.cached_tokens}})},
      {"completion_tokens_details",
       Value(Value::Object{
           {"reasoning_tokens", usage.reasoning_tokens},
           {"accepted_prediction_tokens", usage.accepted_tokens},
           {"rejected_prediction_tokens", usage.drafted_tokens - usage.accepted_tokens}})},
  });
}

void add_answer(Usage& total, const Usage& one) {
  total.prompt_tokens = one.prompt_tokens;
  total.cached_tokens = std::max(total.cached_tokens, one.cached_tokens);
  total.answer_tokens += one.answer_tokens;
  total.reasoning_tokens += one.reasoning_tokens;
  total.drafted_tokens += one.drafted_tokens;
  total.accepted_tokens += one.accepted_tokens;
  total.prompt_seconds = std::max(total.prompt_seconds, one.prompt_seconds);
  total.answer_seconds = std::max(total.answer_seconds, one.answer_seconds);
}

std::string token_text(const LocalEngine& engine, int32_t token) {
  std::string text = engine.detokenize({token});
  if (is_valid_utf8(text)) return text;
  std::string out = "bytes:";
  for (const char c : text) out += fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
  return out;
}

Value openai_token_logprobs(const LocalEngine& engine, const TokenLogprob& chosen,
                            const std::vector<TokenLogprob>& top) {
  const auto entry = [&](const TokenLogprob& one) {
    Value::Array bytes;
    for (const char c : engine.detokenize({one.token})) {
      bytes.emplace_back(static_cast<int64_t>(static_cast<uint8_t>(c)));
    }
    return Value(Value::Object{{"token", token_text(engine, one.token)},
                               {"logprob", std::max(one.logprob, kLogprobMin)},
                               {"bytes", Value(std::move(bytes))}});
  };
  Value out = entry(chosen);
  Value::Array others;
  for (const TokenLogprob& one : top) others.push_back(entry(one));
  out.as_object()->emplace_back("top_logprobs", Value(std::move(others)));
  return out;
}

void ContentLogprobs::take_token(const LocalEngine& engine, const TokenEvent& event) {
  if (event.logprob == nullptr || event.ends_turn) return;
  has_thought_ |= event.is_thinking;
  if (event.is_thinking) return;
  // The lines between thinking and content are neither's.
  constexpr std::string_view kSpace = " \t\r\n";
  const bool is_between =
      has_thought_ && !has_content_ &&
      engine.detokenize({event.token}).find_first_not_of(kSpace) == std::string::npos;
  if (!is_between) pending_.push_back(openai_token_logprobs(engine, *event.logprob, *event.top));
}

void ContentLogprobs::take_piece(PieceKind kind) {
  has_thought_ |= kind == PieceKind::kReasoning;
  has_content_ |= kind == PieceKind::kContent;
  // What has led to thinking or to a call was its opening tag, or the call itself.
  if (kind != PieceKind::kContent) pending_.clear();
}

Value::Array ContentLogprobs::take() { return std::exchange(pending_, {}); }

Value openai_timings(const Usage& usage) {
  const auto per_second = [](int64_t tokens, double seconds) {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0;
  };
  const int64_t read = usage.prompt_tokens - usage.cached_tokens;
  return Value(Value::Object{
      {"prompt_n", read},
      {"prompt_ms", usage.prompt_seconds * 1000},
      {"prompt_per_second", per_second(read, usage.prompt_seconds)},
      {"predicted_n", usage.answer_tokens},
      {"predicted_ms", usage.answer_seconds * 1000},
      {"predicted_per_second", per_second(usage.answer_tokens - 1, usage.answer_seconds)},
  });
}

Value openai_tool_call(const ToolCall& call) {
  return Value(Value::Object{
      {"id", call.id},
      {"type", "function"},
      {"function", Value(Value::Object{{"name", call.name}, {"arguments", call.arguments}})},
  });
}

Shape usage_shape() {
  const Shape count = Shape::integer(0, kTokensMax);
  return Shape::object(
             {required("prompt_tokens", count), required("completion_tokens", count),
              required("total_tokens", count),
              required("prompt_tokens_details", Shape::object({required("cached_tokens", count)})),
              required("completion_tokens_details",
                       Shape::object({required("reasoning_tokens", count)}))})
      .named("Usage");
}

void note_passed_over(Log& log, const Call& call, std::vector<std::string> what) {
  constexpr size_t kCharactersMax = 200;
  if (what.empty()) return;
  std::ranges::sort(what);
  const auto same = std::ranges::unique(what);
  what.erase(same.begin(), same.end());
  std::string text = fmt::format("{}", fmt::join(what, ", "));
  if (text.size() > kCharactersMax) text = make_valid_utf8(text.substr(0, kCharactersMax)) + "...";
  log.info("passed over", {{"id", call.request->id}, {"what", std::move(text)}});
}

int64_t unix_time_s() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// From the system's own source: who sees one must not guess another, which may be a conversation
// of somebody else.
std::string fresh_id(const char* prefix) {
  std::array<uint32_t, 4> random{};
  fill_from_system(std::as_writable_bytes(std::span(random)));
  return fmt::format("{}{:08x}{:08x}{:08x}{:08x}", prefix, random[0], random[1], random[2],
                     random[3]);
}

}  // namespace minke::server
