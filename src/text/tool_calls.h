// Finds the calls of tools in a streamed answer.
//
// Three ways of writing them are known; which one a model has is found in its template's own
// markers (chat_template.h):
//   kDeepSeek (V3, R1):   <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME
//                         ```json
//                         {...}
//                         ```<｜tool▁call▁end｜> ... <｜tool▁calls▁end｜>
//   kDeepSeekBare (V3.1): the same with NAME<｜tool▁sep｜>{...} in each call
//   kHermes (Qwen, Hermes): <tool_call>\n{"name": NAME, "arguments": {...}}\n</tool_call>
// Of DeepSeek's two each is read where the other is expected, and markers that models tend to leave
// out at the end are not missed.
//
// Feed it the content as it comes, cut anywhere, also inside a marker. What is no call comes out as
// text, in order; bytes that may begin a marker are kept back until that is settled. A call comes
// out whole, once it is. What looked like a call and is none comes out as the text that it is, with
// its markers: nothing is lost. One parser belongs to one answer; no threads.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "minke/tool.h"

namespace minke {

enum class ToolFormat : uint8_t { kNone, kDeepSeek, kDeepSeekBare, kHermes };

// The markers of a format: text that belongs to calls even where the vocabulary has it as control
// tokens, which otherwise have none.
std::span<const std::string_view> tool_markers(ToolFormat format);

struct ToolEvent {
  std::string text;              // content; empty with a call
  std::optional<ToolCall> call;  // without an id
};

class ToolCallParser {
 public:
  explicit ToolCallParser(ToolFormat format);

  std::vector<ToolEvent> feed(std::string_view chunk);
  // The end of the answer: a call that lacks only its closing marker counts.
  std::vector<ToolEvent> finish();

 private:
  struct Markers {
    std::string_view call_open, call_close, all_open, all_close;
  };
  void emit_text(std::vector<ToolEvent>& events, std::string_view text);
  void end_call(std::vector<ToolEvent>& events, std::string_view body, std::string_view closing);
  bool step_outside(std::vector<ToolEvent>& events);
  bool step_inside(std::vector<ToolEvent>& events);
  std::optional<ToolCall> parse_call(std::string_view body) const;

  ToolFormat format_;
  Markers markers_;
  std::string held_;     // not settled yet
  std::string skipped_;  // markers and space before a call: text after all, if none comes
  bool is_inside_ = false;
  bool is_behind_call_ = false;  // nothing but space and markers since the last call
};

}  // namespace minke
