// For tests of the loop over real models: a loop on a tiny one, with everything it stands on, and
// what a request gets of it. Not part of the library.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <future>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/loop.h"
#include "engine/model_drafter.h"
#include "engine/model_runner.h"
#include "io/gguf.h"
#include "models/registry.h"
#include "ops/cpu_ops.h"

namespace minke {

struct RigSetup {
  int64_t prefill_chunk = 512;
  int threads = 1;
  int32_t pages = 64;
  bool mtp = false;         // with the layer that guesses
  std::string draft_model;  // what guesses, a name as the model's; empty: nothing
  int64_t draft_tokens = -1;
};

// A loop on a tiny model, with everything it stands on.
class Rig {
 public:
  explicit Rig(const std::string& name, RigSetup setup) {
    ops_ = CpuOps::create(setup.threads).value();
    file_ = open(name);
    model_ = load_model(*file_, *ops_, {}, {.mtp = setup.mtp}).value();
    std::unique_ptr<DraftModel> drafter;
    if (!setup.draft_model.empty()) {
      draft_file_ = open(setup.draft_model);
      draft_ = load_model(*draft_file_, *ops_, {}).value();
      KvStore kv = KvStore::create(draft_->kv_spec(KvDtype::kBF16), setup.pages).value();
      drafter = std::make_unique<ModelDrafter>(
          *ops_, *draft_, std::move(kv),
          ModelDrafter::Guessed{.vocab_size = model_->config().vocab_size, .cost = 0.1});
    }
    KvStore kv = KvStore::create(model_->kv_spec(KvDtype::kBF16), setup.pages).value();
    LoopOptions options;
    options.scheduler.prefill_chunk = setup.prefill_chunk;
    options.scheduler.prefill_chunk_shared = setup.prefill_chunk;
    options.scheduler.draft_tokens = setup.draft_tokens;
    options.context_tokens = model_->config().context_max;
    options.vocab_size = model_->config().vocab_size;
    loop_ = std::make_unique<Loop>(
        options, setup.pages,
        std::make_unique<ModelRunner>(*ops_, *model_, std::move(kv), nullptr, std::move(drafter)));
  }

  Loop& loop() { return *loop_; }
  int64_t vocab() const { return model_->config().vocab_size; }

 private:
  // A name of tests/golden/tiny, or a path.
  static std::unique_ptr<GgufFile> open(const std::string& name) {
    auto file = GgufFile::open(name.starts_with('/')
                                   ? name
                                   : std::string(MINKE_SOURCE_DIR) + "/tests/golden/tiny/" + name);
    if (!file) ADD_FAILURE() << file.error().message;
    return std::make_unique<GgufFile>(*std::move(file));
  }

  std::unique_ptr<GgufFile> file_, draft_file_;
  std::unique_ptr<CpuOps> ops_;
  std::unique_ptr<Model> model_, draft_;
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
  SpeculateWith speculate_with = SpeculateWith::kAny;
  int64_t logits_from = -1;
  int64_t tokens_max = 40;
};

inline std::future<Outcome> submit(Rig& rig, const Ask& ask) {
  LoopRequest request;
  request.prompt = ask.prompt;
  request.sampling.temperature = ask.temperature;
  request.sampling.seed = 11;
  request.sampling.tokens_max = ask.tokens_max;
  request.sampling.speculate = ask.speculate;
  request.sampling.speculate_with = ask.speculate_with;
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

inline Outcome run(Rig& rig, const Ask& ask) { return submit(rig, ask).get(); }

inline void expect_same(const Outcome& got, const Outcome& want, const std::string& what) {
  EXPECT_EQ(got.tokens, want.tokens) << what;
  ASSERT_EQ(got.logits.size(), want.logits.size()) << what;
  for (const auto& [position, logits] : want.logits) {
    const auto found = got.logits.find(position);
    ASSERT_TRUE(found != got.logits.end()) << what << ": no logits for position " << position;
    EXPECT_EQ(std::memcmp(found->second.data(), logits.data(), logits.size() * sizeof(float)), 0)
        << what << ": logits for position " << position << " differ";
  }
}

inline std::vector<int32_t> prompt_of(Rig& rig, size_t length, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> prompt(length);
  for (int32_t& token : prompt) {
    token = static_cast<int32_t>(random() % static_cast<uint32_t>(rig.vocab()));
  }
  return prompt;
}

// What the sixth of ten requests gets, of which every other one is guessed ahead for.
inline Outcome run_among_nine_others(Rig& rig, const Ask& ask) {
  std::vector<std::future<Outcome>> all;
  for (unsigned i = 0; i < 9; ++i) {
    if (i == 5) all.push_back(submit(rig, ask));
    all.push_back(submit(rig, {.prompt = prompt_of(rig, 30 + 17 * i, 50 + i),
                               .temperature = 1.0,
                               .speculate = i % 2 == 0}));
  }
  Outcome ours = all[5].get();
  for (auto& one : all) {
    if (one.valid()) one.wait();
  }
  return ours;
}

}  // namespace minke
