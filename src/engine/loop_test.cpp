#include "engine/loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "engine/fake_runner.h"

namespace minke {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kContext = 640;

LoopOptions options() {
  LoopOptions result;
  result.scheduler = {
      .prefill_chunk = 96, .prefill_chunk_shared = 32, .sequences_max = 8, .logit_rows_max = 24};
  result.context_tokens = kContext;
  result.context_max = 2 * kContext;
  result.vocab_size = FakeModel::kVocab;
  result.end_tokens = {FakeModel::kEnd};
  return result;
}

std::vector<int32_t> random_prompt(std::mt19937& random, size_t length, uint32_t alphabet = 60) {
  std::vector<int32_t> prompt(length);
  for (int32_t& token : prompt) token = 1 + static_cast<int32_t>(random() % alphabet);
  return prompt;
}

LoopRequest request_of(std::vector<int32_t> prompt, double temperature, uint64_t seed,
                       int64_t tokens_max) {
  LoopRequest request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = temperature;
  request.sampling.seed = seed;
  request.sampling.tokens_max = tokens_max;
  return request;
}

TEST(Loop, AnswersAsThePlainLoopDoes) {
  std::mt19937 random(1);
  Loop loop(options(), 20, std::make_unique<FakeRunner>(20));
  for (const double temperature : {0.0, 0.6, 1.5}) {
    LoopRequest request = request_of(random_prompt(random, 150), temperature, 9, 100);
    const std::vector<int32_t> expected = plain_answer(request.prompt, request.sampling, kContext);
    const Result<Completion> got = loop.run(std::move(request));
    ASSERT_TRUE(got);
    EXPECT_EQ(got->tokens, expected);
    EXPECT_EQ(got->usage.prompt_tokens, 150);
  }
}

// Tokens that are forced where the answer has had some: the same whatever else runs, with guesses
// or without, read anew or found in the cache.
TEST(Loop, ForcedTokensDependOnTheAnswerAlone) {
  std::mt19937 random(12);
  const std::vector<int32_t> prompt = random_prompt(random, 70, 3);
  const std::vector<int32_t> closing = {7, 8, 7};
  const auto forcing = [&](bool speculate) {
    LoopRequest request = request_of(prompt, 0.6, 3, 80);
    request.sampling.speculate = speculate;
    request.sampling.logprobs_top = 2;
    const auto count = std::make_shared<size_t>(0);
    request.on_token = [count](const TokenEvent&) {
      ++*count;
      return TokenVerdict::kContinue;
    };
    request.forced_token = [count, &closing]() -> std::optional<int32_t> {
      if (*count < 20 || *count >= 20 + closing.size()) return std::nullopt;
      return closing[*count - 20];
    };
    request.ignore_end = true;
    return request;
  };
  // The plain way: one token after the other.
  std::vector<int32_t> expected;
  {
    std::vector<int32_t> history = prompt;
    Sampler sampler;
    std::vector<float> logits(FakeModel::kVocab);
    const LoopRequest request = forcing(false);
    while (expected.size() < 80) {
      FakeModel::logits(history, logits);
      const size_t at = expected.size();
      const bool forced = at >= 20 && at < 20 + closing.size();
      expected.push_back(
          forced
              ? closing[at - 20]
              : sampler.sample(logits, history, SamplerOptions::from(request.sampling, 3)).value());
      history.push_back(expected.back());
    }
  }
  Loop loop(options(), 12, std::make_unique<FakeRunner>(12));
  std::vector<std::future<Result<Completion>>> others;
  for (const bool speculate : {false, true, true}) {
    const Completion got = loop.run(forcing(speculate)).value();
    EXPECT_EQ(got.tokens, expected);
    EXPECT_EQ(got.logprobs.size(), 80u);
    EXPECT_EQ(got.logprobs[20].token, closing[0]);
  }
  // In company, on pages so few that sequences are put back.
  for (int i = 0; i < 6; ++i) {
    others.push_back(std::async(std::launch::async, [&] { return loop.run(forcing(true)); }));
  }
  for (auto& other : others) EXPECT_EQ(other.get().value().tokens, expected);
}

// Only tokens of the parity of the answer's length so far, and the end only behind twelve: the same
// as the plain loop over masked logits gives, with guesses or without, alone or in company.
TEST(Loop, TokensThatAreNotAllowedNeverCome) {
  std::mt19937 random(13);
  const std::vector<int32_t> prompt = random_prompt(random, 70, 4);
  struct Parity {
    std::vector<int32_t> tokens;
    TokenSet set(size_t size) {
      tokens.clear();
      for (int32_t token = 1; token < FakeModel::kVocab; ++token) {
        if (token % 2 == static_cast<int32_t>(size % 2)) tokens.push_back(token);
      }
      return {.tokens = tokens, .may_end = size >= 12};
    }
  };
  const auto formed = [&](double temperature, bool speculate) {
    LoopRequest request = request_of(prompt, temperature, 3, 60);
    request.sampling.speculate = speculate;
    request.sampling.top_k = 7;
    request.sampling.repeat_penalty = 1.1;
    request.sampling.logprobs_top = 1;
    const auto size = std::make_shared<size_t>(0);
    const auto parity = std::make_shared<Parity>();
    request.on_token = [size](const TokenEvent&) {
      ++*size;
      return TokenVerdict::kContinue;
    };
    request.allowed_tokens = [size, parity]() -> Result<TokenSet> { return parity->set(*size); };
    return request;
  };
  for (const double temperature : {0.0, 1.0}) {
    std::vector<int32_t> expected;
    std::vector<int32_t> history = prompt;
    Sampler sampler;
    Parity parity;
    std::vector<float> logits(FakeModel::kVocab);
    const LoopRequest plain = formed(temperature, false);
    while (expected.size() < 60) {
      FakeModel::logits(history, logits);
      const TokenSet set = parity.set(expected.size());
      for (int32_t token = 0; token < FakeModel::kVocab; ++token) {
        const bool is_in = token == FakeModel::kEnd
                               ? set.may_end
                               : std::ranges::find(set.tokens, token) != set.tokens.end();
        if (!is_in) {
          logits[static_cast<size_t>(token)] = -std::numeric_limits<float>::infinity();
        }
      }
      expected.push_back(
          sampler.sample(logits, history, SamplerOptions::from(plain.sampling, 3)).value());
      history.push_back(expected.back());
      if (expected.back() == FakeModel::kEnd) break;
    }
    Loop loop(options(), 12, std::make_unique<FakeRunner>(12));
    for (const bool speculate : {false, true, true}) {
      EXPECT_EQ(loop.run(formed(temperature, speculate)).value().tokens, expected);
    }
    std::vector<std::future<Result<Completion>>> others;
    for (int i = 0; i < 6; ++i) {
      others.push_back(
          std::async(std::launch::async, [&] { return loop.run(formed(temperature, true)); }));
    }
    for (auto& other : others) {
      const Completion got = other.get().value();
      EXPECT_EQ(got.tokens, expected);
      // The log-probabilities are the model's own: not those among the tokens that were allowed.
      std::vector<float> first(FakeModel::kVocab);
      FakeModel::logits(prompt, first);
      const double sum = sampler.log_sum_exp(first).value();
      EXPECT_EQ(got.logprobs[0].logprob, Sampler::logprob(first, sum, expected[0]));
    }
  }
}

TEST(Loop, WhereNoTokenIsAllowedTheRequestFails) {
  Loop loop(options(), 12, std::make_unique<FakeRunner>(12));
  LoopRequest request = request_of({1, 2, 3}, 0.6, 1, 20);
  request.allowed_tokens = []() -> Result<TokenSet> { return TokenSet(); };
  const Result<Completion> none = loop.run(std::move(request));
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("no token of the model's vocabulary can go on"));
  request = request_of({1, 2, 3}, 0.6, 1, 20);
  request.allowed_tokens = []() -> Result<TokenSet> { return misuse("too hard"); };
  EXPECT_EQ(loop.run(std::move(request)).error().message, "too hard");
  EXPECT_TRUE(loop.run(request_of({1, 2, 3}, 0.6, 1, 20)));
}

