// Many threads on one engine: they ask, score, cancel themselves and each other, and leave while
// others are still asking. Every answer is held to what the same request gets alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/local_engine.h"

namespace minke {
namespace {

constexpr int kQuestions = 6;
constexpr int64_t kAnswerTokens = 24;

std::shared_ptr<LocalEngine> load(int threads, int64_t batch_sequences_max) {
  EngineOptions options;
  options.model = std::string(MINKE_SOURCE_DIR) + "/tests/golden/tiny/qwen2.gguf";
  options.threads = threads;
  options.batch_sequences_max = batch_sequences_max;
  auto engine = LocalEngine::load(std::move(options));
  if (!engine) ADD_FAILURE() << engine.error().message;
  return *engine;
}

std::string question(int i) { return "the thing in another thing " + std::to_string(i); }

SamplingOptions sampling_of(int i) {
  SamplingOptions sampling;
  sampling.seed = static_cast<uint64_t>(i);
  sampling.temperature = i % 2 == 0 ? 0.0 : 0.9;
  sampling.tokens_max = kAnswerTokens;
  return sampling;
}

// What each question gets when nothing else runs.
struct Alone {
  std::vector<std::vector<int32_t>> completions, chats;
  std::vector<double> scores;  // of the text of question 0

  static Alone ask(LocalEngine& engine) {
    Alone alone;
    for (int i = 0; i < kQuestions; ++i) {
      alone.completions.push_back(engine.complete(question(i), sampling_of(i), {})->tokens);
      alone.chats.push_back(engine.new_session({})->ask(question(i), sampling_of(i), {})->tokens);
    }
    alone.scores = scores_of(engine);
    return alone;
  }
  static std::vector<double> scores_of(LocalEngine& engine) {
    const auto scores = engine.score(engine.text_prompt(question(0), false), {});
    std::vector<double> logprobs;
    for (const TokenScore& score : *scores) logprobs.push_back(score.logprob);
    return logprobs;
  }
};

bool begins_with(const std::vector<int32_t>& whole, const std::vector<int32_t>& part) {
  return part.size() <= whole.size() && std::equal(part.begin(), part.end(), whole.begin());
}

// One thing that a caller may do, and whether its outcome was right.
bool act(LocalEngine& engine, const Alone& alone, unsigned action, int i, uint64_t somebody) {
  const std::vector<int32_t>& completion = alone.completions[static_cast<size_t>(i)];
  switch (action) {
    case 0: {
      const auto answer = engine.complete(question(i), sampling_of(i), {});
      // Another thread may have cancelled it.
      return answer &&
             (answer->finish == FinishReason::kCancelled ? begins_with(completion, answer->tokens)
                                                         : answer->tokens == completion);
    }
    case 1: {
      int pieces = 0;
      const auto answer =
          engine.complete(question(i), sampling_of(i), [&](const Piece&) { return ++pieces < 2; });
      return answer && begins_with(completion, answer->tokens);
    }
    case 2: {
      const auto answer = engine.new_session({})->ask(question(i), sampling_of(i), {});
      return answer && begins_with(alone.chats[static_cast<size_t>(i)], answer->tokens);
    }
    case 3: {
      // Shared, because this thread may be on its way before set_value has quite returned.
      const auto promise = std::make_shared<std::promise<Result<Completion>>>();
      LoopRequest request;
      request.prompt = engine.text_prompt(question(i), false);
      request.sampling = sampling_of(i);
      request.on_done = [promise](Result<Completion> result) {
        promise->set_value(std::move(result));
      };
      engine.cancel(engine.submit(std::move(request)));
      const Result<Completion> done = promise->get_future().get();
      return done && begins_with(completion, done->tokens);
    }
    case 4:
      engine.cancel(somebody);
      return !engine.complete_tokens({-1}, sampling_of(i), {});
    default: {
      const auto scores = engine.score(engine.text_prompt(question(0), false), {});
      // "closed while scoring" is what a score says that somebody cancelled.
      return !scores || scores->size() == alone.scores.size();
    }
  }
}

TEST(EngineStress, ThreadsAskCancelAndLeave) {
  const Alone alone = Alone::ask(*load(1, 64));
  std::atomic<int> wrong = 0;
  std::atomic<int> done = 0;
  // Fewer places than threads, so that some wait; the pool's own threads take part.
  std::shared_ptr<LocalEngine> engine = load(2, 4);
  std::vector<std::jthread> threads;
  for (unsigned t = 0; t < 8; ++t) {
    // Whichever thread is last destroys the engine.
    threads.emplace_back([&alone, &wrong, &done, t, engine] {
      std::mt19937 random(t);
      for (int round = 0; round < 15; ++round) {
        const auto action = static_cast<unsigned>(random() % 6);
        const int i = static_cast<int>(random() % kQuestions);
        if (!act(*engine, alone, action, i, 1 + random() % 100)) ++wrong;
        const LoopStats stats = engine->stats();
        if (stats.requests_running > 4 || stats.requests_waiting < 0) ++wrong;
        ++done;
      }
    });
  }
  engine.reset();
  threads.clear();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(done, 8 * 15);
}

TEST(EngineStress, WithNobodyCancellingAllAnswersAreThoseGivenAlone) {
  const std::shared_ptr<LocalEngine> engine = load(2, 4);
  const Alone alone = Alone::ask(*load(1, 64));
  std::atomic<int> wrong = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      const int i = t % kQuestions;
      const auto place = static_cast<size_t>(i);
      const auto session = engine->new_session({});
      for (int round = 0; round < 3; ++round) {
        const auto completion = engine->complete(question(i), sampling_of(i), {});
        const auto chat = session->ask(question(i), sampling_of(i), {});
        session->forget();
        wrong += !completion || completion->tokens != alone.completions[place];
        wrong += !chat || chat->tokens != alone.chats[place];
        wrong += Alone::scores_of(*engine) != alone.scores;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(engine->stats().requests_running, 0);
  EXPECT_EQ(engine->stats().requests_waiting, 0);
}

// The engine goes while its requests wait, read their prompt or are in the middle of an answer, and
// while threads still submit to it until the moment before.
TEST(EngineStress, DestroyedWhileRequestsRunItAnswersEachOnce) {
  const Alone alone = Alone::ask(*load(1, 64));
  for (int round = 0; round < 8; ++round) {
    std::shared_ptr<LocalEngine> engine = load(2, 3);
    std::vector<std::atomic<int>> answered(12);
    std::atomic<int> wrong = 0;
    std::atomic<int> tokens = 0;
    {
      std::vector<std::jthread> threads;
      for (size_t t = 0; t < 3; ++t) {
        threads.emplace_back([&, t, engine] {
          for (size_t n = t; n < answered.size(); n += 3) {
            const int i = static_cast<int>(n) % kQuestions;
            LoopRequest request;
            request.prompt = engine->text_prompt(question(i), false);
            request.sampling = sampling_of(i);
            request.on_token = [&](const TokenEvent&) {
              ++tokens;
              return TokenVerdict::kContinue;
            };
            request.on_done = [&, n, i](const Result<Completion>& done) {
              ++answered[n];
              const std::vector<int32_t>& whole = alone.completions[static_cast<size_t>(i)];
              if (!done || !begins_with(whole, done->tokens)) ++wrong;
              if (done && done->finish != FinishReason::kCancelled && done->tokens != whole) {
                ++wrong;
              }
            };
            const uint64_t id = engine->submit(std::move(request));
            if (n % 4 == 3) engine->cancel(id);
          }
        });
      }
    }
    const auto all_answered = [&] {
      return std::ranges::none_of(answered, [](const auto& count) { return count == 0; });
    };
    while (tokens < round * 4 && !all_answered()) std::this_thread::yield();
    engine.reset();
    for (const std::atomic<int>& count : answered) EXPECT_EQ(count, 1);
    EXPECT_EQ(wrong, 0);
  }
}

}  // namespace
}  // namespace minke
