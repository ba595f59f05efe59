#include "text/chat_template.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_parser.h"
#include "text/tool_template.h"

namespace minke {

namespace {

constexpr size_t kSourceBytesMax = size_t{1} << 20;

constexpr std::string_view kChatMl =
    "{%- for message in messages -%}\n"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}{{ message['content'] or '' }}"
    "{{ '<|im_end|>\\n' }}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}";

Error to_error(const jinja::Fault& fault) {
  return Error{fmt::format("chat template, line {}: {}", fault.line, fault.message)};
}

// --- values into the template's world ------------------------------------------------------------

jinja::Object user_string(jinja::Heap& heap, const std::string& bytes) {
  return heap.string(jinja::Text::from_user(bytes));
}

jinja::Object to_object(jinja::Heap& heap, const Value& value) {
  if (const bool* flag = value.as_bool()) return jinja::Object::boolean(*flag);
  if (const int64_t* integer = value.as_int()) return jinja::Object::integer(*integer);
  if (const double* real = value.as_float()) return jinja::Object::real(*real);
  if (const std::string* string = value.as_string()) return user_string(heap, *string);
  if (const Value::Array* array = value.as_array()) {
    std::vector<jinja::Object> items;
    items.reserve(array->size());
    for (const Value& item : *array) items.push_back(to_object(heap, item));
    return heap.list(std::move(items));
  }
  if (const Value::Object* object = value.as_object()) {
    jinja::DictBuilder dict(heap);
    for (const auto& [key, item] : *object) dict.set(user_string(heap, key), to_object(heap, item));
    return dict.finish();
  }
  return jinja::Object::none();
}

// A role picks a branch of the template and is printed into its markers, some of which are made
// around it ('<|' + role + '|>'). The well-known ones are template text; any other is user data.
jinja::Object role_object(jinja::Heap& heap, const std::string& role) {
  static constexpr std::string_view kKnown[] = {"system",    "user",     "assistant", "tool",
                                                "developer", "function", "ipython"};
  const bool is_known = std::find(std::begin(kKnown), std::end(kKnown), role) != std::end(kKnown);
  return is_known ? heap.string(role) : user_string(heap, role);
}

jinja::Object tool_call_object(jinja::Heap& heap, const ToolCall& call, bool as_text) {
  jinja::Object arguments = user_string(heap, call.arguments);
  if (!as_text) {
    // What is no JSON object goes in as the text that it is.
    if (const auto parsed = parse_json(call.arguments); parsed && parsed->as_object() != nullptr)
      arguments = to_object(heap, *parsed);
  }
  jinja::DictBuilder function(heap);
  function.set("name", user_string(heap, call.name));
  function.set("arguments", std::move(arguments));
  jinja::DictBuilder out(heap);
  if (!call.id.empty()) out.set("id", user_string(heap, call.id));
  out.set("type", heap.string("function"));
  out.set("function", function.finish());
  return out.finish();
}

jinja::Object message_object(jinja::Heap& heap, const ChatMessage& message,
                             const ChatTemplateTraits& traits) {
  jinja::DictBuilder out(heap);
  out.set("role", role_object(heap, message.role));
  const bool has_content =
      !message.content.empty() || message.tool_calls.empty() || !traits.wants_null_content;
  out.set("content", has_content ? user_string(heap, message.content) : jinja::Object::none());
  if (!message.name.empty()) out.set("name", user_string(heap, message.name));
  if (!message.tool_call_id.empty())
    out.set("tool_call_id", user_string(heap, message.tool_call_id));
  if (!message.tool_calls.empty()) {
    std::vector<jinja::Object> calls;
    for (const ToolCall& call : message.tool_calls)
      calls.push_back(tool_call_object(heap, call, traits.wants_argument_text));
    out.set("tool_calls", heap.list(std::move(calls)));
  }
  if (!message.reasoning.empty()) {
    // Two names are in use: reasoning_content (most) and thinking (gpt-oss).
    const jinja::Object reasoning = user_string(heap, message.reasoning);
    out.set("reasoning_content", reasoning);
    out.set("thinking", reasoning);
  }
  return out.finish();
}

std::tm local_now() {
  const std::time_t now = std::time(nullptr);
  std::tm out{};
  localtime_r(&now, &out);
  return out;
}

void set_variables(jinja::Interpreter& interpreter, const ChatRequest& request,
                   const ChatTemplateTraits& traits) {
  jinja::Heap& heap = interpreter.heap();
  std::vector<jinja::Object> messages;
  messages.reserve(request.messages.size());
  for (const ChatMessage& message : request.messages)
    messages.push_back(message_object(heap, message, traits));
  interpreter.set_global("messages", heap.list(std::move(messages)));
  interpreter.set_global("tools", to_object(heap, request.tools));
  interpreter.set_global("documents", jinja::Object::none());
  interpreter.set_global("add_generation_prompt",
                         jinja::Object::boolean(request.add_generation_prompt));
  if (!request.bos_token.empty())
    interpreter.set_global("bos_token", heap.string(request.bos_token));
  if (!request.eos_token.empty())
    interpreter.set_global("eos_token", heap.string(request.eos_token));
  if (request.enable_thinking) {
    interpreter.set_global("enable_thinking", jinja::Object::boolean(*request.enable_thinking));
    interpreter.set_global("thinking", jinja::Object::boolean(*request.enable_thinking));
  }
  for (const auto& [name, value] : request.variables)
    interpreter.set_global(name, to_object(heap, value));
}

// --- the result ----------------------------------------------------------------------------------

std::vector<ChatSegment> to_segments(const jinja::Text& text) {
  std::vector<ChatSegment> segments;
  const std::string_view bytes = text.view();
  const auto add = [&](size_t begin, size_t end, bool is_user) {
    if (begin < end) segments.push_back({std::string(bytes.substr(begin, end - begin)), is_user});
  };
  size_t at = 0;
  for (const jinja::Span& span : text.user_spans()) {
    add(at, span.begin, false);
    add(span.begin, span.end, true);
    at = span.end;
  }
  add(at, bytes.size(), false);
  return segments;
}

struct Tags {
  std::string_view open;
  std::string_view close;
};
constexpr Tags kThinkingTags[] = {{"<think>", "</think>"},
                                  {"<thinking>", "</thinking>"},
                                  {"<seed:think>", "</seed:think>"},
                                  {"[THINK]", "[/THINK]"}};

std::string_view without_space_at_end(std::string_view text) {
  return text.substr(0, text.find_last_not_of("\n ") + 1);
}

bool uses_tools(const ChatRequest& request) {
  const Value::Array* tools = request.tools.as_array();
  if (tools != nullptr && !tools->empty()) return true;
  return std::ranges::any_of(request.messages, [](const ChatMessage& message) {
    return message.role == "tool" || !message.tool_calls.empty();
  });
}

bool ends_inside_thinking(const std::vector<ChatSegment>& segments) {
  if (segments.empty() || segments.back().from_user_data) return false;
  const std::string_view tail = without_space_at_end(segments.back().text);
  return std::ranges::any_of(kThinkingTags,
                             [&](const Tags& tags) { return tail.ends_with(tags.open); });
}

}  // namespace

