// A template of ours for conversations with tools, for the models of DeepSeek whose own template
// renders them wrongly (see ChatTemplate::render_for_answer). Internal to src/text.
#pragma once

#include <string>
#include <string_view>

#include "text/tool_calls.h"

namespace minke {

// By the markers in a template's source.
ToolFormat tool_format_of(std::string_view source);

// Whether a rendered conversation of so many rounds has every marker of DeepSeek's that opens calls
// or outputs, and each closed again.
bool has_whole_rounds(const std::string& rendered, int rounds);

// What stands between the first `before` and the next `after`; empty where they are not there.
std::string between(const std::string& text, std::string_view before, std::string_view after);

// What stands around messages, as the model's own template has it.
struct DeepSeekTools {
  bool is_bare = false;          // V3.1's form of calls
  std::string opening;           // between a user's message and the answer, in history
  std::string prompt;            // behind a user's message that is to be answered
  std::string prompt_thinking;   // the same with thinking switched on
  std::string prompt_answering;  // and off
};

std::string deepseek_tools_source(const DeepSeekTools& parts);

}  // namespace minke
