// The trainer of vocabularies: the merges are Hugging Face's, and what it makes is a tokenizer.
#include "text/bpe_trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace minke {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string golden_text(const std::string& name) {
  std::ifstream file(std::string(MINKE_SOURCE_DIR "/tests/golden/") + name, std::ios::binary);
  EXPECT_TRUE(file) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

BpeTrainer trainer_of(BpeTrainerOptions options) {
  auto trainer = BpeTrainer::create(std::move(options));
  EXPECT_TRUE(trainer) << trainer.error().message;
  return *std::move(trainer);
}

void add_lines(BpeTrainer& trainer, const std::string& text) {
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    trainer.add(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
  }
}

TEST(BpeTrainer, LearnsTheMergesOfHuggingFace) {
  std::istringstream golden(golden_text("bpe_merges.txt"));
  std::string line;
  std::vector<std::string> expected;
  std::string pre;
  int64_t size = 0;
  int sections = 0;
  const auto check = [&] {
    if (pre.empty()) return;
    ++sections;
    BpeTrainer trainer = trainer_of({.pre = pre, .size = size, .special = {}});
    add_lines(trainer, golden_text("tokenizer/corpus.txt"));
    add_lines(trainer, golden_text("perplexity/text.txt"));
    const TokenizerSpec spec = trainer.train();
    ASSERT_EQ(spec.merges.size(), expected.size()) << pre;
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(spec.merges[i], expected[i]) << pre << ", merge " << i;
    }
  };
  while (std::getline(golden, line)) {
    if (!line.starts_with("# ")) {
      expected.push_back(line);
      continue;
    }
    check();
    expected.clear();
    std::istringstream header(line.substr(2));
    header >> pre >> size;
  }
  check();
  EXPECT_EQ(sections, 3);
}

TEST(BpeTrainer, WhatItMakesIsATokenizer) {
  BpeTrainer trainer = trainer_of({.size = 800});
  const std::string text = golden_text("perplexity/text.txt");
  add_lines(trainer, text);
  const TokenizerSpec spec = trainer.train();
  EXPECT_EQ(spec.tokens.size(), 800u);
  const auto tokenizer = Tokenizer::create(spec);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const std::vector<int32_t> ids = (*tokenizer)->encode(text, SpecialText::kAsText);
  EXPECT_LT(ids.size(), text.size() / 2);
  EXPECT_EQ((*tokenizer)->decode(ids), text);
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  EXPECT_EQ((*tokenizer)->decode((*tokenizer)->encode(bytes, SpecialText::kAsText)), bytes);
  EXPECT_EQ((*tokenizer)->eos(), 795);
  EXPECT_TRUE((*tokenizer)->is_control(797));
  EXPECT_TRUE((*tokenizer)->is_end_of_generation(797));
  EXPECT_THAT((*tokenizer)->encode("<think>", SpecialText::kAsText), ElementsAre(798));
  EXPECT_EQ((*tokenizer)->encode("<|im_end|>", SpecialText::kAsText).size() > 1, true);
}

TEST(BpeTrainer, TheOrderOfTextsChangesNothing) {
  const auto learn = [](const std::vector<std::string>& texts) {
    BpeTrainer trainer = trainer_of({.size = 300});
    for (const std::string& text : texts) trainer.add(text);
    const TokenizerSpec spec = trainer.train();
    return std::make_pair(spec.tokens, spec.merges);
  };
  EXPECT_EQ(learn({"to be or not to be", "that is the question", "aaaa aaaa"}),
            learn({"aaaa aaaa", "that is the question", "to be or not to be"}));
}

TEST(BpeTrainer, RunsOutOfPairsBeforeTheSize) {
  BpeTrainer trainer = trainer_of({.pre = "gpt-2", .size = 1000, .special = {"<|end|>"}});
  trainer.add("abab abab");
  // "ab" twice a word, "abab" and "Ġabab" once or twice; nothing else occurs twice.
  EXPECT_THAT(trainer.train().merges, ElementsAre("a b", "ab ab"));
}

TEST(BpeTrainer, WhatCannotBeIsRefused) {
  const auto error_of = [](BpeTrainerOptions options) {
    const auto trainer = BpeTrainer::create(std::move(options));
    return trainer ? "no error" : trainer.error().message;
  };
  EXPECT_THAT(error_of({.size = 260}), HasSubstr("expected at least 261"));
  EXPECT_THAT(error_of({.pre = "bert", .size = 1000}), HasSubstr("'bert'"));
  EXPECT_THAT(error_of({.size = 1000, .special = {"<a>", "<a>"}}), HasSubstr("named twice"));
}

}  // namespace
}  // namespace minke