TEST(Loop, SecondTurnReadsOnlyWhatIsNew) {
  std::mt19937 random(2);
  Loop loop(options(), 20, std::make_unique<FakeRunner>(20));
  std::vector<int32_t> prompt = random_prompt(random, 100);
  const Completion first = loop.run(request_of(prompt, 0.6, 1, 50)).value();
  EXPECT_EQ(first.usage.cached_tokens, 0);
  prompt.insert(prompt.end(), first.tokens.begin(), first.tokens.end());
  const auto known = static_cast<int64_t>(prompt.size());
  prompt.push_back(5);
  prompt.push_back(6);
  const Completion second = loop.run(request_of(prompt, 0.6, 1, 50)).value();
  // All but the last token of the answer, which was sampled and never read.
  EXPECT_EQ(second.usage.cached_tokens, known - 1);
  SamplingOptions sampling;
  sampling.seed = 1;
  sampling.tokens_max = 50;
  EXPECT_EQ(second.tokens, plain_answer(prompt, sampling, kContext));
}

TEST(Loop, KeepsBothBranchesOfAStrippedHistory) {
  std::mt19937 random(3);
  Loop loop(options(), 40, std::make_unique<FakeRunner>(40));
  const std::vector<int32_t> head = random_prompt(random, 130);
  std::vector<int32_t> thinking = head;
  std::vector<int32_t> stripped = head;
  const std::vector<int32_t> thoughts = random_prompt(random, 90);
  const std::vector<int32_t> words = random_prompt(random, 40);
  thinking.insert(thinking.end(), thoughts.begin(), thoughts.end());
  thinking.insert(thinking.end(), words.begin(), words.end());
  stripped.insert(stripped.end(), words.begin(), words.end());
  const auto cached = [&](const std::vector<int32_t>& prompt) {
    return loop.run(request_of(prompt, 0, 0, 1)).value().usage.cached_tokens;
  };
  EXPECT_EQ(cached(thinking), 0);
  EXPECT_GE(cached(stripped), 130);
  EXPECT_EQ(cached(stripped), std::ssize(stripped) - 1);
  EXPECT_EQ(cached(thinking), std::ssize(thinking) - 1);
}

