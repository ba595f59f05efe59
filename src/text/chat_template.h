// A model's chat template: from a conversation to the text that the model reads.
//
// The template is a stranger's program (it comes with the model file) in Jinja, run by the engine
// of jinja_interpreter.h with bounds on steps, memory, output and depth; its bytes equal those of
// Python's Jinja2 with the settings that transformers uses. Immutable after parse() and safe from
// any thread; each rendering has its own memory.
//
// Safety. A user who types "<|im_end|>" must not end his turn. render() therefore returns segments:
// what the template wrote, and what came from messages, tools or variables. Special tokens may be
// recognised only where all their bytes lie in template segments. To get the very tokens of the
// usual whole-text tokenisation otherwise, cut the text at those special tokens and tokenise what
// lies between them as one piece, across the borders of segments.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "text/chat_message.h"
#include "text/tool_calls.h"
#include "text/value.h"

namespace minke {

namespace jinja {
class Heap;
struct Program;
}  // namespace jinja

struct ChatSegment {
  std::string text;
  bool from_user_data;
  friend bool operator==(const ChatSegment&, const ChatSegment&) = default;
};

struct RenderedChat {
  std::vector<ChatSegment> segments;  // neighbours differ in from_user_data; none is empty
  // The prompt ends behind an opening thinking tag that the template wrote: the answer begins
  // inside the thinking, and ThinkParser has to know.
  bool ends_inside_thinking = false;

  std::string text() const;
  // More of the template's text behind the prompt.
  void append(std::string_view text);
};

// How a model writes its thinking: open, after_open, the thinking, before_close, close,
// after_close, the answer.
struct ThinkingStyle {
  std::string open = "<think>";
  std::string after_open = "\n";
  std::string before_close = "\n";
  std::string close = "</think>";
  std::string after_close = "\n\n";
  std::string opening() const { return open + after_open; }
  std::string closing() const { return before_close + close + after_close; }
  friend bool operator==(const ThinkingStyle&, const ThinkingStyle&) = default;
};

struct ChatRequest {
  std::vector<ChatMessage> messages;
  Value tools;  // an array of OpenAI tool descriptions, or null
  bool add_generation_prompt = true;
  std::string bos_token;  // as the vocabulary writes them; empty: the model has none
  std::string eos_token;
  // What templates call enable_thinking (Qwen3) or thinking (DeepSeek V3.1). Unset: the template's
  // own default.
  std::optional<bool> enable_thinking;
  // More variables for the template. Their strings count as user data, and they win over all of the
  // above.
  std::vector<std::pair<std::string, Value>> variables;
  std::optional<std::tm> now;  // what strftime_now() reads; unset: the local time
};

// What a template does, found out by rendering small conversations.
struct ChatTemplateTraits {
  bool takes_system = false;                   // a system message appears in the prompt
  bool takes_tools = false;                    // descriptions of tools appear in the prompt
  ToolFormat tool_format = ToolFormat::kNone;  // how the model writes calls of them
  bool repairs_tools = false;        // render_for_answer() renders them in the template's place
  bool wants_argument_text = false;  // tool calls carry their JSON as text, not as objects
  bool wants_null_content = false;   // a turn of nothing but calls has none, not an empty text
  bool knows_thinking = false;       // the template speaks of thinking tags
  bool opens_thinking = false;       // by default the prompt ends inside thinking
  bool has_thinking_switch = false;  // enable_thinking changes the prompt
  bool strips_old_thinking = false;  // thinking of earlier turns does not appear in the prompt
  ThinkingStyle thinking;            // what the template does not show is as in DeepSeek-R1
};

class ChatTemplate {
 public:
  // For a model that brings no template: the ChatML form that most of today's models understand.
  static ChatTemplate builtin_chatml();
  // Renders a few small conversations, to learn the traits. All of them together have one small
  // bound of steps and memory; a template that goes beyond it for the plainest one is refused.
  static Result<ChatTemplate> parse(std::string source);

  Result<RenderedChat> render(const ChatRequest& request) const;
  // The same for a model that is to answer. It is about to think, or has thought nothing, as
  // enable_thinking says: by the template's own switch, or by the tags themselves. And where tools
  // are in use whose descriptions or calls the template renders wrongly (traits().repairs_tools),
  // a template of ours takes its place, with the same markers.
  Result<RenderedChat> render_for_answer(const ChatRequest& request) const;

  const std::string& source() const { return source_; }
  bool is_builtin() const { return is_builtin_; }
  const ChatTemplateTraits& traits() const { return traits_; }

 private:
  ChatTemplate(std::string source, std::shared_ptr<const jinja::Program> program);
  // These throw jinja::Fault. What `heap` has left bounds them.
  RenderedChat render_on(jinja::Heap& heap, const ChatRequest& request,
                         const ChatTemplateTraits& traits) const;
  Result<RenderedChat> render_tools(const ChatRequest& request) const;
  static RenderedChat render_program(const jinja::Program& program, jinja::Heap& heap,
                                     const ChatRequest& request, const ChatTemplateTraits& traits);
  void probe();
  void probe_thinking(jinja::Heap& heap);
  void probe_calls(jinja::Heap& heap);
  void probe_tools(jinja::Heap& heap);
  std::string probed_text(jinja::Heap& heap, ChatRequest request) const;

  std::string source_;
  std::shared_ptr<const jinja::Program> program_;
  std::shared_ptr<const jinja::Program> tool_program_;  // with repairs_tools
  ChatTemplateTraits traits_;
  bool is_builtin_ = false;
};

}  // namespace minke
