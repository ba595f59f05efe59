// Reads a request of OpenAI's Responses into turns.

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "server/chat/effort.h"
#include "server/openai/responses.h"

namespace minke::server {
namespace {

constexpr size_t kItemsMax = 10'000;
constexpr size_t kToolsMax = 256;
constexpr int64_t kTokensMax = int64_t{1} << 30;

// What a custom tool's input is called among the arguments of a call.
constexpr const char* kCustomInput = "input";

std::unexpected<ApiError> refused(std::string message, std::string param) {
  return std::unexpected(bad_request(std::move(message), std::move(param)));
}

// Makes turns of items. What an assistant thought, said and called is one turn, in however many
// items it comes.
class InputReader {
 public:
  using FindItem = std::function<std::optional<Value>(const std::string& id)>;
  InputReader(std::vector<ChatTurn> before, std::vector<std::string>& passed_over,
              FindItem find_item)
      : turns_(std::move(before)),
        passed_over_(passed_over),
        find_item_(std::move(find_item)),
        first_(turns_.size()) {}

  std::expected<void, ApiError> read(const Value& item, const std::string& path) {
    const bool has_role = member(item, "role") != nullptr;
    const std::string type = text_member(item, "type", has_role ? "message" : "item_reference");
    if (type == "item_reference") return read_reference(item, path);
    if (type == "message") return read_message(item, path);
    if (type == "reasoning") return read_reasoning(item);
    if (type == "function_call") return read_call(item, text_or_json(item, "arguments"), path);
    if (type == "custom_tool_call") {
      return read_call(
          item, to_json(Value(Value::Object{{kCustomInput, text_member(item, "input")}})), path);
    }
    if (type == "function_call_output" || type == "custom_tool_call_output") {
      return read_output(item, path);
    }
    passed_over_.push_back("item " + type);
    return {};
  }

  std::vector<ChatTurn> take() { return std::move(turns_); }

 private:
  static std::string text_or_json(const Value& item, std::string_view name) {
    const Value* value = member(item, name);
    if (value == nullptr) return {};
    return value->as_string() != nullptr ? *value->as_string() : to_json(*value);
  }

  std::expected<std::string, ApiError> content(const Value& item, std::string_view name,
                                               const std::string& path) {
    const Value* value = member(item, name);
    const std::string here = fmt::format("{}.{}", path, name);
    if (value == nullptr || value->as_string() != nullptr) return read_content(value, here);
    const Value::Array* parts = value->as_array();
    const bool are_objects = parts != nullptr && std::ranges::all_of(*parts, [](const Value& one) {
                               return one.as_object() != nullptr;
                             });
    if (!are_objects) {
      return refused(
          fmt::format("{} must be a string or an array of parts, got {}", here, kind_text(*value)),
          here);
    }
    return read_content(value, here);
  }

  // Clients that have their responses kept send the ids of what they were given.
  std::expected<void, ApiError> read_reference(const Value& item, const std::string& path) {
    const std::string id = text_member(item, "id");
    const std::optional<Value> found = find_item_(id);
    if (found) return read(*found, path);
    return refused(fmt::format("{}: there is no item with the id '{}': its response was not kept "
                               "(store), has made room for later ones, or is of before the "
                               "server's start. Send the item itself",
                               path, id),
                   path);
  }

  std::expected<void, ApiError> read_message(const Value& item, const std::string& path) {
    const std::string role = text_member(item, "role");
    if (role != "user" && role != "assistant" && role != "system" && role != "developer") {
      return refused(fmt::format("{}.role must be one of 'user', 'assistant', 'system', "
                                 "'developer', got '{}'",
                                 path, role),
                     path + ".role");
    }
    auto text = content(item, "content", path);
    if (!text) return std::unexpected(text.error());
    if (role == "assistant") {
      open_assistant(false);
      turns_.back().content = *std::move(text);
    } else {
      turns_.push_back({.role = role, .content = *std::move(text), .reasoning = {}});
    }
    return {};
  }

  std::expected<void, ApiError> read_reasoning(const Value& item) {
    // What was thought, else what was told of it.
    for (const char* name : {"content", "summary"}) {
      const Value* parts = member(item, name);
      if (parts == nullptr || parts->as_array() == nullptr || parts->as_array()->empty()) continue;
      for (const Value& part : *parts->as_array()) {
        if (!reasoning_.empty()) reasoning_ += "\n\n";
        reasoning_ += text_member(part, "text");
      }
      break;
    }
    return {};
  }

  std::expected<void, ApiError> read_call(const Value& item, std::string arguments,
                                          const std::string& path) {
    const std::string name = text_member(item, "name");
    if (name.empty()) return refused(path + ".name is missing", path + ".name");
    open_assistant(true);
    turns_.back().tool_calls.push_back(
        {.id = text_member(item, "call_id"), .name = name, .arguments = std::move(arguments)});
    return {};
  }

  std::expected<void, ApiError> read_output(const Value& item, const std::string& path) {
    auto text = content(item, "output", path);
    if (!text) return std::unexpected(text.error());
    turns_.push_back({.role = "tool",
                      .content = *std::move(text),
                      .reasoning = {},
                      .tool_call_id = text_member(item, "call_id")});
    return {};
  }

