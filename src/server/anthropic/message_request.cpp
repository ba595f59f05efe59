// Reads a request of Anthropic's Messages into turns.

#include <fmt/format.h>

#include <utility>

#include "server/anthropic/anthropic.h"
#include "server/chat/effort.h"

namespace minke::server {
namespace {

constexpr size_t kMessagesMax = 100'000;
constexpr size_t kBlocksMax = 10'000;
constexpr size_t kToolsMax = 1000;
constexpr int64_t kTokensMax = int64_t{1} << 30;

std::unexpected<ApiError> refused(std::string message, std::string param) {
  return std::unexpected(bad_request(std::move(message), std::move(param)));
}

void append(std::string& text, std::string_view more, std::string_view between) {
  if (!text.empty() && !more.empty()) text += between;
  text += more;
}

// Claude Code puts a line at the head of its system prompt that is for the billing of Anthropic's
// servers and differs in every request. A model has no use for it, and with it nothing of what
// follows could be found in the cache.
std::string_view without_billing_line(std::string_view text) {
  constexpr std::string_view kBilling = "x-anthropic-billing-header:";
  if (!text.starts_with(kBilling)) return text;
  const size_t end = text.find('\n');
  return end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
}

std::string read_system(const Value* system) {
  std::string text;
  if (system == nullptr) return text;
  if (const std::string* whole = system->as_string()) {
    return std::string(without_billing_line(*whole));
  }
  for (const Value& block : *system->as_array()) {
    append(text, without_billing_line(text_member(block, "text")), "\n\n");
  }
  return text;
}

// Turns of messages: a user's may hold what tools gave, which are turns of their own.
class MessageReader {
 public:
  MessageReader(std::vector<ChatTurn>& turns, std::vector<std::string>& passed_over)
      : turns_(turns), passed_over_(passed_over) {}

  std::expected<void, ApiError> read(const Value& message, const std::string& path) {
    turn_ = {.role = text_member(message, "role"), .content = {}, .reasoning = {}};
    has_text_ = false;
    const Value& content = *message.find("content");
    if (const std::string* text = content.as_string()) {
      turn_.content = *text;
      has_text_ = true;
    } else {
      const Value::Array& blocks = *content.as_array();
      for (size_t i = 0; i < blocks.size(); ++i) {
        auto read = read_block(blocks[i], fmt::format("{}.content.{}", path, i));
        if (!read) return read;
      }
    }
    const bool is_user = turn_.role == "user";
    // Of a message that was nothing but results, no empty turn is left.
    if (!is_user || has_text_ || !gave_results_) turns_.push_back(std::move(turn_));
    gave_results_ = false;
    return {};
  }

 private:
  std::expected<void, ApiError> read_block(const Value& block, const std::string& path) {
    const std::string type = text_member(block, "type");
    if (type == "text") {
      append(turn_.content, text_member(block, "text"), "\n\n");
      has_text_ = true;
    } else if (type == "thinking") {
      append(turn_.reasoning, text_member(block, "thinking"), "\n\n");
    } else if (type == "tool_use") {
      const Value* input = member(block, "input");
      turn_.tool_calls.push_back({.id = text_member(block, "id"),
                                  .name = text_member(block, "name"),
                                  .arguments = input == nullptr ? "{}" : to_json(*input)});
    } else if (type == "tool_result") {
      return read_result(block, path);
    } else if (type == "document") {
      return read_document(block, path);
    } else if (type == "image") {
      return refused(path + " is an image, and the model sees none", path);
    } else {
      // redacted_thinking, and what only Anthropic's servers do (server_tool_use and its results).
      passed_over_.push_back("block " + type);
    }
    return {};
  }

  std::expected<void, ApiError> read_result(const Value& block, const std::string& path) {
    std::string text;
    if (const Value* content = member(block, "content")) {
      if (const std::string* whole = content->as_string()) text = *whole;
      if (const Value::Array* parts = content->as_array()) {
        for (const Value& part : *parts) {
          const std::string type = text_member(part, "type");
          // A tool's picture must not end a conversation in which it will stand for ever.
          append(text,
                 type == "text" ? text_member(part, "text")
                                : fmt::format("[{} left out: the model reads text alone]",
                                              type.empty() ? "a part" : type),
                 "\n");
        }
      }
    }
    if (maybe_bool(block, "is_error").value_or(false)) text.insert(0, "Error: ");
    const std::string id = text_member(block, "tool_use_id");
    if (id.empty()) return refused(path + ".tool_use_id is missing", path + ".tool_use_id");
    turns_.push_back(
        {.role = "tool", .content = std::move(text), .reasoning = {}, .tool_call_id = id});
    gave_results_ = true;
    return {};
  }

