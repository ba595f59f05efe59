// How hard a model is to think, in the words that clients have for it, and the budget of thinking
// that each stands for. The one list of them: dialects read it and the app is told it. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "server/api/shape.h"
#include "server/chat/chat_service.h"

namespace minke::server {

struct Effort {
  const char* name;
  std::optional<int64_t> think_budget = {};  // tokens; without: as long as it takes
  bool thinks = true;
  bool is_synonym = false;  // of the one before it
};

std::span<const Effort> efforts();
Shape effort_shape();
// `name` is one of them. A budget that the request has itself stays.
void read_effort(std::string_view name, SamplingWish& wish);

}  // namespace minke::server