TEST(Loop, FinishReasons) {
  std::mt19937 random(4);
  Loop loop(options(), 20, std::make_unique<FakeRunner>(20));
  const std::vector<int32_t> prompt = random_prompt(random, 600);
  LoopRequest request = request_of(prompt, 0, 0, -1);
  request.ignore_end = true;
  const Completion full = loop.run(std::move(request)).value();
  EXPECT_EQ(full.finish, FinishReason::kContextFull);
  EXPECT_EQ(full.tokens.size(), 40u);
  EXPECT_EQ(loop.run(request_of(prompt, 0, 0, 3)).value().finish, FinishReason::kTokensMax);
  const Completion read = loop.run(request_of(prompt, 0, 0, 0)).value();
  EXPECT_EQ(read.finish, FinishReason::kTokensMax);
  EXPECT_TRUE(read.tokens.empty());

  request = request_of(prompt, 0, 0, 20);
  request.on_token = [](const TokenEvent& event) {
    return event.position == 604 ? TokenVerdict::kStopString : TokenVerdict::kContinue;
  };
  const Completion stopped = loop.run(std::move(request)).value();
  EXPECT_EQ(stopped.finish, FinishReason::kStopString);
  EXPECT_EQ(stopped.tokens.size(), 5u);

  // Some seed ends the turn soon.
  for (uint64_t seed = 0;; ++seed) {
    ASSERT_LT(seed, 50u);
    const Completion ended = loop.run(request_of({7, 8, 9}, 3.0, seed, 300)).value();
    if (ended.finish != FinishReason::kEndOfTurn) continue;
    EXPECT_EQ(ended.tokens.back(), FakeModel::kEnd);
    break;
  }
}

TEST(Loop, RefusesBadRequestsWithASentence) {
  Loop loop(options(), 10, std::make_unique<FakeRunner>(10));
  const auto message = [&](LoopRequest request) {
    const Result<Completion> result = loop.run(std::move(request));
    return result ? std::string("no error") : result.error().message;
  };
  EXPECT_THAT(message(request_of({}, 0, 0, 5)), HasSubstr("empty"));
  EXPECT_THAT(message(request_of(std::vector<int32_t>(640, 1), 0, 0, 5)),
              HasSubstr("the prompt has 640 tokens, and a context of 640 tokens has no room"));
  EXPECT_THAT(
      message(request_of(std::vector<int32_t>(5000, 1), 0, 0, 0)),
      HasSubstr("shorten it, or load the model with a larger context (--ctx, at most 1280)"));
  EXPECT_THAT(message(request_of({1, 99}, 0, 0, 5)), HasSubstr("token 99 at position 1"));
  EXPECT_THAT(message(request_of({1, -1}, 0, 0, 5)), HasSubstr("token -1"));
  EXPECT_THAT(message(request_of({1}, -2, 0, 5)), HasSubstr("temperature"));
  EXPECT_EQ(message(request_of({1}, 0, 0, 5)), "no error");
  EXPECT_EQ(message(request_of(std::vector<int32_t>(640, 1), 0, 0, 0)), "no error");
}

