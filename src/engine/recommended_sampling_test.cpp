#include "engine/recommended_sampling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "engine/sampler.h"
#include "io/gguf_writer.h"

namespace minke {
namespace {

using ::testing::HasSubstr;

// What is recommended for a file with this metadata.
RecommendedSampling sampling_for(const std::function<void(GgufWriter&)>& describe) {
  const std::string path =
      ::testing::TempDir() + "minke-recommended-" + std::to_string(getpid()) + ".gguf";
  auto writer = GgufWriter::create(path).value();
  describe(writer);
  EXPECT_TRUE(writer.begin_data());
  EXPECT_TRUE(writer.finish());
  const auto file = GgufFile::open(path);
  EXPECT_TRUE(file) << file.error().message;
  const auto sampling = recommended_sampling(*file);
  EXPECT_TRUE(sampling) << sampling.error().message;
  EXPECT_TRUE(check_sampling(sampling->options));
  return *sampling;
}

TEST(RecommendedSampling, KnowsTheFamilies) {
  const struct {
    const char* name;
    const char* architecture;
    const char* pre;
    double temperature;
    int64_t top_k;
    double top_p;
    const char* source;
  } cases[] = {
      {"DeepSeek R1 Distill Llama 8B", "llama", "llama-bpe", 0.6, 0, 0.95, "DeepSeek"},
      {"A copy", "qwen2", "deepseek-r1-qwen", 0.6, 0, 0.95, "DeepSeek"},
      {"Qwen2.5 Coder 1.5B Instruct", "qwen2", "qwen2", 0.7, 20, 0.8, "Qwen"},
      {"Qwen3 8B", "qwen3", "qwen2", 0.6, 20, 0.95, "Qwen3"},
      {"DeepSeek R1 0528 Qwen3 8B", "qwen3", "qwen2", 0.6, 0, 0.95, "DeepSeek"},
      {"Llama 3.2 1B Instruct", "llama", "llama-bpe", 0.6, 0, 0.9, "Meta"},
      {"Smollm2 135M", "llama", "smollm", 0.2, 0, 0.9, "SmolLM2"},
      {"Something else", "llama", "default", 0.7, 40, 0.95, "minke's own"},
  };
  for (const auto& c : cases) {
    const RecommendedSampling got = sampling_for([&](GgufWriter& file) {
      file.set_text("general.architecture", c.architecture);
      file.set_text("general.name", c.name);
      file.set_text("tokenizer.ggml.pre", c.pre);
    });
    EXPECT_EQ(got.options.temperature, c.temperature) << c.name;
    EXPECT_EQ(got.options.top_k, c.top_k) << c.name;
    EXPECT_EQ(got.options.top_p, c.top_p) << c.name;
    EXPECT_THAT(got.source, HasSubstr(c.source));
  }
}

TEST(RecommendedSampling, TheFileComesFirstAndIsNotBelievedBlindly) {
  const RecommendedSampling good = sampling_for([](GgufWriter& file) {
    file.set_text("general.architecture", "qwen2");
    file.set_float32("general.sampling.temp", 0.25F);
    file.set_int32("general.sampling.top_k", 7);
  });
  EXPECT_EQ(good.options.temperature, 0.25);
  EXPECT_EQ(good.options.top_k, 7);
  EXPECT_EQ(good.options.top_p, 0.8);  // the family's: the file does not say
  EXPECT_EQ(good.source, "the file's recommendation");
  sampling_for([](GgufWriter& file) {  // check_sampling() passes: that is the test
    file.set_text("general.architecture", "llama");
    file.set_float32("general.sampling.temp", -3.0F);
    file.set_float32("general.sampling.top_p", __builtin_nanf(""));
    file.set_float32("general.sampling.min_p", 7.0F);
    file.set_float32("general.sampling.penalty_repeat", 0.0F);
    file.set_int32("general.sampling.top_k", -100);
  });
}

}  // namespace
}  // namespace minke
