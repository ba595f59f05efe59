// An adapter over a served model: none of its own says what the model says, a trained one says
// something else, and what another model's says is an error with names.
#include <gtest/gtest.h>

#include <filesystem>

#include "core/random.h"
#include "engine/local_engine.h"
#include "models/adapter.h"
#include "models/registry.h"
#include "models/synth.h"
#include "ops/cpu_ops.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

class AdapterEngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) / "minke-adapter-test";
    fs::create_directories(folder_);
    model_ = (folder_ / "model.gguf").string();
    ASSERT_TRUE(write_synth({.shape = "tiny-qwen2", .quant = "Q4_K_M"}, model_).has_value());
  }
  void TearDown() override { fs::remove_all(folder_); }

  // An adapter for the model, whose second halves are `scale` times noise.
  std::string make_adapter(float scale) {
    auto ops = *CpuOps::create(1);
    const auto file = GgufFile::open(model_);
    const auto model = load_model(*file, *ops, {});
    auto adapter = Adapter::create(
        **model, 4, [](const Weight& weight) { return weight.name.contains("attn_q.weight"); }, 1,
        *ops);
    EXPECT_TRUE(adapter.has_value());
    uint64_t stream = 0;
    adapter->visit([&](Weight& weight) {
      if (!weight.name.ends_with(".lora_b")) return;
      for (int64_t i = 0; i < weight.shape.count(); ++i) {
        const double noise = normal_pair(7, stream, static_cast<uint64_t>(i))[0];
        weight.mutable_f32()[i] = scale * static_cast<float>(noise);
      }
      ++stream;
    });
    const std::string path = (folder_ / ("adapter-" + std::to_string(scale) + ".gguf")).string();
    EXPECT_TRUE(adapter->write(path, "tiny").has_value());
    return path;
  }

  Result<std::vector<double>> scores(const std::string& adapter) {
    EngineOptions options;
    options.model = model_;
    options.adapter = adapter;
    options.threads = 2;
    options.context_tokens = 64;
    options.device = Device::kCpu;
    MINKE_ASSIGN(const std::shared_ptr<LocalEngine> engine, LocalEngine::load(options));
    MINKE_ASSIGN(const std::vector<TokenScore> scored,
                 engine->score({1, 50, 60, 70, 80, 90}, {.first = 1, .name = "a text"}));
    std::vector<double> logprobs;
    for (const TokenScore& score : scored) logprobs.push_back(score.logprob);
    return logprobs;
  }

  fs::path folder_;
  std::string model_;
};

TEST_F(AdapterEngineTest, AnAdapterOfZerosChangesNothingAndAnotherDoes) {
  const auto plain = scores("");
  ASSERT_TRUE(plain.has_value()) << plain.error().message;
  const auto zeros = scores(make_adapter(0.0F));
  ASSERT_TRUE(zeros.has_value()) << zeros.error().message;
  EXPECT_EQ(*zeros, *plain);
  const auto moved = scores(make_adapter(0.5F));
  ASSERT_TRUE(moved.has_value()) << moved.error().message;
  EXPECT_NE(*moved, *plain);
}

TEST_F(AdapterEngineTest, WhatIsNoAdapterOfThisModelIsNamed) {
  const auto model = scores(model_);
  ASSERT_FALSE(model.has_value());
  EXPECT_TRUE(model.error().message.contains("this is no LoRA adapter")) << model.error().message;
  const std::string adapter = make_adapter(0.5F);
  ASSERT_TRUE(write_synth({.shape = "tiny-llama", .quant = "Q8_0"}, model_).has_value());
  const auto other = scores(adapter);
  ASSERT_FALSE(other.has_value());
  EXPECT_TRUE(other.error().message.contains("architecture 'qwen2', and this one is 'llama'"))
      << other.error().message;
}

}  // namespace
}  // namespace minke