  // The last turn is then an assistant's that takes what comes: calls join what was said.
  void open_assistant(bool is_call) {
    const bool can_join = turns_.size() > first_ && turns_.back().role == "assistant" && is_call &&
                          reasoning_.empty();
    if (can_join) return;
    turns_.push_back(
        {.role = "assistant", .content = {}, .reasoning = std::exchange(reasoning_, {})});
  }

  std::vector<ChatTurn> turns_;
  std::vector<std::string>& passed_over_;
  const FindItem find_item_;
  const size_t first_;     // of the request's own
  std::string reasoning_;  // of the assistant's next turn
};

std::expected<void, ApiError> read_tool_list(const Value* tools, ResponseAsk& out) {
  if (tools == nullptr) return {};
  const Value::Array& all = *tools->as_array();
  for (size_t i = 0; i < all.size(); ++i) {
    const std::string type = text_member(all[i], "type", "function");
    const bool is_custom = type == "custom";
    if (type != "function" && !is_custom) {
      out.passed_over.push_back("tool " + type);
      continue;
    }
    const std::string name = text_member(all[i], "name");
    if (name.empty()) {
      const std::string param = fmt::format("tools[{}].name", i);
      return refused(param + " is missing", param);
    }
    const Value* parameters = member(all[i], "parameters");
    Tool tool = {.name = name,
                 .description = text_member(all[i], "description"),
                 .parameters = parameters == nullptr ? "" : to_json(*parameters)};
    if (is_custom) {
      // To the model it is a function of one text.
      tool.parameters = fmt::format(
          R"({{"type":"object","properties":{{"{0}":{{"type":"string"}}}},"required":["{0}"]}})",
          kCustomInput);
      out.custom_tools.insert(name);
    }
    out.ask.tools.push_back(std::move(tool));
  }
  return {};
}

// {"type": "allowed_tools", "mode": "auto" or "required", "tools": [...]}: the mode alone counts.
std::expected<ToolChoice, ApiError> read_choice(const Value* choice) {
  if (choice != nullptr && text_member(*choice, "type") == "allowed_tools") {
    const Value mode(text_member(*choice, "mode", "auto"));
    return read_tool_choice(&mode);
  }
  return read_tool_choice(choice);
}

std::expected<void, ApiError> refuse_what_is_not_here(const Value& body) {
  if (maybe_bool(body, "background").value_or(false)) {
    return refused("background is not supported: stream the answer instead", "background");
  }
  for (const char* name : {"conversation", "prompt"}) {
    if (member(body, name) != nullptr) {
      return refused(fmt::format("{} refers to what only OpenAI's servers keep: send the items "
                                 "themselves, or go on with previous_response_id",
                                 name),
                     name);
    }
  }
  return {};
}

// Sampling, thinking, form: all that is not about what was said.
std::expected<void, ApiError> read_settings(const Value& body, ResponseAsk& out) {
  auto sampling = read_sampling(body);
  if (!sampling) return std::unexpected(sampling.error());
  SamplingWish& wish = out.ask.sampling = *std::move(sampling);
  wish.tokens_max = maybe_integer(body, "max_output_tokens");
  if (const Value* reasoning = member(body, "reasoning")) {
    if (const auto effort = maybe_text(*reasoning, "effort")) read_effort(*effort, wish);
    const std::string summary =
        text_member(*reasoning, "summary", text_member(*reasoning, "generate_summary", "none"));
    out.wants_summary = summary != "none";
  }
  if (const Value* text = member(body, "text")) {
    auto form = read_response_format(member(*text, "format"), "text.format");
    if (!form) return std::unexpected(form.error());
    wish.form = *std::move(form);
  }
  if (const Value* include = member(body, "include")) {
    out.wants_logprobs = std::ranges::any_of(*include->as_array(), [](const Value& one) {
      return one == Value("message.output_text.logprobs");
    });
  }
  if (out.wants_logprobs) wish.logprobs_top = maybe_integer(body, "top_logprobs").value_or(0);
  auto choice = read_choice(member(body, "tool_choice"));
  if (!choice) return std::unexpected(choice.error());
  out.ask.tool_choice = *std::move(choice);
  return read_tool_list(member(body, "tools"), out);
}

void repeat_members(const Value& body, ResponseAsk& out) {
  const auto repeat = [&](const char* name, const Value& otherwise) {
    const Value* given = member(body, name);
    out.repeated.emplace_back(name, given != nullptr ? *given : otherwise);
  };
  const Value text_format(Value::Object{{"format", Value(Value::Object{{"type", "text"}})}});
  repeat("instructions", {});
  repeat("max_output_tokens", {});
  repeat("max_tool_calls", {});
  repeat("metadata", Value(Value::Object{}));
  repeat("parallel_tool_calls", true);
  repeat("previous_response_id", {});
  repeat("prompt_cache_key", {});
  repeat("reasoning", Value(Value::Object{{"effort", Value()}, {"summary", Value()}}));
  repeat("safety_identifier", {});
  repeat("store", true);
  repeat("temperature", {});
  repeat("text", text_format);
  repeat("tool_choice", "auto");
  repeat("tools", Value(Value::Array{}));
  repeat("top_logprobs", 0);
  repeat("top_p", {});
  repeat("user", {});
  out.repeated.emplace_back("background", false);
  out.repeated.emplace_back("service_tier", "default");
  out.repeated.emplace_back("truncation", "disabled");
}

}  // namespace

Shape response_request_shape() {
  // What kinds of items there are grows with every release of the clients: the reader looks at what
  // it knows, and passes the others over.
  const Shape item =
      Shape::object({optional("type", Shape::string()), optional("role", Shape::string()),
                     optional("content", Shape::any()), optional("name", Shape::string()),
                     optional("call_id", Shape::string()), optional("arguments", Shape::any()),
                     optional("output", Shape::any())})
          .named("ResponseItem");
  const Shape tool =
      Shape::object(
          {optional("type", Shape::string()), optional("name", Shape::string().at_most(128)),
           optional("description", Shape::string()), optional("parameters", Shape::map())})
          .named("ResponseTool");
  std::vector<Member> members = {
      optional("model", Shape::string().at_most(500), "A name of /v1/models; else the default"),
      required("input", Shape::one_of({Shape::string(), Shape::array(item, kItemsMax)}),
               "What the user says, or items: messages, calls and their outputs, reasoning"),
      optional("instructions", Shape::string(), "Of the system, for this answer alone"),
      optional("previous_response_id", Shape::string().at_most(200), "Of one that was kept"),
      optional("store", Shape::boolean(), "Keep it in memory, for previous_response_id"),
      optional("stream", Shape::boolean()),
      optional("max_output_tokens", Shape::integer(1, kTokensMax), "Thinking included"),
      optional("reasoning",
               Shape::object({optional("effort", effort_shape()),
                              optional("summary", Shape::string(),
                                       "Thinking comes as a summary: all of it, under that name"),
                              optional("generate_summary", Shape::string())})),
      optional("text",
               Shape::object({optional("format", Shape::object({required("type", Shape::string())}),
                                       "text, json_object, json_schema, or regex")})),
      optional("tools", Shape::array(tool, kToolsMax),
               "Functions and custom tools; other kinds are passed over"),
      optional("tool_choice", Shape::one_of({Shape::string(), Shape::map()})),
      optional("include", Shape::array(Shape::string(), 100)),
      optional("top_logprobs", Shape::integer(0, 20)),
      optional("metadata", Shape::map()),
      optional("background", Shape::boolean(), "Refused if true"),
      optional("conversation", Shape::any(), "Refused"),
      optional("prompt", Shape::any(), "Refused"),
  };
  for (Member& one : sampling_members()) members.push_back(std::move(one));
  return Shape::object(std::move(members)).named("ResponseRequest");
}

std::expected<ResponseAsk, ApiError> read_response_request(const Call& call, ResponseTable& table) {
  const Value& body = call.body;
  if (auto here = refuse_what_is_not_here(body); !here) return std::unexpected(here.error());
  ResponseAsk out;
  out.ask.model = text_member(body, "model");
  out.ask.client = call.client;
  out.ask.prompt_param = "input";
  out.streams = maybe_bool(body, "stream").value_or(false);
  out.stores = maybe_bool(body, "store").value_or(true);

  std::vector<ChatTurn> before;
  if (const auto id = maybe_text(body, "previous_response_id")) {
    auto previous = table.find(*id, call.key);
    if (!previous || previous->turns.empty()) {
      ApiError error = bad_request(
          fmt::format(
              "there is no finished response with the id '{}': it was not kept (store), has "
              "made room for later ones, or is of before the server's start",
              *id),
          "previous_response_id");
      error.code = "previous_response_not_found";
      return std::unexpected(std::move(error));
    }
    before = std::move(previous->turns);
  }
  InputReader reader(std::move(before), out.passed_over, [&](const std::string& item_id) {
    return table.find_item(item_id, call.key);
  });
  const Value& input = *body.find("input");
  if (const std::string* text = input.as_string()) {
    out.input.emplace_back(
        Value::Object{{"type", "message"}, {"role", "user"}, {"content", *text}});
  } else {
    out.input = *input.as_array();
  }
  for (size_t i = 0; i < out.input.size(); ++i) {
    auto read = reader.read(out.input[i], fmt::format("input[{}]", i));
    if (!read) return std::unexpected(read.error());
  }
  out.conversation = reader.take();
  if (out.conversation.empty()) return refused("input has nothing to answer", "input");
  if (std::string text = text_member(body, "instructions"); !text.empty()) {
    out.ask.turns.push_back({.role = "system", .content = std::move(text), .reasoning = {}});
  }
  out.ask.turns.insert(out.ask.turns.end(), out.conversation.begin(), out.conversation.end());
  if (auto read = read_settings(body, out); !read) return std::unexpected(read.error());
  repeat_members(body, out);
  return out;
}

}  // namespace minke::server