std::string RenderedChat::text() const {
  std::string out;
  for (const ChatSegment& segment : segments) out += segment.text;
  return out;
}

void RenderedChat::append(std::string_view text) {
  if (text.empty()) return;
  if (segments.empty() || segments.back().from_user_data) segments.push_back({"", false});
  segments.back().text += text;
  ends_inside_thinking = minke::ends_inside_thinking(segments);
}

// --- ChatTemplate --------------------------------------------------------------------------------

ChatTemplate::ChatTemplate(std::string source, std::shared_ptr<const jinja::Program> program)
    : source_(std::move(source)), program_(std::move(program)) {}

Result<ChatTemplate> ChatTemplate::parse(std::string source) {
  if (source.size() > kSourceBytesMax)
    return fail(fmt::format("the chat template has {} bytes; at most {} are read", source.size(),
                            kSourceBytesMax));
  try {
    auto program = std::make_shared<const jinja::Program>(jinja::parse_program(source));
    ChatTemplate out(std::move(source), std::move(program));
    out.probe();
    return out;
  } catch (const jinja::Fault& fault) {
    return std::unexpected(to_error(fault));
  }
}

ChatTemplate ChatTemplate::builtin_chatml() {
  auto result = parse(std::string(kChatMl));
  CHECK(result.has_value());
  result->is_builtin_ = true;
  return *std::move(result);
}

Result<RenderedChat> ChatTemplate::render(const ChatRequest& request) const {
  try {
    jinja::Heap heap(jinja::Limits{});
    return render_on(heap, request, traits_);
  } catch (const jinja::Fault& fault) {
    return std::unexpected(to_error(fault));
  }
}

