// Templates for models that were taught to think: a model's own, with the thinking behind it.
#pragma once

#include <string>

#include "text/chat_template.h"

namespace minke {

// The source of a template whose prompts are those of `base` with <think> behind them, or with
// empty thinking where enable_thinking is false. That of `base` itself where it speaks of thinking.
std::string thinking_template(const ChatTemplate& base);

}  // namespace minke
