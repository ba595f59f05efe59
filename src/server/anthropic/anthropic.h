// Anthropic's dialect: messages and the counting of their tokens. The shapes follow Anthropic's API
// reference; docs/api.md says what is taken, what is passed over and what is refused.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "server/openai/openai.h"

namespace minke::server {

Routes anthropic_routes(Services& services);

struct MessageAsk {
  Ask ask;
  std::vector<std::string> passed_over;  // kinds of tools and blocks that mean nothing here
  bool streams = false;
  bool thinks = false;  // the model can
};

// What a count of tokens takes, and what a message takes beyond it.
std::vector<Member> prompt_members();
Shape message_request_shape();
// All that the prompt is made of.
std::expected<MessageAsk, ApiError> read_prompt(const Call& call, ModelHost& models);
std::expected<MessageAsk, ApiError> read_message_request(const Call& call, ModelHost& models);

}  // namespace minke::server
