// What is read between the turns of a conversation, so that no turn reads its history again.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/chat_prompt.h"
#include "engine/fake_runner.h"
#include "engine/local_engine.h"
#include "engine/loop.h"
#include "models/synth.h"

namespace minke {
namespace {

LoopOptions options() {
  LoopOptions result;
  result.scheduler = {
      .prefill_chunk = 96, .prefill_chunk_shared = 32, .sequences_max = 8, .logit_rows_max = 24};
  result.context_tokens = 640;
  result.context_max = 640;
  result.vocab_size = FakeModel::kVocab;
  result.end_tokens = {FakeModel::kEnd};
  return result;
}

std::vector<int32_t> random_prompt(std::mt19937& random, size_t length) {
  std::vector<int32_t> prompt(length);
  for (int32_t& token : prompt) token = 1 + static_cast<int32_t>(random() % 60);
  return prompt;
}

LoopRequest answer_to(std::vector<int32_t> prompt) {
  LoopRequest request;
  request.prompt = std::move(prompt);
  request.sampling.seed = 1;
  request.sampling.tokens_max = 5;
  return request;
}

LoopRequest reading(std::vector<int32_t> prompt) {
  LoopRequest request = answer_to(std::move(prompt));
  request.sampling.tokens_max = 0;
  request.is_ahead = true;
  return request;
}

template <typename Engine>
void wait_until_read(const Engine& engine) {
  while (engine.stats().ahead > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST(ReadAhead, WhatWasReadIsThereWhenItIsAskedFor) {
  std::mt19937 random(1);
  Loop loop(options(), 20, std::make_unique<FakeRunner>(20));
  std::vector<int32_t> prompt = random_prompt(random, 200);
  loop.submit(reading(prompt));
  wait_until_read(loop);
  EXPECT_EQ(loop.stats().rows, 200u);
  prompt.push_back(9);
  LoopRequest request = answer_to(prompt);
  const std::vector<int32_t> expected = plain_answer(prompt, request.sampling, 640);
  const Completion got = loop.run(std::move(request)).value();
  EXPECT_EQ(got.usage.cached_tokens, 200);
  EXPECT_EQ(got.tokens, expected);
}

TEST(ReadAhead, GivesWayAndGoesOnWithoutLosingWhatItRead) {
  std::mt19937 random(2);
  auto runner = std::make_unique<FakeRunner>(20);
  runner->step_time = std::chrono::milliseconds(30);
  const FakeRunner& model = *runner;
  Loop loop(options(), 20, std::move(runner));
  const std::vector<int32_t> ahead = random_prompt(random, 300);
  loop.submit(reading(ahead));
  model.wait_for_step(3);  // two are done
  const Completion got = loop.run(answer_to(random_prompt(random, 20))).value();
  EXPECT_EQ(got.usage.cached_tokens, 0);
  EXPECT_EQ(loop.stats().ahead, 1);
  EXPECT_EQ(loop.stats().requests_waiting, 0);
  EXPECT_LE(loop.stats().steps_abandoned, 1u);
  wait_until_read(loop);
  // At most the step that was given up was read twice, and that is not among the rows.
  EXPECT_LE(loop.stats().rows, 300u + 20 + 5 + 15);
  EXPECT_EQ(loop.run(answer_to(ahead)).value().usage.cached_tokens, 299);
}

// The first step of a prompt that begins with token 1 fails.
class FailingRunner final : public StepRunner {
 public:
  explicit FailingRunner(int32_t pages) : inner_(pages) {}
  void apply(std::span<const PageAction> actions) override { inner_.apply(actions); }
  Result<std::span<float>> run(const Batch& batch) override {
    if (batch.positions[0] == 0 && batch.tokens[0] == 1) return fail("the disk is gone");
    return inner_.run(batch);
  }

 private:
  FakeRunner inner_;
};

TEST(ReadAhead, AFaultEndsOneReadingAndTheNextIsTakenUp) {
  std::mt19937 random(5);
  Loop loop(options(), 20, std::make_unique<FailingRunner>(20));
  std::atomic<int> failed = 0;
  for (int i = 0; i < 2; ++i) {
    LoopRequest broken = reading({1, 2, 3});
    broken.on_done = [&](const Result<Completion>& result) { failed += result ? 0 : 1; };
    loop.submit(std::move(broken));
  }
  const std::vector<int32_t> prompt(130, 7);
  loop.submit(reading(prompt));
  wait_until_read(loop);
  EXPECT_EQ(failed, 2);
  EXPECT_EQ(loop.run(answer_to(prompt)).value().usage.cached_tokens, 129);
}

TEST(ReadAhead, WhoAsksForTheSameWaitsForTheStep) {
  std::mt19937 random(3);
  auto runner = std::make_unique<FakeRunner>(20);
  runner->step_time = std::chrono::milliseconds(100);
  const FakeRunner& model = *runner;
  Loop loop(options(), 20, std::move(runner));
  std::vector<int32_t> prompt = random_prompt(random, 250);
  loop.submit(reading(prompt));
  model.wait_for_step(2);
  prompt.push_back(3);
  const Completion got = loop.run(answer_to(prompt)).value();
  EXPECT_EQ(loop.stats().steps_abandoned, 0u);
  EXPECT_GE(got.usage.cached_tokens, 128);
  EXPECT_LT(got.usage.cached_tokens, 250);
}

TEST(ReadAhead, CanBeCalledOff) {
  std::mt19937 random(4);
  auto runner = std::make_unique<FakeRunner>(20);
  runner->step_time = std::chrono::seconds(60);
  const FakeRunner& model = *runner;
  Loop loop(options(), 20, std::move(runner));
  const uint64_t first = loop.submit(reading(random_prompt(random, 100)));
  const uint64_t second = loop.submit(reading(random_prompt(random, 100)));
  model.wait_for_step(1);
  loop.cancel(second);
  loop.cancel(first);
  wait_until_read(loop);
  EXPECT_EQ(loop.stats().rows, 0u);
}

TEST(ReadAhead, AnEngineEndsWithoutWaitingForIt) {
  std::mt19937 random(5);
  auto runner = std::make_unique<FakeRunner>(20);
  runner->step_time = std::chrono::seconds(60);
  Loop loop(options(), 20, std::move(runner));
  for (int i = 0; i < 3; ++i) loop.submit(reading(random_prompt(random, 100)));
}

// Random conversations beside requests that nobody waits for: nothing changes any answer.
TEST(ReadAhead, ChangesNoAnswerOnHardlyAnyPages) {
  std::mt19937 random(6);
  Loop loop(options(), 11, std::make_unique<FakeRunner>(11));
  const std::vector<int32_t> common = random_prompt(random, 130);
  for (int round = 0; round < 60; ++round) {
    std::vector<int32_t> prompt = common;
    const std::vector<int32_t> more = random_prompt(random, 1 + random() % 300);
    prompt.insert(prompt.end(), more.begin(), more.end());
    const uint64_t id = loop.submit(reading(prompt));
    if (round % 3 == 0) wait_until_read(loop);
    prompt.resize(prompt.size() - random() % std::min<size_t>(prompt.size() - 1, 200));
    LoopRequest request = answer_to(prompt);
    const std::vector<int32_t> expected = plain_answer(prompt, request.sampling, 640);
    EXPECT_EQ(loop.run(std::move(request)).value().tokens, expected);
    if (round % 2 == 0) loop.cancel(id);
  }
}

// --- conversations -------------------------------------------------------------------------------

// In R1's manner: the prompt opens the thinking, and history is without it.
constexpr const char* kThinkingTemplate =
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|im_start|>A' + "
    "m.content.split('</think>')[-1] + '<|im_end|>' }}{% else %}{{ '<|im_start|>U' + m.content + "
    "'<|im_end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>A<think>\\n' }}{% endif %}";

class Conversations : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = ::testing::TempDir() + "minke-read-ahead-" + std::to_string(getpid()) + ".gguf";
    ASSERT_TRUE(write_synth({.shape = "tiny-qwen2", .quant = "Q8_0"}, path_));
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::shared_ptr<LocalEngine> load(const char* chat_template) const {
    auto engine = LocalEngine::load(
        {.model = path_, .threads = 1, .device = Device::kCpu, .chat_template = chat_template});
    if (!engine) ADD_FAILURE() << engine.error().message;
    return *engine;
  }

  std::string path_;
};

SamplingOptions some_thoughts() {
  SamplingOptions sampling;
  sampling.seed = 7;
  sampling.temperature = 1.0;
  sampling.tokens_max = 150;
  sampling.think_budget = 60;
  return sampling;
}

const std::string kQuestion = "in the end another thing of the same";

// What each of ten turns reads, without and with the time to read ahead between them.
TEST_F(Conversations, NoTurnReadsItsHistoryAgain) {
  const auto engine = load(kThinkingTemplate);
  // With its markers, and what is too little to be worth reading ahead.
  const int64_t question = std::ssize(engine->tokenize(kQuestion, false)) + 16;
  const auto session = engine->new_session({});
  const auto other = load(kThinkingTemplate);
  ChatTimeline timeline;
  std::vector<ChatTurn> turns;
  int64_t read_plain = 0;
  int64_t read_ahead = 0;
  for (int turn = 0; turn < 10; ++turn) {
    const auto answer = session->ask(kQuestion, some_thoughts(), {});
    ASSERT_TRUE(answer) << answer.error().message;
    wait_until_read(*engine);
    turns.push_back({.role = "user", .content = kQuestion, .reasoning = {}});
    const auto plain = other->chat_on(turns, {}, some_thoughts(), {}, timeline);
    ASSERT_TRUE(plain) << plain.error().message;
    turns.push_back(
        {.role = "assistant", .content = plain->content, .reasoning = plain->reasoning});
    EXPECT_EQ(answer->tokens, plain->tokens) << "turn " << turn;
    const auto read = [](const Answer& one) {
      return one.usage.prompt_tokens - one.usage.cached_tokens;
    };
    RecordProperty("turn-" + std::to_string(turn),
                   std::to_string(read(*plain)) + " / " + std::to_string(read(*answer)));
    if (turn == 0) continue;
    read_plain += read(*plain);
    read_ahead += read(*answer);
    EXPECT_LE(read(*answer), question) << "turn " << turn;
  }
  EXPECT_GT(read_plain, 2 * read_ahead);
}

// Where history stays as it was, a turn's markers are not worth a step of their own.
TEST(ReadAhead, IsForHistoriesThatChange) {
  const std::string path = MINKE_SOURCE_DIR "/tests/golden/tiny/qwen2.gguf";
  const std::string words = "the thing in the end is another thing then";
  for (const bool strips : {false, true}) {
    const auto loaded = LocalEngine::load(
        {.model = path, .threads = 1, .chat_template = strips ? kThinkingTemplate : ""});
    ASSERT_TRUE(loaded) << loaded.error().message;
    LocalEngine& engine = **loaded;
    std::vector<ChatTurn> turns = {{.role = "user", .content = "the thing", .reasoning = {}}};
    const auto prompt =
        engine.chat_template()->render({.messages = {{.role = "user", .content = "the thing"}}});
    ASSERT_TRUE(prompt) << prompt.error().message;
    ChatTimeline timeline = chat_timeline(engine.tokenizer(), *prompt, {});
    const std::string thoughts = strips ? "thinking\n</think>\n\n" : "";
    add_answer(engine.tokenizer(), engine.tokenize(thoughts + words, false), {}, timeline);
    turns.push_back({.role = "assistant", .content = words, .reasoning = {}});
    EXPECT_EQ(engine.read_ahead(turns, {}, timeline) != 0, strips);
  }
}

TEST_F(Conversations, ASessionThatGoesTakesItsReadingAlong) {
  const auto engine = load(kThinkingTemplate);
  for (int i = 0; i < 5; ++i) {
    const auto session = engine->new_session({});
    ASSERT_TRUE(session->ask(kQuestion, some_thoughts(), {}));
    if (i % 2 == 0) session->forget();
  }
  wait_until_read(*engine);
}

}  // namespace
}  // namespace minke
