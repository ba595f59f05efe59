#include "engine/memory_budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "kernels/kv_store.h"

namespace minke {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr int64_t kContextLeast = 512;  // a model that cannot hold this much is no use
// What a model that streams is given of its context when nobody asks for more: memory that is kept
// for tokens which do not come is taken from experts that do.
constexpr int64_t kContextStreaming = 8192;
constexpr uint64_t kContextShare = 8;  // at most one part in so many of what is left

int64_t pages_of(int64_t tokens) { return (tokens + kKvPageTokens - 1) / kKvPageTokens; }

Status check_context(const MemoryDemand& demand) {
  if (demand.context_tokens <= demand.context_max) return {};
  return misuse(
      fmt::format("a context of {} tokens was asked for (--ctx), and this model was "
                  "trained for {} at most",
                  demand.context_tokens, demand.context_max));
}

// The budget that was asked for, or what may be taken of what is free.
uint64_t budget_of(const MemoryDemand& demand) {
  if (demand.budget > 0) return demand.budget;
  // Something is left for the rest of the system, and for what is not counted here.
  const uint64_t reserve = std::max(demand.available / 16, 128 * kMiB);
  return demand.available - std::min(demand.available, reserve);
}

}  // namespace

std::string bytes_text(uint64_t bytes) {
  const auto mib = static_cast<double>(bytes) / static_cast<double>(kMiB);
  return mib >= 1024 ? fmt::format("{:.2f} GiB", mib / 1024) : fmt::format("{:.0f} MiB", mib);
}

std::string context_way_out(int64_t context, int64_t context_max) {
  if (context >= context_max) return "shorten it; the model has no longer context";
  return fmt::format("shorten it, or load the model with a larger context (--ctx, at most {})",
                     context_max);
}

Result<MemoryPlan> plan_memory(const MemoryDemand& demand) {
  MINKE_TRY(check_context(demand));
  MemoryPlan plan;
  plan.budget = budget_of(demand);
  std::string whose = "the memory budget (--memory)";
  std::string way_out = "raise --memory";
  if (demand.budget == 0) {
    whose = "what is free of this machine's memory";
    way_out = "free some, or set --memory if you know better";
  }
  const uint64_t fixed = demand.weights + demand.activations;
  const auto context_least = std::min<int64_t>(
      demand.context_tokens > 0 ? demand.context_tokens : kContextLeast, demand.context_max);
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
  const int64_t pages_context = pages_of(plan.context_tokens);
  const auto wanted = static_cast<uint64_t>(
      demand.cache_tokens > 0 ? std::max(pages_context, pages_of(demand.cache_tokens))
                              : 2 * pages_context + 64);
  plan.kv_pages = static_cast<int32_t>(
      std::min({wanted, pages_fit, uint64_t{std::numeric_limits<int32_t>::max()}}));
  return plan;
}

Result<StreamPlan> plan_streaming(const StreamDemand& demand) {
  const MemoryDemand& fixed = demand.fixed;
  MINKE_TRY(check_context(fixed));
  StreamPlan plan;
  plan.memory.budget = budget_of(fixed);
  const int64_t asked = fixed.context_tokens;
  const int64_t context_least = std::min(asked > 0 ? asked : kContextLeast, fixed.context_max);
  const auto pages_least = static_cast<uint64_t>(pages_of(context_least));
  const uint64_t always = fixed.weights + fixed.activations;
  const uint64_t least = always + pages_least * fixed.kv_page_bytes +
                         static_cast<uint64_t>(demand.experts_least) * demand.expert_bytes;
  if (plan.memory.budget < least) {
    return fail(fmt::format(
        "even with its experts left on the disk the model needs {} for the weights that every "
        "token uses, {} to work in, {} for a context of {} tokens and {} for {} experts, and {} is "
        "{}: the least that works is --memory {}M",
        bytes_text(fixed.weights), bytes_text(fixed.activations),
        bytes_text(pages_least * fixed.kv_page_bytes), context_least,
        bytes_text(static_cast<uint64_t>(demand.experts_least) * demand.expert_bytes),
        demand.experts_least,
        fixed.budget > 0 ? "the memory budget (--memory)" : "what is free of this machine's memory",
        bytes_text(plan.memory.budget), (least + kMiB - 1) / kMiB));
  }
  const uint64_t spare = plan.memory.budget - least;
  uint64_t pages = pages_least;
  if (asked == 0) {
    const int64_t wanted = std::min(fixed.context_max, kContextStreaming);
    pages = std::clamp<uint64_t>(spare / kContextShare / std::max<uint64_t>(1, fixed.kv_page_bytes),
                                 pages_least, static_cast<uint64_t>(pages_of(wanted)));
    plan.memory.context_tokens =
        std::min(fixed.context_max, static_cast<int64_t>(pages) * kKvPageTokens);
  } else {
    plan.memory.context_tokens = asked;
  }
  plan.memory.kv_pages = static_cast<int32_t>(pages);
  const uint64_t left = plan.memory.budget - always - pages * fixed.kv_page_bytes;
  plan.experts = std::min(demand.experts_count, static_cast<int64_t>(left / demand.expert_bytes));
  return plan;
}

}  // namespace minke
