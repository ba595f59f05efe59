#include "server/chat/model_faults.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "engine/memory_budget.h"

namespace minke::server {
namespace {

// bytes_to_run() counts a long context, as far as it is short of memory; a model is loaded with a
// shorter one where there is less.
uint64_t least_to_run(const RoomFault& fault, const ModelFacts& facts) {
  constexpr int64_t kContextLeast = 512;  // tokens: the engine's own bound
  ModelFacts least = facts;
  least.info.context = std::min(facts.info.context, kContextLeast);
  return std::min(fault.wanted, bytes_to_run(least));
}

}  // namespace

ApiError no_room_error(const RoomFault& fault, const ModelFacts* facts) {
  const uint64_t least = facts == nullptr ? fault.wanted : least_to_run(fault, *facts);
  return {.status = 503,
          .message = fmt::format(
              "there is no room for {} now: it needs at least about {} ({} with its context), and "
              "of the memory budget (--memory) of {}, {} is held for requests to {}. Try again "
              "when they are done, or raise --memory",
              fault.model, bytes_text(least), bytes_text(fault.wanted), bytes_text(fault.budget),
              bytes_text(fault.held),
              fault.holders.empty() ? "other models"
                                    : fmt::format("{}", fmt::join(fault.holders, ", "))),
          .type = "server_error",
          .code = "model_not_loaded",
          .retry_after_s = fault.retry_after_s};
}

bool is_same_file(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty()) return false;
  std::error_code error;
  return a == b || std::filesystem::equivalent(a, b, error);
}

ApiError in_use_error(std::string_view name, std::string_view other) {
  return {.status = 409,
          .message = fmt::format("'{}' is served over '{}' and needs its file: to delete that, "
                                 "start the server without '{}'",
                                 other, name, other)};
}

}  // namespace minke::server
