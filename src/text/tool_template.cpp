#include "text/tool_template.h"

#include <fmt/format.h>

namespace minke {

namespace {

// A string as a template's source writes it.
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else {
      if (c == '\'' || c == '\\') out += '\\';
      out += c;
    }
  }
  return out + "'";
}

int count_of(std::string_view text, std::string_view part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1))
    ++count;
  return count;
}

// Descriptions, and how to call. In the template's own text, so that the markers in it are those
// that the model knows.
constexpr std::string_view kHead = R"({%- set ns = namespace(system='') -%}
{%- for m in messages if m.role == 'system' -%}
  {%- set ns.system = ns.system + ('\n\n' if ns.system else '') + m.content -%}
{%- endfor -%}
{{- bos_token -}}{{- ns.system -}}
{%- if tools -%}
  {{- '\n\n' if ns.system else '' -}}
  {{- '## Tools\n\nThese functions are there to be called:\n' -}}
  {%- for tool in tools -%}
    {{- '\n### ' + tool.function.name + '\nDescription: ' + tool.function.description -}}
    {{- '\n\nParameters: ' + (tool.function.parameters | tojson) + '\n' -}}
  {%- endfor -%}
  {{- '\nTo call one, end the answer exactly so, with its name for NAME and a JSON object that fits ' -}}
  {{- 'its parameters for ARGUMENTS:\n' + calls_begin -}}
  {{- call_begin + before_name + 'NAME' + before_arguments + 'ARGUMENTS' + behind_arguments -}}
  {{- call_end + calls_end -}}
  {{- '\nSeveral calls stand one after the other before the last marker. The results come next.\n\n' -}}
{%- endif -%}
)";

constexpr std::string_view kMessages = R"({%- for m in messages -%}
  {%- if m.role == 'user' -%}
    {{- '<｜User｜>' + m.content -}}
  {%- elif m.role == 'tool' -%}
    {{- outputs_begin if loop.first or messages[loop.index0 - 1].role != 'tool' else separator -}}
    {{- '<｜tool▁output▁begin｜>' + m.content + '<｜tool▁output▁end｜>' -}}
    {{- outputs_end if loop.last or messages[loop.index0 + 1].role != 'tool' else '' -}}
  {%- elif m.role == 'assistant' -%}
    {{- '' if not loop.first and messages[loop.index0 - 1].role == 'tool' else opening -}}
    {{- m.content.split('</think>')[-1] -}}
    {%- if m.tool_calls -%}
      {%- for call in m.tool_calls -%}
        {{- calls_begin if loop.first else separator -}}
        {{- call_begin + before_name + call.function.name + before_arguments -}}
        {{- call.function.arguments + behind_arguments + call_end -}}
      {%- endfor -%}
      {{- calls_end -}}
    {%- endif -%}
    {{- '<｜end▁of▁sentence｜>' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt and messages[-1].role not in ['tool', 'assistant'] -%}
  {%- if enable_thinking is not defined -%}
    {{- prompt -}}
  {%- else -%}
    {{- prompt_thinking if enable_thinking else prompt_answering -}}
  {%- endif -%}
{%- endif -%}
)";

}  // namespace

ToolFormat tool_format_of(std::string_view source) {
  const auto has = [&](std::string_view part) { return source.find(part) != source.npos; };
  if (has("<｜tool▁call▁begin｜>")) {
    return has("```json") ? ToolFormat::kDeepSeek : ToolFormat::kDeepSeekBare;
  }
  // Qwen3-Coder writes parameters as tags inside of the same marker.
  if (has("<tool_call>") && !has("<function=")) return ToolFormat::kHermes;
  return ToolFormat::kNone;
}

bool has_whole_rounds(const std::string& rendered, int rounds) {
  const int outputs = count_of(rendered, "<｜tool▁outputs▁begin｜>");
  return count_of(rendered, "<｜tool▁calls▁begin｜>") == rounds &&
         count_of(rendered, "<｜tool▁calls▁end｜>") == rounds &&
         count_of(rendered, "<｜tool▁outputs▁end｜>") == outputs &&
         (outputs == 0 || outputs == rounds);
}

std::string between(const std::string& text, std::string_view before, std::string_view after) {
  const size_t begin = text.find(before);
  if (begin == std::string::npos) return {};
  const size_t end = text.find(after, begin + before.size());
  if (end == std::string::npos) return {};
  return text.substr(begin + before.size(), end - begin - before.size());
}

std::string deepseek_tools_source(const DeepSeekTools& parts) {
  std::string out;
  const auto set = [&](std::string_view name, std::string_view text) {
    out += fmt::format("{{%- set {} = {} -%}}\n", name, quoted(text));
  };
  set("calls_begin", "<｜tool▁calls▁begin｜>");
  set("calls_end", "<｜tool▁calls▁end｜>");
  set("call_begin", "<｜tool▁call▁begin｜>");
  set("call_end", "<｜tool▁call▁end｜>");
  set("before_name", parts.is_bare ? "" : "function<｜tool▁sep｜>");
  set("before_arguments", parts.is_bare ? "<｜tool▁sep｜>" : "\n```json\n");
  set("behind_arguments", parts.is_bare ? "" : "\n```");
  set("outputs_begin", parts.is_bare ? "" : "<｜tool▁outputs▁begin｜>");
  set("outputs_end", parts.is_bare ? "" : "<｜tool▁outputs▁end｜>");
  set("separator", parts.is_bare ? "" : "\n");
  set("opening", parts.opening);
  set("prompt", parts.prompt);
  set("prompt_thinking", parts.prompt_thinking);
  set("prompt_answering", parts.prompt_answering);
  out += kHead;
  out += kMessages;
  return out;
}

}  // namespace minke