// A larger context would be refused.
TEST(Loop, OffersNoLargerContextThanTheModelHas) {
  LoopOptions all_of_it = options();
  all_of_it.context_max = kContext;
  Loop loop(all_of_it, 10, std::make_unique<FakeRunner>(10));
  const Result<Completion> result = loop.run(request_of(std::vector<int32_t>(5000, 1), 0, 0, 0));
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("shorten it; the model has no longer context"));
}

TEST(Loop, WhoIsToldTheEndSeesCountsWithoutTheRequest) {
  Loop loop(options(), 20, std::make_unique<FakeRunner>(20));
  for (const size_t prompt_size : {size_t{0}, size_t{5}}) {
    LoopRequest request = request_of(std::vector<int32_t>(prompt_size, 1), 0, 1, 3);
    LoopStats seen;
    request.on_done = [&](const Result<Completion>&) { seen = loop.stats(); };
    EXPECT_EQ(loop.run(std::move(request)).has_value(), prompt_size > 0);
    EXPECT_EQ(seen.requests_waiting, 0);
    EXPECT_EQ(seen.requests_running, 0);
  }
}

TEST(Loop, AskingFromACallbackIsAnErrorAndNotADeadlock) {
  Loop loop(options(), 10, std::make_unique<FakeRunner>(10));
  std::string message;
  LoopRequest request = request_of({1, 2}, 0, 0, 2);
  request.on_token = [&](const TokenEvent&) {
    message = loop.run(request_of({1}, 0, 0, 1)).error().message;
    return TokenVerdict::kContinue;
  };
  ASSERT_TRUE(loop.run(std::move(request)));
  EXPECT_THAT(message, HasSubstr("another thread"));
}

TEST(Loop, WithoutASeedTheAnswerSaysWhichWasDrawn) {
  Loop loop(options(), 10, std::make_unique<FakeRunner>(10));
  LoopRequest request = request_of({1, 2, 3}, 2.0, 0, 60);
  request.sampling.seed.reset();
  const Completion first = loop.run(request).value();
  EXPECT_NE(first.seed, loop.run(request).value().seed);
  request.sampling.seed = first.seed;
  EXPECT_EQ(loop.run(request).value().tokens, first.tokens);
}

// NaN for one request only, at one place.
class NanRunner final : public StepRunner {
 public:
  explicit NanRunner(int32_t pages) : inner_(pages) {}
  void apply(std::span<const PageAction> actions) override { inner_.apply(actions); }
  Result<std::span<float>> run(const Batch& batch) override {
    MINKE_ASSIGN(const std::span<float> logits, inner_.run(batch));
    if (batch.is_abandoned()) return logits;
    for (size_t i = 0; i < batch.logit_rows.size(); ++i) {
      const auto row = static_cast<size_t>(batch.logit_rows[i]);
      if (batch.positions[row] == 80) {
        logits[i * FakeModel::kVocab + 3] = std::numeric_limits<float>::quiet_NaN();
      }
    }
    return logits;
  }

 private:
  FakeRunner inner_;
};

TEST(Loop, LogitsThatAreNoNumbersFailTheRequestAloneAndAreNotCached) {
  Loop loop(options(), 20, std::make_unique<NanRunner>(20));
  LoopRequest request = request_of(std::vector<int32_t>(70, 4), 0.6, 1, 100);
  request.ignore_end = true;
  const Result<Completion> result = loop.run(request);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("token 3 is nan"));
  request.sampling.tokens_max = 5;
  const Result<Completion> again = loop.run(request);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->usage.cached_tokens, 0);
}

