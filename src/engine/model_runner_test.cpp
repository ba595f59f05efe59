// The loop over real models: tiny random ones of each family. Whatever the schedule, the logits are
// the same bits.
#include "engine/model_runner.h"

#include <gtest/gtest.h>

#include <cstring>
#include <future>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/loop.h"
#include "io/gguf.h"
#include "models/registry.h"
#include "ops/cpu_ops.h"

namespace minke {
namespace {

struct Setup {
  int64_t prefill_chunk = 512;
  int threads = 1;
  int32_t pages = 64;
};

// A loop on a tiny model, with everything it stands on.
class Rig {
 public:
  explicit Rig(const std::string& name, Setup setup) {
    auto file = GgufFile::open(std::string(MINKE_SOURCE_DIR) + "/tests/golden/tiny/" + name);
    if (!file) ADD_FAILURE() << file.error().message;
    file_ = std::make_unique<GgufFile>(*std::move(file));
    ops_ = CpuOps::create(setup.threads).value();
    model_ = load_model(*file_, *ops_, {}).value();
    KvStore kv = KvStore::create(model_->kv_spec(KvDtype::kBF16), setup.pages).value();
    LoopOptions options;
    options.scheduler.prefill_chunk = setup.prefill_chunk;
    options.scheduler.prefill_chunk_shared = setup.prefill_chunk;
    options.context_tokens = model_->config().context_max;
    options.vocab_size = model_->config().vocab_size;
    loop_ = std::make_unique<Loop>(
        options, setup.pages,
        std::make_unique<ModelRunner>(*ops_, *model_, std::move(kv), nullptr));
  }

  Loop& loop() { return *loop_; }
  int64_t vocab() const { return model_->config().vocab_size; }

 private:
  std::unique_ptr<GgufFile> file_;
  std::unique_ptr<CpuOps> ops_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Loop> loop_;
};

struct Outcome {
  std::vector<int32_t> tokens;
  std::map<int64_t, std::vector<float>> logits;  // by position predicted
  Usage usage;
};

struct Ask {
  std::vector<int32_t> prompt;
  double temperature = 0;
  bool speculate = false;
  int64_t logits_from = -1;
  int64_t tokens_max = 40;
};

std::future<Outcome> submit(Rig& rig, const Ask& ask) {
  LoopRequest request;
  request.prompt = ask.prompt;
  request.sampling.temperature = ask.temperature;
  request.sampling.seed = 11;
  request.sampling.tokens_max = ask.tokens_max;
  request.sampling.speculate = ask.speculate;
  request.logits_from = ask.logits_from;
  const auto run = std::make_shared<Outcome>();
  const auto promise = std::make_shared<std::promise<Outcome>>();
  request.on_logits = [run](int64_t position, std::span<const float> logits) {
    run->logits[position].assign(logits.begin(), logits.end());
  };
  request.on_done = [run, promise](Result<Completion> result) {
    if (!result) ADD_FAILURE() << result.error().message;
    if (result) run->tokens = result->tokens;
    if (result) run->usage = result->usage;
    promise->set_value(std::move(*run));
  };
  rig.loop().submit(std::move(request));
  return promise->get_future();
}

Outcome run(Rig& rig, const Ask& ask) { return submit(rig, ask).get(); }

void expect_same(const Outcome& got, const Outcome& want, const std::string& what) {
  EXPECT_EQ(got.tokens, want.tokens) << what;
  ASSERT_EQ(got.logits.size(), want.logits.size()) << what;
  for (const auto& [position, logits] : want.logits) {
    const auto found = got.logits.find(position);
    ASSERT_TRUE(found != got.logits.end()) << what << ": no logits for position " << position;
    EXPECT_EQ(std::memcmp(found->second.data(), logits.data(), logits.size() * sizeof(float)), 0)
        << what << ": logits for position " << position << " differ";
  }
}

std::vector<int32_t> prompt_of(Rig& rig, size_t length, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> prompt(length);
  for (int32_t& token : prompt) {
    token = static_cast<int32_t>(random() % static_cast<uint32_t>(rig.vocab()));
  }
  return prompt;
}

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
    std::vector<std::future<Outcome>> others;
    for (unsigned i = 0; i < 9; ++i) {
      if (i == 5) others.push_back(submit(crowded, ask));
      others.push_back(submit(crowded, {.prompt = prompt_of(crowded, 30 + 17 * i, 50 + i),
                                        .temperature = 1.0,
                                        .speculate = i % 2 == 0}));
    }
    expect_same(others[5].get(), want, "among nine others");
    for (auto& other : others) {
      if (other.valid()) other.wait();
    }

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