Result<RenderedChat> ChatTemplate::render_for_answer(const ChatRequest& request) const {
  Result<RenderedChat> chat =
      tool_program_ && uses_tools(request) ? render_tools(request) : render(request);
  if (!chat || !request.enable_thinking || !traits_.knows_thinking) return chat;
  const ThinkingStyle& style = traits_.thinking;
  // After a tool's result R1's template goes on in the turn that was thought about before.
  const bool goes_on = !request.messages.empty() && request.messages.back().role == "tool";
  if (*request.enable_thinking) {
    const bool leaves_it_to_the_model = traits_.has_thinking_switch || goes_on;
    if (!chat->ends_inside_thinking && !leaves_it_to_the_model) chat->append(style.opening());
  } else if (chat->ends_inside_thinking) {
    chat->append(style.closing());
  } else if (!traits_.has_thinking_switch && !traits_.opens_thinking && !goes_on) {
    chat->append(style.opening() + style.closing());
  }
  return chat;
}

Result<RenderedChat> ChatTemplate::render_tools(const ChatRequest& request) const {
  ChatTemplateTraits traits = traits_;
  traits.wants_argument_text = true;
  traits.wants_null_content = false;
  try {
    jinja::Heap heap(jinja::Limits{});
    return render_program(*tool_program_, heap, request, traits);
  } catch (const jinja::Fault& fault) {
    return std::unexpected(to_error(fault));
  }
}

RenderedChat ChatTemplate::render_on(jinja::Heap& heap, const ChatRequest& request,
                                     const ChatTemplateTraits& traits) const {
  return render_program(*program_, heap, request, traits);
}

RenderedChat ChatTemplate::render_program(const jinja::Program& program, jinja::Heap& heap,
                                          const ChatRequest& request,
                                          const ChatTemplateTraits& traits) {
  jinja::Interpreter interpreter(heap, request.now ? *request.now : local_now());
  set_variables(interpreter, request, traits);
  const jinja::Text text = interpreter.run(program);
  RenderedChat out{to_segments(text), false};
  out.ends_inside_thinking = ends_inside_thinking(out.segments);
  return out;
}

// --- probes --------------------------------------------------------------------------------------

