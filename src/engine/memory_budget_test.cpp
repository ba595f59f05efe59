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

StreamDemand partly() {
  StreamDemand demand_of = {
      .fixed = demand(), .expert_bytes = 10 * kMiB, .experts_least = 12, .experts_count = 1000};
  demand_of.fixed.kv_page_bytes = kMiB;
  return demand_of;
}

TEST(PlanStreaming, GivesExpertsWhatContextLeaves) {
  // 1000 + 48 always, 8 for 512 tokens, 120 for 12 experts; an eighth of the other 872 is more than
  // 8192 tokens take, which are not wanted when a model streams.
  const Result<StreamPlan> plan = plan_streaming(partly());
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->memory.kv_pages, 109);
  EXPECT_EQ(plan->memory.context_tokens, 109 * kKvPageTokens);
  EXPECT_EQ(plan->experts, (2048 - 1048 - 109) / 10);
  StreamDemand roomy = partly();
  roomy.fixed.budget = 9000 * kMiB;
  EXPECT_EQ(plan_streaming(roomy)->memory.context_tokens, 8192);
  StreamDemand few = partly();
  few.experts_count = 20;
  EXPECT_EQ(plan_streaming(few)->experts, 20);
}

TEST(PlanStreaming, KeepsTheContextThatWasAskedFor) {
  StreamDemand asked = partly();
  asked.fixed.context_tokens = 32'000;
  EXPECT_EQ(plan_streaming(asked)->memory.kv_pages, 500);
  EXPECT_EQ(plan_streaming(asked)->experts, (2048 - 1048 - 500) / 10);
  asked.fixed.context_tokens = 40'000;
  EXPECT_THAT(plan_streaming(asked).error().message, HasSubstr("trained for 32768"));
}

TEST(PlanStreaming, NamesTheLeastThatWorks) {
  StreamDemand small = partly();
  small.fixed.budget = 1175 * kMiB;
  EXPECT_THAT(plan_streaming(small).error().message,
              HasSubstr("the least that works is --memory 1176M"));
  small.fixed.budget = 1176 * kMiB;
  EXPECT_EQ(plan_streaming(small)->experts, 12);
}

}  // namespace
}  // namespace minke
