// Reads Ollama's requests for answers.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "server/chat/effort.h"
#include "server/ollama/ollama.h"

namespace minke::server {
namespace {

constexpr size_t kMessagesMax = 10'000;
constexpr size_t kToolsMax = 256;
constexpr int64_t kTokensMax = int64_t{1} << 30;

std::unexpected<ApiError> refused(std::string message, std::string param) {
  return std::unexpected(bad_request(std::move(message), std::move(param)));
}

Shape options_shape() {
  constexpr int64_t kSeedMax = int64_t{1} << 53;
  const Shape stop = Shape::string().at_least(1).at_most(1000);
  return Shape::object({
                           optional("num_ctx", Shape::integer(1, kTokensMax),
                                    "Tokens of prompt and answer; a longer prompt is refused"),
                           optional("num_predict", Shape::integer(-2, kTokensMax),
                                    "Tokens of the answer; below 1: no limit"),
                           optional("temperature", Shape::number(0, 2)),
                           optional("top_k", Shape::integer(-1, 1'000'000)),
                           optional("top_p", Shape::number(0, 1)),
                           optional("min_p", Shape::number(0, 1)),
                           optional("seed", Shape::integer(-kSeedMax, kSeedMax),
                                    "Negative: each answer has its own"),
                           optional("stop", Shape::one_of({stop, Shape::array(stop, 16)})),
                           optional("repeat_penalty", Shape::number(0.1, 10)),
                           optional("repeat_last_n", Shape::integer(-1, kTokensMax)),
                           optional("presence_penalty", Shape::number(-2, 2)),
                           optional("frequency_penalty", Shape::number(-2, 2)),
                       })
      .named("OllamaOptions");
}

std::vector<Member> shared_members() {
  return {
      required("model", Shape::string().at_least(1).at_most(500), "A name of /api/tags"),
      optional("stream", Shape::boolean(), "Unless false"),
      optional("format", Shape::one_of({Shape::string(), Shape::map()}),
               "\"json\", a JSON schema, or a regex as in response_format; holds from the end of "
               "the thinking on"),
      optional("options", options_shape()),
      optional("think",
               Shape::one_of({Shape::boolean(), Shape::choice({"low", "medium", "high", "max"})}),
               "Whether the model thinks first, and how long"),
      optional("keep_alive", Shape::one_of({Shape::number(), Shape::string().at_most(100)}),
               "How long the model stays loaded: seconds, or \"5m\"; negative: as long as it can"),
      optional("logprobs", Shape::boolean()),
      optional("top_logprobs", Shape::integer(0, 20)),
  };
}

void read_options(const Value* options, Ask& ask) {
  if (options == nullptr) return;
  SamplingWish& wish = ask.sampling;
  wish = SamplingWish::read(*options);
  if (wish.top_k) wish.top_k = std::max<int64_t>(*wish.top_k, 0);
  wish.repeat_window = maybe_integer(*options, "repeat_last_n");
  if (maybe_integer(*options, "seed").value_or(0) < 0) wish.seed.reset();
  if (const auto tokens = maybe_integer(*options, "num_predict"); tokens && *tokens > 0) {
    wish.tokens_max = tokens;
  }
  ask.context_max = maybe_integer(*options, "num_ctx").value_or(0);
}

void read_think(const Value* think, SamplingWish& wish) {
  if (think == nullptr) return;
  if (const bool* flag = think->as_bool()) wish.think = *flag;
  if (const std::string* effort = think->as_string()) {
    wish.think = true;
    read_effort(*effort, wish);
  }
}

std::expected<AnswerForm, ApiError> read_form(const Value* format) {
  if (format == nullptr || *format == Value("")) return AnswerForm{};
  Value wanted;
  if (*format == Value("json")) {
    wanted = Value(Value::Object{{"type", "json_object"}});
  } else if (text_member(*format, "type") == "regex") {
    wanted = *format;
  } else if (format->as_object() != nullptr) {
    wanted = Value(Value::Object{{"type", "json_schema"}, {"schema", *format}});
  } else {
    return refused(fmt::format("format must be 'json' or a JSON schema, got {}", to_json(*format)),
                   "format");
  }
  auto form = read_response_format(&wanted, "format");
  if (form) return form;
  return std::unexpected(bad_request(form.error().message, "format"));
}

std::expected<OllamaAsk, ApiError> read_shared(const Call& call) {
  const Value& body = call.body;
  OllamaAsk out;
  out.ask.model = text_member(body, "model");
  out.ask.client = call.client;
  out.streams = maybe_bool(body, "stream").value_or(true);
  read_options(member(body, "options"), out.ask);
  read_think(member(body, "think"), out.ask.sampling);
  auto form = read_form(member(body, "format"));
  if (!form) return std::unexpected(form.error());
  out.ask.sampling.form = *std::move(form);
  if (const Value* keep_alive = member(body, "keep_alive")) {
    out.keep_alive = read_keep_alive(*keep_alive);
    if (!out.keep_alive) {
      return refused(fmt::format("keep_alive must be a number of seconds or a time as '5m' or "
                                 "'1h30m', got {}",
                                 to_json(*keep_alive)),
                     "keep_alive");
    }
  }
  out.wants_logprobs = maybe_bool(body, "logprobs").value_or(false);
  if (out.wants_logprobs) {
    out.ask.sampling.logprobs_top = maybe_integer(body, "top_logprobs").value_or(0);
  }
  return out;
}

bool has_images(const Value& object) {
  const Value* images = member(object, "images");
  return images != nullptr && images->as_array() != nullptr && !images->as_array()->empty();
}

// Older clients name neither calls nor what results are of: they go by their order.
class CallNames {
 public:
  std::string of_call(const std::string& given, const std::string& tool) {
    std::string id = given.empty() ? fmt::format("call_{}", made_++) : given;
    open_.emplace_back(tool, id);
    return id;
  }
  std::string of_result(const std::string& given, const std::string& tool) {
    const auto found = std::ranges::find_if(open_, [&](const auto& one) {
      return given.empty() ? tool.empty() || one.first == tool : one.second == given;
    });
    if (found == open_.end()) return given;
    std::string id = found->second;
    open_.erase(found);
    return id;
  }