TEST(Loop, ScoresEveryPositionOfAText) {
  std::mt19937 random(5);
  Loop loop(options(), 20, std::make_unique<FakeRunner>(20));
  const std::vector<int32_t> text = random_prompt(random, 300);
  for (int round = 0; round < 2; ++round) {  // the second time with everything cached
    LoopRequest request = request_of(text, 0, 0, 0);
    request.logits_from = 1;
    std::vector<int64_t> positions;
    std::vector<float> logits(FakeModel::kVocab);
    bool equal = true;
    request.on_logits = [&](int64_t position, std::span<const float> row) {
      positions.push_back(position);
      FakeModel::logits(std::span(text).first(static_cast<size_t>(position)), logits);
      equal &= std::ranges::equal(row, logits);
    };
    ASSERT_TRUE(loop.run(std::move(request)));
    EXPECT_TRUE(equal);
    ASSERT_EQ(positions.size(), 300u);
    for (size_t i = 0; i < positions.size(); ++i) {
      ASSERT_EQ(positions[i], static_cast<int64_t>(i) + 1);
    }
  }
}

TEST(Loop, LogprobsBelongToTheChosenTokens) {
  std::mt19937 random(6);
  Loop loop(options(), 20, std::make_unique<FakeRunner>(20));
  LoopRequest request = request_of(random_prompt(random, 90), 0.8, 3, 60);
  request.sampling.logprobs_top = 4;
  const std::vector<int32_t> prompt = request.prompt;
  const Completion got = loop.run(std::move(request)).value();
  ASSERT_EQ(got.logprobs.size(), got.tokens.size());
  ASSERT_EQ(got.top.size(), got.tokens.size());
  std::vector<int32_t> history = prompt;
  std::vector<float> logits(FakeModel::kVocab);
  Sampler sampler;
  for (size_t i = 0; i < got.tokens.size(); ++i) {
    FakeModel::logits(history, logits);
    const double log_sum = sampler.log_sum_exp(logits).value();
    EXPECT_EQ(got.logprobs[i].token, got.tokens[i]);
    EXPECT_EQ(got.logprobs[i].logprob, Sampler::logprob(logits, log_sum, got.tokens[i]));
    EXPECT_EQ(got.top[i].size(), 4u);
    history.push_back(got.tokens[i]);
  }
}

TEST(Loop, SpeculationGuessesAndChangesNothing) {
  std::mt19937 random(7);
  Loop loop(options(), 40, std::make_unique<FakeRunner>(40));
  for (const double temperature : {0.0, 0.6}) {
    int64_t accepted = 0;
    for (uint64_t seed = 0; seed < 10; ++seed) {
      LoopRequest request = request_of(random_prompt(random, 80), temperature, seed, 200);
      request.ignore_end = true;
      const Completion with = loop.run(request).value();
      request.sampling.speculate = false;
      const Completion without = loop.run(request).value();
      EXPECT_EQ(with.tokens, without.tokens);
      EXPECT_EQ(without.usage.drafted_tokens, 0);
      accepted += with.usage.accepted_tokens;
    }
    // How many pay depends on how long steps take at the moment: under load, fewer.
    EXPECT_GT(accepted, 20) << temperature;
  }
}

TEST(Loop, SixteenAnswersToOnePromptReadItOnce) {
  std::mt19937 random(8);
  Loop loop(options(), 100, std::make_unique<FakeRunner>(100));
  const std::vector<int32_t> prompt = random_prompt(random, 250);
  std::vector<std::future<Completion>> answers;
  for (uint64_t stream = 0; stream < 16; ++stream) {
    auto promise = std::make_shared<std::promise<Completion>>();
    answers.push_back(promise->get_future());
    LoopRequest request = request_of(prompt, 1.0, 5, 30);
    request.stream = stream;
    request.sampling.speculate = false;
    request.on_done = [promise](Result<Completion> result) {
      promise->set_value(std::move(result).value());
    };
    loop.submit(std::move(request));
  }
  int64_t read = 0;
  for (auto& answer : answers) {
    const Usage usage = answer.get().usage;
    read += usage.prompt_tokens - usage.cached_tokens;
  }
  EXPECT_LE(read, 250 + 15);
}

