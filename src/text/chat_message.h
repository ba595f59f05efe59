// One turn of a conversation, in the form that every front end translates to and from.
#pragma once

#include <string>
#include <vector>

#include "minke/tool.h"

namespace minke {

struct ChatMessage {
  std::string role =
      {};  // "system", "user", "assistant", "tool", or what the template knows besides
  std::string content = {};
  std::string reasoning = {};             // an assistant's thinking, without its tags
  std::vector<ToolCall> tool_calls = {};  // of an assistant
  std::string tool_call_id = {};          // of a tool's result
  std::string name = {};                  // of the tool or the speaker; empty: not given
};

}  // namespace minke
