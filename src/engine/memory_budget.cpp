#include "engine/memory_budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "kernels/kv_store.h"

namespace minke {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr int64_t kContextLeast = 512;  // a model that cannot hold this much is no use

}  // namespace

std::string bytes_text(uint64_t bytes) {
  const auto mib = static_cast<double>(bytes) / static_cast<double>(kMiB);
  return mib >= 1024 ? fmt::format("{:.2f} GiB", mib / 1024) : fmt::format("{:.0f} MiB", mib);
}

Result<MemoryPlan> plan_memory(const MemoryDemand& demand) {
  if (demand.context_tokens > demand.context_max) {
    return misuse(
        fmt::format("a context of {} tokens was asked for (--ctx), and this model was "
                    "trained for {} at most",
                    demand.context_tokens, demand.context_max));
  }
  MemoryPlan plan;
  plan.budget = demand.budget;
  std::string whose = "the memory budget (--memory)";
  std::string way_out = "raise --memory";
  if (plan.budget == 0) {
    // Something is left for the rest of the system, and for what is not counted here.
    const uint64_t reserve = std::max(demand.available / 16, 128 * kMiB);
    plan.budget = demand.available - std::min(demand.available, reserve);
    whose = "what is free of this machine's memory";
    way_out = "free some, or set --memory if you know better";
  }
  const uint64_t fixed = demand.weights + demand.activations;
  const auto context_least = std::min<int64_t>(
      demand.context_tokens > 0 ? demand.context_tokens : kContextLeast, demand.context_max);
  const auto pages_of = [](int64_t tokens) { return (tokens + kKvPageTokens - 1) / kKvPageTokens; };
  const uint64_t pages_least = static_cast<uint64_t>(pages_of(context_least));
  const uint64_t room = plan.budget - std::min(plan.budget, fixed);
  const uint64_t pages_fit = demand.kv_page_bytes == 0 ? pages_least : room / demand.kv_page_bytes;
  if (fixed > plan.budget || pages_fit < pages_least) {
    const int64_t fits = static_cast<int64_t>(pages_fit) * kKvPageTokens;
    std::string message = fmt::format(
        "the model needs {} for its weights, {} to work in and {} for a context of {} tokens, "
        "together {}, and {} is {}: {}",
        bytes_text(demand.weights), bytes_text(demand.activations),
        bytes_text(pages_least * demand.kv_page_bytes), context_least,
        bytes_text(fixed + pages_least * demand.kv_page_bytes), whose, bytes_text(plan.budget),
        way_out);
    message += demand.context_tokens > 0 && fits >= kKvPageTokens
                   ? fmt::format(", or ask for a context of at most {} tokens (--ctx)", fits)
                   : std::string(", or choose a smaller model (minke list)");
    return fail(std::move(message));
  }
  const int64_t context_fits =
      static_cast<int64_t>(
          std::min<uint64_t>(pages_fit, static_cast<uint64_t>(pages_of(demand.context_max)))) *
      kKvPageTokens;
  plan.context_tokens = demand.context_tokens > 0 ? demand.context_tokens
                                                  : std::min(demand.context_max, context_fits);
  // Beside the longest sequence, room for another one's worth of others and of cached prefixes.
  const uint64_t wanted = static_cast<uint64_t>(2 * pages_of(plan.context_tokens) + 64);
  plan.kv_pages = static_cast<int32_t>(
      std::min({wanted, pages_fit, uint64_t{std::numeric_limits<int32_t>::max()}}));
  return plan;
}

}  // namespace minke