  std::expected<void, ApiError> read_document(const Value& block, const std::string& path) {
    const Value* source = member(block, "source");
    const std::string type = source == nullptr ? "" : text_member(*source, "type");
    if (type != "text") {
      return refused(fmt::format("{}.source.type must be 'text', got '{}': other documents are not "
                                 "read here",
                                 path, type),
                     path + ".source.type");
    }
    append(turn_.content, text_member(*source, "data"), "\n\n");
    has_text_ = true;
    return {};
  }

  std::vector<ChatTurn>& turns_;
  std::vector<std::string>& passed_over_;
  ChatTurn turn_;
  bool has_text_ = false;
  bool gave_results_ = false;
};

std::expected<void, ApiError> read_tool_list(const Value& body, MessageAsk& out) {
  const Value* tools = member(body, "tools");
  if (tools == nullptr) return {};
  const Value::Array& all = *tools->as_array();
  for (size_t i = 0; i < all.size(); ++i) {
    const std::string type = text_member(all[i], "type", "custom");
    const Value* schema = member(all[i], "input_schema");
    if (type != "custom") {
      out.passed_over.push_back("tool " + type);
      continue;
    }
    const std::string path = fmt::format("tools.{}", i);
    const std::string name = text_member(all[i], "name");
    if (name.empty()) return refused(path + ".name is missing", path + ".name");
    if (schema == nullptr) {
      return refused(path + ".input_schema is missing", path + ".input_schema");
    }
    out.ask.tools.push_back({.name = name,
                             .description = text_member(all[i], "description"),
                             .parameters = to_json(*schema)});
  }
  return {};
}

ToolChoice read_choice(const Value& body) {
  using Kind = ToolChoice::Kind;
  const Value* choice = member(body, "tool_choice");
  const std::string type = choice == nullptr ? "auto" : text_member(*choice, "type");
  if (type == "none") return {.kind = Kind::kNone, .name = {}};
  if (type == "any") return {.kind = Kind::kRequired, .name = {}};
  if (type == "tool") return {.kind = Kind::kNamed, .name = text_member(*choice, "name")};
  return {};
}

// Thinking is off unless asked for, as in Anthropic's API: clients that do not ask read the first
// block as the answer. Agents ask every model for it: of one that cannot think that is not an
// error.
std::expected<void, ApiError> read_thinking(const Value& body, bool thinks, SamplingWish& wish) {
  const Value* thinking = member(body, "thinking");
  const std::string type = thinking == nullptr ? "disabled" : text_member(*thinking, "type");
  if (type == "disabled") {
    wish.think = false;
    return {};
  }
  if (type == "enabled") {
    const std::optional<int64_t> budget = maybe_integer(*thinking, "budget_tokens");
    if (!budget) {
      return refused("thinking.budget_tokens is missing: thinking that is enabled has a budget",
                     "thinking.budget_tokens");
    }
    if (wish.tokens_max && *budget >= *wish.tokens_max) {
      return refused(fmt::format("thinking.budget_tokens must be below max_tokens, which counts it "
                                 "in: got {} and {}",
                                 *budget, *wish.tokens_max),
                     "thinking.budget_tokens");
    }
    wish.think_budget = budget;
  }
  if (thinks) {
    wish.think = true;
  } else {
    wish.think_budget.reset();
  }
  return {};
}

}  // namespace

std::vector<Member> prompt_members() {
  const Shape block =
      Shape::object({required("type", Shape::string()), optional("text", Shape::string()),
                     optional("thinking", Shape::string()), optional("name", Shape::string()),
                     optional("id", Shape::string()), optional("input", Shape::any()),
                     optional("tool_use_id", Shape::string()),
                     optional("is_error", Shape::boolean())})
          .named("AnthropicBlock");
  const Shape text_block =
      Shape::object({required("type", Shape::choice({"text"})), required("text", Shape::string())});
  const Shape message =
      Shape::object(
          {required("role", Shape::choice({"user", "assistant", "system"})),
           required("content", Shape::one_of({Shape::string(), Shape::array(block, kBlocksMax)}))})
          .named("AnthropicMessage");
  const Shape tool =
      Shape::object(
          {optional("type", Shape::string()), optional("name", Shape::string().at_most(128)),
           optional("description", Shape::string()), optional("input_schema", Shape::map())})
          .named("AnthropicTool");
  return {
      required("model", Shape::string().at_least(1).at_most(500), "A name of /v1/models"),
      required("messages", Shape::array(message, kMessagesMax).at_least(1)),
      optional("system", Shape::one_of({Shape::string(), Shape::array(text_block, kBlocksMax)})),
      optional("tools", Shape::array(tool, kToolsMax),
               "With an input_schema; tools of Anthropic's servers are passed over"),
      optional("tool_choice",
               Shape::object({required("type", Shape::choice({"auto", "any", "tool", "none"})),
                              optional("name", Shape::string())})),
      optional("thinking",
               Shape::object({required("type", Shape::choice({"enabled", "disabled", "adaptive"})),
                              optional("budget_tokens", Shape::integer(0, kTokensMax))}),
               "Off unless asked for; of no effect where the model cannot think"),
  };
}

Shape message_request_shape() {
  const Shape format = Shape::object({required("type", Shape::string(), "json_schema, or regex"),
                                      optional("schema", Shape::map())});
  std::vector<Member> members = prompt_members();
  const std::vector<Member> more = {
      required("max_tokens", Shape::integer(1, kTokensMax)),
      optional("stream", Shape::boolean()),
      optional("stop_sequences", Shape::array(Shape::string().at_least(1).at_most(1000), 16)),
      optional("temperature", Shape::number(0, 1)),
      optional("top_p", Shape::number(0, 1)),
      optional("top_k", Shape::integer(0, 1'000'000)),
      optional("output_config",
               Shape::object({optional("effort", effort_shape()), optional("format", format)})),
  };
  members.insert(members.end(), more.begin(), more.end());
  return Shape::object(std::move(members)).named("AnthropicMessageRequest");
}

std::expected<MessageAsk, ApiError> read_prompt(const Call& call, ModelHost& models) {
  const Value& body = call.body;
  // The first version that there was lacks most of this.
  constexpr std::string_view kOldest = "2023-06-01";
  const std::string* version = call.request->header("anthropic-version");
  if (version != nullptr && (version->size() != kOldest.size() || *version < kOldest)) {
    return refused(
        fmt::format("anthropic-version must be {} or later, got '{}'", kOldest, *version),
        "anthropic-version");
  }
  MessageAsk out;
  out.ask.model = text_member(body, "model");
  out.ask.client = call.client;
  if (std::string system = read_system(member(body, "system")); !system.empty()) {
    out.ask.turns.push_back({.role = "system", .content = std::move(system), .reasoning = {}});
  }
  MessageReader reader(out.ask.turns, out.passed_over);
  const Value::Array& messages = *body.find("messages")->as_array();
  for (size_t i = 0; i < messages.size(); ++i) {
    auto read = reader.read(messages[i], fmt::format("messages.{}", i));
    if (!read) return std::unexpected(read.error());
  }
  if (out.ask.turns.back().role == "assistant") {
    return refused(
        "the last message is the assistant's own, and an answer is not continued: the "
        "conversation must end with a user's message",
        "messages");
  }
  if (auto read = read_tool_list(body, out); !read) return std::unexpected(read.error());
  out.ask.tool_choice = read_choice(body);
  const auto name = models.resolve(out.ask.model);
  if (!name) return std::unexpected(name.error());
  const auto status = models.status(*name);
  out.thinks = status && status->facts && status->facts->thinks;
  out.ask.sampling.tokens_max = maybe_integer(body, "max_tokens");
  if (auto read = read_thinking(body, out.thinks, out.ask.sampling); !read) {
    return std::unexpected(read.error());
  }
  return out;
}

std::expected<MessageAsk, ApiError> read_message_request(const Call& call, ModelHost& models) {
  auto out = read_prompt(call, models);
  if (!out) return out;
  const Value& body = call.body;
  out->streams = maybe_bool(body, "stream").value_or(false);
  SamplingWish& wish = out->ask.sampling;
  wish.temperature = maybe_number(body, "temperature");
  wish.top_p = maybe_number(body, "top_p");
  wish.top_k = maybe_integer(body, "top_k");
  if (const Value* stops = member(body, "stop_sequences")) {
    for (const Value& one : *stops->as_array()) wish.stop.push_back(*one.as_string());
  }
  if (const Value* config = member(body, "output_config")) {
    const auto effort = maybe_text(*config, "effort");
    if (effort && out->thinks && wish.think != false) read_effort(*effort, wish);
    auto form = read_response_format(member(*config, "format"), "output_config.format");
    if (!form) return std::unexpected(form.error());
    wish.form = *std::move(form);
  }
  return out;
}

}  // namespace minke::server
