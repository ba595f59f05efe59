#include "models/gguf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "models/hf_tokenizer.h"
#include "text/tokenizer_golden.h"

namespace minke {
namespace {

// The real tokenizers: of model files, and of Hugging Face's tokenizer.json in a folder of the
// name.
std::unique_ptr<Tokenizer> load(const std::string& name) {
  const char* folder = std::getenv("MINKE_TEST_MODELS");
  if (!folder) return nullptr;
  if (const std::string path = fmt::format("{}/{}", folder, name);
      std::filesystem::exists(path + "/tokenizer.json")) {
    auto spec = read_hf_tokenizer(path);
    EXPECT_TRUE(spec.has_value()) << spec.error().message;
    if (!spec) return nullptr;
    auto tokenizer = Tokenizer::create(*std::move(spec));
    EXPECT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
    return tokenizer ? *std::move(tokenizer) : nullptr;
  }
  for (const char* suffix : {".gguf", "-tokenizer.gguf"}) {
    const std::string path = fmt::format("{}/{}{}", folder, name, suffix);
    if (!std::filesystem::exists(path)) continue;
    const auto file = GgufFile::open(path, {.allow_truncated_data = true});
    EXPECT_TRUE(file.has_value()) << file.error().message;
    if (!file) return nullptr;
    auto tokenizer = load_tokenizer(*file);
    EXPECT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
    return tokenizer ? *std::move(tokenizer) : nullptr;
  }
  return nullptr;
}

#define LOAD_OR_SKIP(variable, name)                         \
  const std::unique_ptr<Tokenizer> variable = load(name);    \
  if (!variable) {                                           \
    if (HasFailure()) return;                                \
    GTEST_SKIP() << "no " << (name) << ".gguf or " << (name) \
                 << "-tokenizer.gguf in $MINKE_TEST_MODELS"; \
  }

class RealTokenizer : public ::testing::TestWithParam<const char*> {};

TEST_P(RealTokenizer, MakesTheIdsOfHuggingFace) {
  LOAD_OR_SKIP(tokenizer, GetParam());
  const std::vector<std::string> corpus = testing::read_corpus();
  const auto expected = testing::read_golden_lines(std::string("ids_") + GetParam() + ".txt");
  ASSERT_EQ(corpus.size(), expected.size());
  for (size_t i = 0; i < corpus.size(); ++i) {
    const auto plain = tokenizer->encode(corpus[i], SpecialText::kAsText);
    const auto parsed = tokenizer->encode(corpus[i], SpecialText::kParse);
    std::string line = testing::numbers_line(std::span(plain));
    if (plain != parsed) line += " | " + testing::numbers_line(std::span(parsed));
    EXPECT_EQ(line, expected[i]) << "corpus line " << i + 1 << ": " << testing::escape(corpus[i]);
  }
}

// Every text comes back, up to NFC and up to what SmolLM2 has no tokens for.
TEST_P(RealTokenizer, DecodesWhatItEncodes) {
  LOAD_OR_SKIP(tokenizer, GetParam());
  const std::string name = GetParam();
  const bool normalizes = name.starts_with("qwen") || name.starts_with("r1");
  for (const std::string& text : testing::read_corpus()) {
    const auto ids = tokenizer->encode(text, SpecialText::kAsText);
    const std::string back = tokenizer->decode(ids);
    if (name == "llama-2" && text.find("\u2581") != std::string::npos) continue;
    if (name == "smollm2-135m" && back.size() < text.size()) continue;
    // Between special tokens NFC starts anew, so the whole is put into NFC on both sides.
    EXPECT_EQ(normalizes ? to_nfc(back) : back, normalizes ? to_nfc(text) : text);
  }
}

TEST_P(RealTokenizer, KeepsBytesThatAreNotUtf8) {
  LOAD_OR_SKIP(tokenizer, GetParam());
  if (std::string(GetParam()) == "smollm2-135m") GTEST_SKIP() << "SmolLM2 lacks such bytes";
  std::string text;
  for (int i = 0; i < 3000; ++i) text += static_cast<char>((i * 7919) >> (i % 5));
  text = "x\xFF y\x80\xC3 \xE2\x82 z" + text;
  const std::string back = tokenizer->decode(tokenizer->encode(text, SpecialText::kAsText));
  EXPECT_EQ(to_nfc(back), to_nfc(text));
}

INSTANTIATE_TEST_SUITE_P(All, RealTokenizer,
                         ::testing::Values("smollm2-135m", "qwen2.5-coder-1.5b", "r1-7b-part",
                                           "deepseek-v3", "qwen3", "llama-3", "llama-2"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::erase_if(name, [](char c) { return !isalnum(c); });
                           return name;
                         });

TEST(RealTokenizer, Qwen2KnowsItsSpecialTokens) {
  LOAD_OR_SKIP(tokenizer, "qwen2.5-coder-1.5b");
  EXPECT_EQ(tokenizer->vocab_size(), 151936);
  EXPECT_EQ(tokenizer->find("<|im_end|>"), 151645);
  EXPECT_TRUE(tokenizer->is_end_of_generation(151645));
  EXPECT_TRUE(tokenizer->is_end_of_generation(151643));  // <|endoftext|>, which is not its EOS
  EXPECT_FALSE(tokenizer->is_end_of_generation(151644));
  EXPECT_FALSE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->piece(151645), "");
  EXPECT_EQ(tokenizer->piece(151645, true), "<|im_end|>");
  EXPECT_EQ(tokenizer->piece(151657), "<tool_call>");
  EXPECT_EQ(tokenizer->description(), "gpt2 with the pre-tokenizer qwen2");
}

TEST(RealTokenizer, DeepSeekR1PutsItsBosInFront) {
  LOAD_OR_SKIP(tokenizer, "r1-7b-part");
  EXPECT_TRUE(tokenizer->adds_bos());
  const auto ids = tokenizer->encode_with_bos("Hi", SpecialText::kAsText);
  ASSERT_EQ(ids.size(), 2u);
  EXPECT_EQ(ids[0], tokenizer->bos());
  const std::string prompt = "<｜begin▁of▁sentence｜>Hi";
  EXPECT_EQ(tokenizer->encode_with_bos(prompt, SpecialText::kParse), ids);
  EXPECT_TRUE(tokenizer->is_control(*tokenizer->find("<｜User｜>")));
  EXPECT_TRUE(tokenizer->is_end_of_generation(*tokenizer->find("<｜end▁of▁sentence｜>")));
}

TEST(RealTokenizer, IsOneForAllThreads) {
  LOAD_OR_SKIP(tokenizer, "smollm2-135m");
  const std::vector<std::string> corpus = testing::read_corpus();
  std::vector<std::vector<std::vector<int32_t>>> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results) {
    threads.emplace_back([&] {
      for (const std::string& text : corpus)
        result.push_back(tokenizer->encode(text, SpecialText::kParse));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, results[0]);
}

}  // namespace
}  // namespace minke