// Everything at once: few pages, many requests, shared prefixes, scores, cancellations.
void random_schedule(unsigned seed, int32_t pages) {
  std::mt19937 random(seed);
  LoopOptions loop_options = options();
  loop_options.scheduler.prefill_chunk = 1 + static_cast<int64_t>(random() % 150);
  loop_options.scheduler.prefill_chunk_shared = 1 + static_cast<int64_t>(random() % 50);
  loop_options.scheduler.sequences_max = 1 + static_cast<int64_t>(random() % 12);
  auto runner = std::make_unique<FakeRunner>(pages);
  // So that some cancellations meet a step under way; seldom, since it takes seconds.
  if (seed % 12 == 4) runner->step_time = std::chrono::microseconds(300);
  Loop loop(loop_options, pages, std::move(runner));
  const std::vector<int32_t> shared = random_prompt(random, 260);
  struct Job {
    std::vector<int32_t> prompt;
    SamplingOptions sampling;
    bool cancelled = false;
    uint64_t id = 0;
    std::future<Result<Completion>> future;
  };
  std::vector<std::unique_ptr<Job>> jobs;
  for (int i = 0; i < 40; ++i) {
    auto job = std::make_unique<Job>();
    const auto promise = std::make_shared<std::promise<Result<Completion>>>();
    job->future = promise->get_future();
    job->prompt.assign(shared.begin(),
                       shared.begin() + static_cast<std::ptrdiff_t>(random() % 260));
    const std::vector<int32_t> own = random_prompt(random, 1 + random() % 120);
    job->prompt.insert(job->prompt.end(), own.begin(), own.end());
    LoopRequest request = request_of(job->prompt, random() % 2 == 0 ? 0.0 : 0.9, random() % 3,
                                     static_cast<int64_t>(random() % 150));
    request.sampling.speculate = random() % 3 != 0;
    job->sampling = request.sampling;
    Job* raw = job.get();
    request.on_done = [promise](Result<Completion> result) {
      promise->set_value(std::move(result));
    };
    if (random() % 4 == 0) {
      request.logits_from = 1 + static_cast<int64_t>(random() % job->prompt.size());
      request.on_logits = [raw, logits = std::vector<float>(FakeModel::kVocab)](
                              int64_t position, std::span<const float> row) mutable {
        if (position > std::ssize(raw->prompt)) return;
        FakeModel::logits(std::span(raw->prompt).first(static_cast<size_t>(position)), logits);
        CHECK(std::ranges::equal(row, logits));
      };
    }
    job->id = loop.submit(std::move(request));
    jobs.push_back(std::move(job));
    if (random() % 8 == 0) {
      Job& victim = *jobs[random() % jobs.size()];
      victim.cancelled = true;
      loop.cancel(victim.id);
    }
    if (random() % 5 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
  }
  for (const auto& job : jobs) {
    const Result<Completion> result = job->future.get();
    ASSERT_TRUE(result);
    std::vector<int32_t> expected = plain_answer(job->prompt, job->sampling, kContext);
    if (result->finish == FinishReason::kCancelled) {
      EXPECT_TRUE(job->cancelled);
      expected.resize(result->tokens.size());
    }
    EXPECT_EQ(result->tokens, expected);
  }
  EXPECT_EQ(loop.stats().requests_running, 0);
}

TEST(Loop, RandomSchedulesWithPagesToSpare) {
  for (unsigned seed = 0; seed < 12; ++seed) random_schedule(seed, 200);
}

TEST(Loop, RandomSchedulesWithHardlyAnyPages) {
  for (unsigned seed = 100; seed < 124; ++seed) random_schedule(seed, 10 + seed % 5);
}

TEST(Loop, PreemptionHappensAndChangesNothing) {
  std::mt19937 random(9);
  LoopOptions loop_options = options();
  Loop loop(loop_options, 11, std::make_unique<FakeRunner>(11));
  std::vector<std::pair<LoopRequest, std::future<Completion>>> answers;
  for (uint64_t i = 0; i < 6; ++i) {
    auto promise = std::make_shared<std::promise<Completion>>();
    LoopRequest request = request_of(random_prompt(random, 60), 0.7, i, 300);
    request.ignore_end = true;
    LoopRequest copy = request;
    request.on_done = [promise](Result<Completion> result) {
      promise->set_value(std::move(result).value());
    };
    answers.emplace_back(std::move(copy), promise->get_future());
    loop.submit(std::move(request));
  }
  for (auto& [request, answer] : answers) {
    const Completion got = answer.get();
    request.sampling.speculate = false;
    EXPECT_EQ(got.tokens, loop.run(request).value().tokens);
  }
  EXPECT_GT(loop.stats().preemptions, 0u);
}

TEST(Loop, CancelEndsWithinAStep) {
  // Before the loop, so that its thread has left them when they go.
  std::promise<Completion> promise;
  std::promise<void> started;
  std::atomic<int64_t> position_seen = 0;
  auto runner = std::make_unique<FakeRunner>(20);
  runner->step_time = std::chrono::microseconds(2000);
  Loop loop(options(), 20, std::move(runner));
  LoopRequest request = request_of({1, 2, 3}, 0.6, 1, 600);
  request.ignore_end = true;
  request.sampling.speculate = false;
  request.on_token = [&](const TokenEvent& event) {
    position_seen = event.position;
    if (event.position == 10) started.set_value();
    return TokenVerdict::kContinue;
  };
  request.on_done = [&](Result<Completion> result) {
    promise.set_value(std::move(result).value());
  };
  const uint64_t id = loop.submit(std::move(request));
  started.get_future().wait();
  loop.cancel(id);
  const int64_t at_cancel = position_seen;
  loop.cancel(987654);  // nobody
  const Completion completion = promise.get_future().get();
  EXPECT_EQ(completion.finish, FinishReason::kCancelled);
  EXPECT_LE(position_seen - at_cancel, 2);
}

TEST(Loop, StoppingWhileAPromptIsReadGivesTheStepUp) {
  auto runner = std::make_unique<FakeRunner>(20);
  runner->step_time = std::chrono::seconds(60);
  const FakeRunner& model = *runner;
  Loop loop(options(), 20, std::move(runner));
  std::stop_source stop;
  std::jthread other([&] {
    model.wait_for_step(1);
    stop.request_stop();
  });
  const auto begin = std::chrono::steady_clock::now();
  std::mt19937 random(3);
  const Result<Completion> got =
      loop.run(request_of(random_prompt(random, 90), 0.6, 1, 50), stop.get_token());
  ASSERT_TRUE(got);
  EXPECT_EQ(got->finish, FinishReason::kCancelled);
  EXPECT_TRUE(got->tokens.empty());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
  EXPECT_EQ(loop.stats().steps_abandoned, 1u);
  EXPECT_EQ(loop.stats().steps, 0u);
}

TEST(Loop, AStepThatOthersWaitForGoesOn) {
  auto runner = std::make_unique<FakeRunner>(20);
  runner->step_time = std::chrono::milliseconds(200);
  const FakeRunner& model = *runner;
  Loop loop(options(), 20, std::move(runner));
  std::mt19937 random(4);
  const auto submit = [&](LoopRequest request, std::promise<Completion>& done) {
    request.on_done = [&](Result<Completion> result) { done.set_value(std::move(result).value()); };
    return loop.submit(std::move(request));
  };
  const LoopRequest long_one = request_of(random_prompt(random, 60), 0.6, 1, 1);
  std::promise<Completion> first_done, short_done, long_done;
  submit(request_of({1, 2}, 0.6, 1, 1), first_done);
  model.wait_for_step(1);  // so that both of the others are in the next one
  const uint64_t id = submit(request_of(random_prompt(random, 10), 0.6, 1, 1), short_done);
  submit(long_one, long_done);
  model.wait_for_step(2);
  loop.cancel(id);
  EXPECT_EQ(long_done.get_future().get().tokens,
            plain_answer(long_one.prompt, long_one.sampling, kContext));
  short_done.get_future().wait();
  EXPECT_EQ(loop.stats().steps_abandoned, 0u);
}

TEST(Loop, AModelThatFailsEndsTheRequestsOfItsStep) {
  auto runner = std::make_unique<FakeRunner>(20);
  FakeRunner* model = runner.get();
  model->fails = true;
  Loop loop(options(), 20, std::move(runner));
  const LoopRequest request = request_of({1, 2, 3}, 0.6, 1, 30);
  const Result<Completion> failed = loop.run(request);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "the fake model fails");
  model->fails = false;
  const Result<Completion> got = loop.run(request);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->tokens, plain_answer(request.prompt, request.sampling, kContext));
}

