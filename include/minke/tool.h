// Tools: functions of the caller's that a model may ask to have called. The engine never calls one;
// it shows their descriptions to the model and finds the calls in what the model writes.
#pragma once

#include <string>

namespace minke {

struct Tool {
  std::string name = {};
  std::string description = {};
  std::string parameters = {};  // a JSON Schema of the arguments, as text; empty: there are none
};

struct ToolCall {
  std::string id = {};  // of the engine's making in an answer
  std::string name = {};
  std::string arguments = {};  // a JSON object, as text
};

}  // namespace minke
