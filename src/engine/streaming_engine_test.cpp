// An engine whose experts do not fit its budget: the same answers, a budget that is kept to, and
// errors that a user can act on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "engine/local_engine.h"
#include "models/synth.h"

namespace minke {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMiB = uint64_t{1} << 20;

// 16 experts in each of two layers, 6.3 MB of 10 in all.
class StreamingEngine : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = ::testing::TempDir() + "minke-streaming-engine-" + std::to_string(getpid()) + ".gguf";
    const Status written = write_synth({.shape = "tiny-deepseek-v3", .quant = "F32"}, path_, {});
    ASSERT_TRUE(written.has_value()) << written.error().message;
  }
  void TearDown() override { std::filesystem::remove(path_); }

  EngineOptions options(uint64_t memory_bytes) const {
    EngineOptions options;
    options.model = path_;
    options.threads = 2;
    options.context_tokens = 256;
    options.memory_bytes = memory_bytes;
    options.mtp = false;
    return options;
  }
  // In memory with room to spare, or with 3 MiB less than that takes.
  std::shared_ptr<LocalEngine> whole() const { return *LocalEngine::load(options(1024 * kMiB)); }
  std::shared_ptr<LocalEngine> streamed() const {
    const MemoryReport all = whole()->memory();
    const uint64_t context = 256 * all.kv_token_bytes;
    return *LocalEngine::load(options(all.weights + all.activations + context - 3 * kMiB));
  }
  std::string error(uint64_t memory_bytes) const {
    const auto engine = LocalEngine::load(options(memory_bytes));
    return engine ? "" : engine.error().message;
  }

  std::string path_;
};

SamplingOptions seeded(double temperature, bool speculate) {
  SamplingOptions sampling;
  sampling.seed = 5;
  sampling.tokens_max = 40;
  sampling.temperature = temperature;
  sampling.speculate = speculate;
  return sampling;
}

// The layer that guesses ahead goes before experts do; where experts have to go as well, it comes
// back, with its own among them.
TEST_F(StreamingEngine, TheLayerThatGuessesStreamsToo) {
  const auto without = whole();
  const MemoryReport all = without->memory();
  const uint64_t needed = all.weights + all.activations + 256 * all.kv_token_bytes;
  EngineOptions guessing = options(needed + kMiB / 2);
  guessing.mtp = true;
  guessing.draft_tokens = 2;
  const auto dropped = *LocalEngine::load(guessing);
  EXPECT_EQ(dropped->draft_kind(), DraftKind::kNone);
  EXPECT_EQ(dropped->memory().experts, 0);
  guessing.memory_bytes = needed - kMiB;
  const auto loaded = LocalEngine::load(guessing);
  ASSERT_TRUE(loaded) << loaded.error().message;
  const auto& streamed = *loaded;
  EXPECT_EQ(streamed->draft_kind(), DraftKind::kMtp);
  EXPECT_EQ(streamed->memory().experts, 48);
  EXPECT_LT(streamed->memory().experts_cached, 48);
  for (const double temperature : {0.0, 0.6}) {
    const auto want = without->complete("one two three", seeded(temperature, false), {});
    const auto got = streamed->complete("one two three", seeded(temperature, true), {});
    ASSERT_TRUE(want && got);
    EXPECT_EQ(got->tokens, want->tokens);
    EXPECT_GT(got->usage.drafted_tokens, 0);
  }
}

TEST_F(StreamingEngine, AnswersAsAnEngineInMemory) {
  const auto all = whole();
  const auto some = streamed();
  EXPECT_EQ(all->memory().expert_cache, 0u);
  EXPECT_FALSE(all->expert_stats());
  const MemoryReport memory = some->memory();
  EXPECT_EQ(memory.experts, 32);
  EXPECT_GE(memory.experts_cached, 6);
  EXPECT_LT(memory.experts_cached, 32);
  EXPECT_LE(memory.weights + memory.activations + memory.kv_cache + memory.expert_cache,
            memory.budget);
  // A text that repeats itself, so that there is something to speculate on.
  const std::string prompt = "one two three one two three one two three one two";
  for (const double temperature : {0.0, 0.6}) {
    for (const bool speculate : {false, true}) {
      const SamplingOptions sampling = seeded(temperature, speculate);
      const auto want = all->complete(prompt, seeded(temperature, false), {});
      const auto got = some->complete(prompt, sampling, {});
      ASSERT_TRUE(want && got);
      EXPECT_EQ(got->tokens, want->tokens) << temperature << ", speculation " << speculate;
    }
  }
  const ExpertStats stats = some->expert_stats().value();
  EXPECT_GT(stats.used, stats.hits);
  EXPECT_GT(stats.hits, 0u);
  EXPECT_GT(stats.bytes_read, 0u);
}

TEST_F(StreamingEngine, NamesTheLeastBudgetThatWorks) {
  const std::string refused = error(kMiB);
  EXPECT_THAT(refused, HasSubstr("even with its experts left on the disk"));
  EXPECT_THAT(refused, HasSubstr("the memory budget (--memory) is 1 MiB"));
  const std::string words = "the least that works is --memory ";
  const size_t at = refused.find(words);
  ASSERT_NE(at, std::string::npos) << refused;
  const uint64_t least = std::stoull(refused.substr(at + words.size())) * kMiB;
  EXPECT_EQ(error(least), "");
  EXPECT_THAT(error(least - kMiB), HasSubstr(words));
}

TEST_F(StreamingEngine, AFileCutShortIsAnErrorOfTheRequest) {
  const auto engine = streamed();
  ASSERT_TRUE(engine->complete("one two", seeded(0, true), {}));
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) * 2 / 3);
  for (int again = 0; again < 3; ++again) {
    const auto answer = engine->complete("three four five six seven", seeded(0, true), {});
    ASSERT_FALSE(answer);
    EXPECT_THAT(answer.error().message, HasSubstr(path_ + ": the file"));
  }
}

}  // namespace
}  // namespace minke