 private:
  int64_t made_ = 0;
  std::vector<std::pair<std::string, std::string>> open_;  // name, id
};

std::expected<ChatTurn, ApiError> read_message(const Value& message, const std::string& path,
                                               CallNames& names) {
  if (has_images(message)) {
    return refused(path + ".images: the model sees no images", path + ".images");
  }
  ChatTurn turn = {.role = text_member(message, "role"),
                   .content = text_member(message, "content"),
                   .reasoning = text_member(message, "thinking")};
  if (const Value* calls = member(message, "tool_calls")) {
    for (const Value& call : *calls->as_array()) {
      const Value& function = *call.find("function");
      const Value* arguments = member(function, "arguments");
      const std::string name = text_member(function, "name");
      turn.tool_calls.push_back({.id = names.of_call(text_member(call, "id"), name),
                                 .name = name,
                                 .arguments = arguments == nullptr ? "{}"
                                              : arguments->as_string() != nullptr
                                                  ? *arguments->as_string()
                                                  : to_json(*arguments)});
    }
  }
  if (turn.role == "tool") {
    turn.tool_call_id =
        names.of_result(text_member(message, "tool_call_id"),
                        text_member(message, "tool_name", text_member(message, "name")));
  }
  return turn;
}

}  // namespace

Shape ollama_chat_shape() {
  const Shape call = Shape::object({
      optional("id", Shape::string()),
      required(
          "function",
          Shape::object({required("name", Shape::string().at_least(1)),
                         optional("arguments", Shape::one_of({Shape::map(), Shape::string()}))})),
  });
  const Shape message =
      Shape::object({
                        required("role", Shape::choice({"system", "user", "assistant", "tool"})),
                        optional("content", Shape::string()),
                        optional("thinking", Shape::string()),
                        optional("images", Shape::array(Shape::any(), 1000), "Refused"),
                        optional("tool_calls", Shape::array(call, kToolsMax)),
                        optional("tool_call_id", Shape::string()),
                        optional("tool_name", Shape::string()),
                    })
          .named("OllamaMessage");
  std::vector<Member> members = shared_members();
  members.push_back(optional("messages", Shape::array(message, kMessagesMax),
                             "None: the model is loaded, or goes with keep_alive 0"));
  members.push_back(optional("tools", Shape::array(tool_shape(), kToolsMax)));
  members.push_back(
      optional("tool_choice", Shape::one_of({Shape::string(), Shape::map()}), "As OpenAI has it"));
  return Shape::object(std::move(members)).named("OllamaChatRequest");
}

Shape ollama_generate_shape() {
  std::vector<Member> members = shared_members();
  const std::vector<Member> more = {
      optional("prompt", Shape::string(), "None: the model is loaded, or goes with keep_alive 0"),
      optional("system", Shape::string()),
      optional("raw", Shape::boolean(), "The prompt as it is, without the model's template"),
      optional("suffix", Shape::string(), "Refused unless empty"),
      optional("template", Shape::string(), "Refused unless empty"),
      optional("images", Shape::array(Shape::any(), 1000), "Refused unless empty"),
  };
  members.insert(members.end(), more.begin(), more.end());
  return Shape::object(std::move(members)).named("OllamaGenerateRequest");
}

std::expected<OllamaAsk, ApiError> read_ollama_chat(const Call& call) {
  auto out = read_shared(call);
  if (!out) return out;
  const Value* messages = member(call.body, "messages");
  out->asks_nothing = messages == nullptr || messages->as_array()->empty();
  if (out->asks_nothing) return out;
  CallNames names;
  const Value::Array& all = *messages->as_array();
  for (size_t i = 0; i < all.size(); ++i) {
    auto turn = read_message(all[i], fmt::format("messages[{}]", i), names);
    if (!turn) return std::unexpected(turn.error());
    out->ask.turns.push_back(*std::move(turn));
  }
  auto tools = read_tools(member(call.body, "tools"), "tools");
  if (!tools) return std::unexpected(tools.error());
  out->ask.tools = *std::move(tools);
  auto choice = read_tool_choice(member(call.body, "tool_choice"));
  if (!choice) return std::unexpected(choice.error());
  out->ask.tool_choice = *std::move(choice);
  return out;
}

std::expected<OllamaAsk, ApiError> read_ollama_generate(const Call& call) {
  auto out = read_shared(call);
  if (!out) return out;
  out->is_generate = true;
  const Value& body = call.body;
  if (has_images(body)) return refused("images: the model sees none", "images");
  if (!text_member(body, "suffix").empty()) {
    return refused(
        "suffix is not supported: with raw, write the tokens with which the model fills a gap into "
        "the prompt",
        "suffix");
  }
  if (!text_member(body, "template").empty()) {
    return refused(
        "template is not supported: templates here are in Jinja, one for the server "
        "(serve --chat-template), or send the whole prompt with raw",
        "template");
  }
  std::string prompt = text_member(body, "prompt");
  out->asks_nothing = prompt.empty();
  if (maybe_bool(body, "raw").value_or(false)) {
    out->ask.raw_text = std::move(prompt);
    return out;
  }
  if (std::string system = text_member(body, "system"); !system.empty()) {
    out->ask.turns.push_back({.role = "system", .content = std::move(system), .reasoning = {}});
  }
  out->ask.turns.push_back({.role = "user", .content = std::move(prompt), .reasoning = {}});
  return out;
}

}  // namespace minke::server
