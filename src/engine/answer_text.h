// From sampled tokens to what a person reads: whole characters, reasoning and calls of tools apart
// from content, stop strings cut off. One answer, one object, one thread (the loop's).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/loop.h"
#include "engine/stop_strings.h"
#include "minke/engine.h"
#include "text/chat_template.h"
#include "text/think_parser.h"
#include "text/tokenizer.h"
#include "text/tool_calls.h"
#include "text/utf8_stream.h"

namespace minke {

struct AnswerTextOptions {
  bool split_thinking = false;               // else all is content
  bool starts_inside = false;                // the prompt ended inside the thinking
  ThinkingStyle style;                       // its tags
  ToolFormat tools = ToolFormat::kNone;      // how calls are written, where there are tools
  std::vector<std::string> bare_tools = {};  // of which calls may come without markers
  bool thinks_first = false;                 // from the first content on, tags are text
  std::vector<std::string> stop;
};

class AnswerText {
 public:
  // `tokenizer` outlives the object. `on_piece` may be empty.
  AnswerText(const Tokenizer& tokenizer, AnswerTextOptions options, OnPiece on_piece);

  TokenVerdict take(const TokenEvent& event);
  // The end: what was held back comes out.
  void finish();

  const std::string& reasoning() const { return reasoning_; }
  const std::string& content() const { return content_; }
  const std::vector<ToolCall>& calls() const { return calls_; }
  int64_t reasoning_tokens() const { return reasoning_tokens_; }
  // The next token belongs to the thinking.
  bool is_thinking() const { return options_.split_thinking && thinking_.is_inside(); }

 private:
  void give(PieceKind kind, std::string_view text);
  void give_call(ToolCall call);
  void take_tool_events(const std::vector<ToolEvent>& events);
  void take_text(const std::string& text);
  void take_content(std::string_view text);
  void take_events(const std::vector<ThinkEvent>& events);
  std::string_view text_of(int32_t token) const;

  const Tokenizer& tokenizer_;
  const AnswerTextOptions options_;
  OnPiece on_piece_;
  Utf8Stream characters_;
  ThinkParser thinking_;
  ToolCallParser tools_;
  StopStrings stops_;
  std::string reasoning_;
  std::string content_;
  std::vector<ToolCall> calls_;
  int64_t position_ = 0;  // of the last token
  int64_t reasoning_tokens_ = 0;
  bool cancelled_ = false;
};

}  // namespace minke