TEST(Loop, DestructionAnswersEveryone) {
  std::atomic<int> answered = 0;
  {
    auto runner = std::make_unique<FakeRunner>(20);
    runner->step_time = std::chrono::microseconds(1000);
    Loop loop(options(), 20, std::move(runner));
    for (int i = 0; i < 30; ++i) {
      LoopRequest request = request_of({1, 2, 3, i + 1}, 0.6, 1, 600);
      request.on_done = [&](const Result<Completion>&) { ++answered; };
      loop.submit(std::move(request));
    }
  }
  EXPECT_EQ(answered, 30);
}

// The vector of a text is the same read in one step or in many, alone or while others are answered.
TEST(Loop, VectorsOfTextsDependOnTheTextAlone) {
  std::mt19937 random(21);
  const std::vector<int32_t> text = random_prompt(random, 300);
  const auto vector_of = [](Loop& loop, std::vector<int32_t> tokens) {
    std::promise<Result<std::vector<float>>> promise;
    loop.submit(EmbeddingRequest{
        .tokens = std::move(tokens),
        .on_done = [&](Result<std::vector<float>> vector) { promise.set_value(vector); }});
    return promise.get_future().get();
  };
  Loop alone(options(), 20, std::make_unique<FakeRunner>(20));
  const auto expected = vector_of(alone, text);
  ASSERT_TRUE(expected);
  EXPECT_NEAR((*expected)[0] * (*expected)[0] + (*expected)[1] * (*expected)[1], 1, 1e-5);

  Loop busy(options(), 30, std::make_unique<FakeRunner>(30));
  std::atomic<int> answered = 0;
  for (int i = 0; i < 6; ++i) {
    LoopRequest request = request_of(random_prompt(random, 100, 3), 0.6, 1, 100);
    request.ignore_end = true;
    request.on_done = [&](const Result<Completion>&) { ++answered; };
    busy.submit(std::move(request));
  }
  for (int i = 0; i < 3; ++i) EXPECT_EQ(vector_of(busy, text).value(), *expected);
  EXPECT_FALSE(vector_of(busy, {}));
  EXPECT_FALSE(vector_of(busy, {FakeModel::kVocab}));
  EXPECT_FALSE(vector_of(busy, std::vector<int32_t>(kContext + 1, 1)));
  while (answered < 6) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST(Loop, ATextThatNobodyWantsAVectorOfEndsWithinItsStep) {
  auto runner = std::make_unique<FakeRunner>(20);
  runner->step_time = std::chrono::seconds(60);
  const FakeRunner& model = *runner;
  Loop loop(options(), 20, std::move(runner));
  std::promise<Result<std::vector<float>>> done;
  const uint64_t id = loop.submit(EmbeddingRequest{
      .tokens = {1, 2, 3},
      .on_done = [&](Result<std::vector<float>> vector) { done.set_value(std::move(vector)); }});
  model.wait_for_step(1);
  const auto begin = std::chrono::steady_clock::now();
  loop.cancel(id);
  EXPECT_FALSE(done.get_future().get());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
}

TEST(Loop, LogitBiasMovesTheChoiceAndNothingElse) {
  std::mt19937 random(22);
  Loop loop(options(), 20, std::make_unique<FakeRunner>(20));
  LoopRequest request = request_of(random_prompt(random, 50), 0, 1, 10);
  request.sampling.logprobs_top = 0;
  const auto plain = loop.run(request);
  ASSERT_TRUE(plain);
  request.sampling.logit_bias = {{7, 100}, {8, -100}};
  const auto biased = loop.run(request);
  ASSERT_TRUE(biased);
  EXPECT_EQ(biased->tokens, std::vector<int32_t>(10, 7));
  request.sampling.logit_bias = {{plain->tokens[0], -100}};
  const auto barred = loop.run(request);
  ASSERT_TRUE(barred);
  EXPECT_NE(barred->tokens[0], plain->tokens[0]);
  request.sampling.logit_bias = {};
  EXPECT_EQ(loop.run(request)->tokens, plain->tokens) << "the scores were put back";
  request.sampling.logit_bias = {{FakeModel::kVocab, 1}};
  EXPECT_FALSE(loop.run(request));
}

TEST(Loop, ManyThreadsAtOnce) {
  Loop loop(options(), 60, std::make_unique<FakeRunner>(60));
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 random(t);
        for (int i = 0; i < 12; ++i) {
          LoopRequest request = request_of(random_prompt(random, 1 + random() % 100, 4),
                                           random() % 2 == 0 ? 0.0 : 0.8, random(), 40);
          const std::vector<int32_t> expected =
              plain_answer(request.prompt, request.sampling, kContext);
          const Result<Completion> got = loop.run(std::move(request));
          if (!got || got->tokens != expected) ++wrong;
          (void)loop.stats();
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace minke