namespace {

// For all probes together. The conversations are short: a template that needs more than this for
// them is up to no good.
constexpr jinja::Limits kProbeLimits = {
    .steps_max = 500'000, .memory_bytes_max = size_t{8} << 20, .output_bytes_max = size_t{1} << 20};

const ChatMessage kProbeUser = {.role = "user", .content = "Hello"};

Value probe_descriptions() {
  Value::Object parameters = {{"type", "object"},
                              {"properties", Value(Value::Object{})},
                              {"required", Value(Value::Array{})}};
  Value::Object function = {{"name", "probe_of_tools"},
                            {"description", "A probe."},
                            {"parameters", Value(std::move(parameters))}};
  Value::Object tool = {{"type", "function"}, {"function", Value(std::move(function))}};
  return Value(Value::Array{Value(std::move(tool))});
}

// Templates that add these to a string fail where the request has none.
ChatRequest with_probe_tokens(ChatRequest request) {
  request.bos_token = "<s>";
  request.eos_token = "</s>";
  return request;
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

void ChatTemplate::probe() {
  jinja::Heap heap(kProbeLimits);
  ChatRequest plain;
  plain.messages = {kProbeUser};
  try {
    const RenderedChat rendered = render_on(heap, with_probe_tokens(plain), traits_);
    traits_.opens_thinking = rendered.ends_inside_thinking;
  } catch (const jinja::Fault& fault) {
    // It may want another conversation, but not more than the bound.
    if (fault.over_limit) throw;
  }
  const auto text_of = [&](const ChatRequest& request) { return probed_text(heap, request); };
  probe_calls(heap);
  probe_thinking(heap);

  ChatRequest system;
  system.messages = {{.role = "system", .content = "probe-of-system"}, kProbeUser};
  traits_.takes_system = has(text_of(system), "probe-of-system");

  ChatRequest thinking;
  thinking.messages = {
      kProbeUser,
      {.role = "assistant", .content = "<think>\nprobe-of-thinking\n</think>\n\nprobe-of-answer"},
      kProbeUser};
  const std::string with_thinking = text_of(thinking);
  traits_.strips_old_thinking =
      has(with_thinking, "probe-of-answer") && !has(with_thinking, "probe-of-thinking");

  ChatRequest tools = plain;
  tools.tools = probe_descriptions();
  traits_.takes_tools = has(text_of(tools), "probe_of_tools");
  probe_tools(heap);
}

// Empty when the template will not have it.
std::string ChatTemplate::probed_text(jinja::Heap& heap, ChatRequest request) const {
  try {
    return render_on(heap, with_probe_tokens(std::move(request)), traits_).text();
  } catch (const jinja::Fault&) {
    return {};
  }
}

// Which tags the thinking stands between, and which newlines: from a prompt that opens it, or from
// one in which it is switched off.
void ChatTemplate::probe_thinking(jinja::Heap& heap) {
  const auto prompt = [&](bool thinks) {
    ChatRequest request{.messages = {kProbeUser}};
    request.enable_thinking = thinks;
    return probed_text(heap, request);
  };
  const std::string on = prompt(true);
  const std::string off = prompt(false);
  traits_.has_thinking_switch = on != off;
  const auto* tags = std::ranges::find_if(kThinkingTags, [&](const Tags& one) {
    return has(source_, one.open) || has(source_, one.close);
  });
  if (tags == std::end(kThinkingTags)) return;
  traits_.knows_thinking = true;
  ThinkingStyle& style = traits_.thinking;
  style.open = tags->open;
  style.close = tags->close;
  const std::string_view opened = without_space_at_end(on);
  const std::string_view closed = without_space_at_end(off);
  if (opened.ends_with(style.open)) {
    style.after_open = on.substr(opened.size());
    // Who writes nothing behind the one tag writes nothing around the other.
    if (style.after_open.empty()) style.before_close = style.after_close = "";
  } else if (traits_.has_thinking_switch && closed.ends_with(style.close)) {
    style.after_close = off.substr(closed.size());
  }
}

// Templates differ in how they want a turn of nothing but calls; the first way in which this one
// shows the call and its argument is taken.
void ChatTemplate::probe_calls(jinja::Heap& heap) {
  ChatRequest call;
  call.messages = {kProbeUser,
                   {.role = "assistant",
                    .tool_calls = {{"probe1234", "probe_of_calls", "{\"probe\": \"one\"}"}}},
                   {.role = "tool", .content = "ok", .tool_call_id = "probe1234"}};
  for (const bool as_text : {false, true}) {
    for (const bool null_content : {false, true}) {
      ChatTemplateTraits way;
      way.wants_argument_text = as_text;
      way.wants_null_content = null_content;
      std::string text;
      try {
        text = render_on(heap, with_probe_tokens(call), way).text();
      } catch (const jinja::Fault&) {
        continue;
      }
      const std::string_view wanted = as_text ? "{\"probe\": \"one\"}" : "one";
      // Python's way of printing a dict is no JSON.
      if (!has(text, "probe_of_calls") || !has(text, wanted) || has(text, "{'probe'")) continue;
      traits_.wants_argument_text = as_text;
      traits_.wants_null_content = null_content;
      return;
    }
  }
}

// The templates of DeepSeek's models leave descriptions out, and some lose markers in a second
// round of calls. What stands around messages is taken from the template.
void ChatTemplate::probe_tools(jinja::Heap& heap) {
  traits_.tool_format = tool_format_of(source_);
  if (traits_.tool_format != ToolFormat::kDeepSeek &&
      traits_.tool_format != ToolFormat::kDeepSeekBare) {
    return;
  }
  const ToolCall call = {"probe1234", "probe_of_calls", "{}"};
  const ChatMessage result = {.role = "tool", .content = "ok", .tool_call_id = "probe1234"};
  const ChatRequest rounds{.messages = {kProbeUser,
                                        {.role = "assistant", .tool_calls = {call}},
                                        result,
                                        {.role = "assistant", .tool_calls = {call, call}},
                                        result,
                                        result}};
  if (traits_.takes_tools && has_whole_rounds(probed_text(heap, rounds), 2)) return;

  const ChatMessage answer = {.role = "assistant", .content = "probe-of-answer"};
  const std::string history = probed_text(heap, {.messages = {kProbeUser, answer, kProbeUser}});
  DeepSeekTools parts;
  parts.is_bare = traits_.tool_format == ToolFormat::kDeepSeekBare;
  parts.opening = between(history, kProbeUser.content, answer.content);
  const auto prompt_end = [&](std::optional<bool> thinks) {
    const ChatRequest request{.messages = {kProbeUser}, .enable_thinking = thinks};
    const std::string text = probed_text(heap, request);
    const size_t place = text.rfind(kProbeUser.content);
    return place == std::string::npos ? "" : text.substr(place + kProbeUser.content.size());
  };
  const std::string plain = probed_text(heap, {.messages = {kProbeUser}});
  if (!has(plain, kProbeUser.content) || parts.opening.empty()) return;
  parts.prompt = prompt_end(std::nullopt);
  parts.prompt_thinking = prompt_end(true);
  parts.prompt_answering = prompt_end(false);
  tool_program_ =
      std::make_shared<const jinja::Program>(jinja::parse_program(deepseek_tools_source(parts)));
  traits_.repairs_tools = true;
}

}  // namespace minke
