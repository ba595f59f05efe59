// The loop over real models: tiny random ones of each family. Whatever the schedule, the logits are
// the same bits.
#include "engine/model_runner.h"

#include <gtest/gtest.h>

#include <cstring>
#include <future>
#include <string>
#include <vector>

#include "engine/runner_testing.h"

namespace minke {
namespace {

class TinyModel : public ::testing::TestWithParam<const char*> {};

TEST_P(TinyModel, EveryScheduleGivesTheSameBits) {
  Rig plain(GetParam(), {});
  for (const double temperature : {0.0, 0.6}) {
    const Ask ask = {.prompt = prompt_of(plain, 100, 1), .temperature = temperature};
    const Outcome want = run(plain, ask);
    ASSERT_EQ(want.tokens.size(), 40u);

    const Outcome hit = run(plain, ask);
    EXPECT_EQ(hit.usage.cached_tokens, 99);
    expect_same(hit, want, "after a prefix hit");

    Rig chunked(GetParam(), {.prefill_chunk = 7});
    expect_same(run(chunked, ask), want, "in chunks of 7");

    Rig threads(GetParam(), {.threads = 3});
    expect_same(run(threads, ask), want, "with 3 threads");

    Ask guessing = ask;
    guessing.speculate = true;
    Rig speculating(GetParam(), {});
    expect_same(run(speculating, guessing), want, "with speculation");

    Rig crowded(GetParam(), {.prefill_chunk = 64});
    expect_same(run_among_nine_others(crowded, ask), want, "among nine others");

    // 140 tokens each of six sequences in five pages: they are put back and read again.
    Rig starved(GetParam(), {.pages = 5});
    std::vector<std::future<Outcome>> rivals;
    for (unsigned i = 0; i < 5; ++i) {
      rivals.push_back(submit(starved, {.prompt = prompt_of(starved, 60, 70 + i)}));
    }
    rivals.push_back(submit(starved, ask));
    expect_same(rivals.back().get(), want, "with hardly any pages");
  }
}

TEST_P(TinyModel, ScoringAgreesWithGenerating) {
  Rig rig(GetParam(), {});
  const Ask ask = {.prompt = prompt_of(rig, 80, 2), .temperature = 0.9};
  const Outcome generated = run(rig, ask);
  Ask score = {.prompt = ask.prompt, .logits_from = 1, .tokens_max = 0};
  score.prompt.insert(score.prompt.end(), generated.tokens.begin(), generated.tokens.end() - 1);
  const Outcome scored = run(rig, score);
  EXPECT_EQ(scored.logits.size(), score.prompt.size());
  for (const auto& [position, logits] : generated.logits) {
    const auto& other = scored.logits.at(position);
    EXPECT_EQ(std::memcmp(other.data(), logits.data(), logits.size() * sizeof(float)), 0)
        << "position " << position;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, TinyModel,
                         ::testing::Values("llama.gguf", "llama-untied-bias.gguf", "qwen2.gguf",
                                           "qwen2-yarn.gguf"),
                         [](const auto& family) {
                           std::string name = family.param;
                           name.resize(name.size() - 5);
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace minke
