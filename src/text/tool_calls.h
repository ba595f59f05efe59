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
//
// Small models leave the markers out altogether. An answer that is nothing but objects {"name":
// NAME, "arguments" or "parameters": {...}}, one or several, in a row or an array, bare or in a
// fence, is calls too where each NAME is one of the tools that were given: what begins like one is
// kept back until it is settled, calls until the end.
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

// Reads an answer that is calls without markers, character by character.
class BareCalls {
 public:
  explicit BareCalls(const std::vector<std::string>& names);

  // False: it is no such answer, and nothing that follows can make it one.
  bool take(std::string_view text);
  // The calls, if the answer may end here; none where it may not.
  std::vector<ToolCall> calls() const;

 private:
  enum class Place : uint8_t { kBetween, kFenceMark, kFenceWord, kObject };
  bool take(char c);
  bool take_between(char c);
  bool take_inside(char c);
  bool fits_head() const;

  std::vector<std::string> heads_;  // {"name":"NAME", of each tool
  std::vector<ToolCall> calls_;
  Place place_ = Place::kBetween;
  std::string object_;     // the one that is being read
  std::string head_;       // its beginning without space, until it is one of heads_
  bool is_known_ = false;  // it is
  bool is_in_string_ = false, is_escaped_ = false;
  int depth_ = 0;  // of brackets and braces in the object
  int marks_ = 0;  // of a fence that begins or ends: ```
  bool is_in_fence_ = false, is_in_array_ = false;
};

class ToolCallParser {
 public:
  // `names`: of the tools of which calls may come without markers.
  explicit ToolCallParser(ToolFormat format, const std::vector<std::string>& names = {});

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

  std::vector<ToolEvent> feed_marked(std::string_view chunk);

  ToolFormat format_;
  Markers markers_;
  std::optional<BareCalls> bare_;  // while the answer may be calls without markers
  std::string bare_text_;          // all of it so far
  std::string held_;               // not settled yet
  std::string skipped_;            // markers and space before a call: text after all, if none comes
  bool is_inside_ = false;
  bool is_behind_call_ = false;  // nothing but space and markers since the last call
};

}  // namespace minke
