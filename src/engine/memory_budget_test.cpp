#include "engine/memory_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/kv_store.h"

namespace minke {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMiB = uint64_t{1} << 20;

MemoryDemand demand() {
  return {.budget = 2048 * kMiB,
          .available = 0,
          .weights = 1000 * kMiB,
          .activations = 48 * kMiB,
          .kv_page_bytes = 2 * kMiB,
          .context_tokens = 0,
          .context_max = 32'768};
}

TEST(PlanMemory, TakesTheContextThatFits) {
  const Result<MemoryPlan> plan = plan_memory(demand());
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->context_tokens, 500 * kKvPageTokens);
  EXPECT_EQ(plan->kv_pages, 500);
  MemoryDemand small = demand();
  small.context_max = 2000;
  EXPECT_EQ(plan_memory(small)->context_tokens, 2000);
  EXPECT_EQ(plan_memory(small)->kv_pages, 2 * 32 + 64);
}

TEST(PlanMemory, KeepsWhatWasAskedForOrSaysWhatFits) {
  MemoryDemand asked = demand();
  asked.context_tokens = 4096;
  EXPECT_EQ(plan_memory(asked)->context_tokens, 4096);
  asked.context_tokens = 32'700;
  const Result<MemoryPlan> refused = plan_memory(asked);
  ASSERT_FALSE(refused);
  EXPECT_EQ(
      refused.error().message,
      "the model needs 1000 MiB for its weights, 48 MiB to work in and 1022 MiB for a context "
      "of 32700 tokens, together 2.02 GiB, and the memory budget (--memory) is 2.00 GiB: raise "
      "--memory, or ask for a context of at most 32000 tokens (--ctx)");
}

TEST(PlanMemory, RefusesBudgetsTooSmallForTheModel) {
  MemoryDemand small = demand();
  small.budget = 1050 * kMiB;
  const Result<MemoryPlan> refused = plan_memory(small);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("1000 MiB for its weights"));
  EXPECT_THAT(refused.error().message, HasSubstr("smaller model"));
  small.budget = 1;
  EXPECT_FALSE(plan_memory(small));
}

TEST(PlanMemory, RefusesAContextBeyondTheModels) {
  MemoryDemand asked = demand();
  asked.context_tokens = 40'000;
  const Result<MemoryPlan> refused = plan_memory(asked);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(refused.error().message, HasSubstr("trained for 32768"));
}

TEST(PlanMemory, WithoutABudgetLeavesSomethingForOthers) {
  MemoryDemand free = demand();
  free.budget = 0;
  free.available = 1600 * kMiB;
  EXPECT_EQ(plan_memory(free)->budget, 1472 * kMiB);
  free.available = 1100 * kMiB;
  EXPECT_THAT(plan_memory(free).error().message, HasSubstr("free of this machine's memory"));
  free.available = 0;
  EXPECT_THAT(plan_memory(free).error().message, HasSubstr("free of this machine's memory"));
  free.available = uint64_t{1} << 62;  // nobody knows
  EXPECT_EQ(plan_memory(free)->context_tokens, 32'768);
}

}  // namespace
}  // namespace minke
