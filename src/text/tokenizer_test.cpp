#include "text/tokenizer.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <thread>
#include <vector>

#include "text/tokenizer_golden.h"
#include "text/tokenizer_specials.h"
#include "text/tokenizer_toy.h"

namespace minke {
namespace {

using ::testing::HasSubstr;
using Ids = std::vector<int32_t>;

std::unique_ptr<Tokenizer> create(TokenizerSpec spec) {
  auto tokenizer = Tokenizer::create(std::move(spec));
  EXPECT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  return *std::move(tokenizer);
}

std::string error_of(TokenizerSpec spec) {
  const auto tokenizer = Tokenizer::create(std::move(spec));
  return tokenizer ? "no error" : tokenizer.error().message;
}

// 256 "th", 257 "the", 258 " the", 259 "aa", 260 "aaaa", 261 <|end|>, 262 <think>.
TokenizerSpec toy() { return testing::toy_bpe({"t h", "th e", "_ the", "a a", "aa aa"}); }

TEST(Tokenizer, EncodesAndDecodes) {
  const auto tokenizer = create(toy());
  const Ids ids = tokenizer->encode("the the thx", SpecialText::kAsText);
  EXPECT_EQ(ids, (Ids{257, 258, ' ', 256, 'x'}));
  EXPECT_EQ(tokenizer->decode(ids), "the the thx");
  EXPECT_TRUE(tokenizer->encode("", SpecialText::kAsText).empty());
  EXPECT_EQ(tokenizer->decode({}), "");
  EXPECT_EQ(tokenizer->vocab_size(), 263);
}

TEST(Tokenizer, BringsAnyBytesBack) {
  std::mt19937 random(7);
  for (const char* pre : {"default", "deepseek-coder", "deepseek-llm", "deepseek-v3", "gpt-2",
                          "llama-bpe", "smollm", "qwen2"}) {
    const auto tokenizer = create(testing::toy_bpe({"t h", "\xC3 \xA9", "\xF0 \x9F"}, pre));
    for (int round = 0; round < 200; ++round) {
      std::string bytes;
      for (size_t i = random() % 50; i > 0; --i) bytes += static_cast<char>(random() % 256);
      const std::string back = tokenizer->decode(tokenizer->encode(bytes, SpecialText::kAsText));
      EXPECT_EQ(back, pre == std::string("qwen2") ? to_nfc(bytes) : bytes);
    }
  }
}

TEST(Tokenizer, SaysWhichBytesItLeavesOut) {
  TokenizerSpec spec = toy();
  for (const size_t byte : {0xFE, 0xFF}) spec.tokens[byte] = fmt::format("no byte {}", byte);
  const auto tokenizer = create(std::move(spec));
  std::string left_out;
  EXPECT_EQ(tokenizer->encode("the\xFF th\xFE\xFF", SpecialText::kAsText, &left_out),
            (Ids{257, ' ', 256}));
  EXPECT_EQ(left_out, "\xFF\xFE\xFF");
  EXPECT_EQ(tokenizer->encode("\xFF", SpecialText::kAsText), Ids());
  left_out.clear();
  EXPECT_EQ(tokenizer->encode("the", SpecialText::kAsText, &left_out), (Ids{257}));
  EXPECT_EQ(left_out, "");
}

TEST(Tokenizer, PutsQwenTextIntoNfcAndNoOther) {
  const std::string text = "e\u0301";
  EXPECT_EQ(create(testing::toy_bpe({}, "qwen2"))->encode(text, SpecialText::kAsText),
            (Ids{0xC3, 0xA9}));
  EXPECT_EQ(create(testing::toy_bpe({}, "llama-bpe"))->encode(text, SpecialText::kAsText),
            (Ids{'e', 0xCC, 0x81}));
  // A special token is looked for in the text as it was written, and NFC stops at it: here the
  // sign would have become one character with the token's last.
  const Ids ids =
      create(testing::toy_bpe({}, "qwen2"))->encode("<think>\u0338", SpecialText::kAsText);
  EXPECT_EQ(ids, (Ids{257, 0xCC, 0xB8}));
}

TEST(Tokenizer, LeavesControlTokensInTextAsText) {
  const auto tokenizer = create(toy());
  const Ids as_text = tokenizer->encode("a<|end|>", SpecialText::kAsText);
  EXPECT_EQ(as_text, (Ids{'a', '<', '|', 'e', 'n', 'd', '|', '>'}));
  EXPECT_EQ(tokenizer->encode("a<|end|>", SpecialText::kParse), (Ids{'a', 261}));
  EXPECT_EQ(tokenizer->decode(as_text), "a<|end|>");
  EXPECT_EQ(tokenizer->decode(Ids{'a', 261}), "a");
  EXPECT_EQ(tokenizer->decode(Ids{'a', 261}, {.show_control = true}), "a<|end|>");
}

TEST(Tokenizer, MatchesUserDefinedTokensAlwaysUnlessTheyLookLikeControl) {
  auto spec = toy();
  EXPECT_EQ(create(spec)->encode("<think>", SpecialText::kAsText), (Ids{262}));
  EXPECT_EQ(create(spec)->piece(262), "<think>");
  for (const char* name : {"<|user|>", "<｜User｜>"}) {
    spec.tokens[262] = name;
    const auto tokenizer = create(spec);
    EXPECT_TRUE(tokenizer->is_control(262));
    EXPECT_EQ(tokenizer->encode(name, SpecialText::kAsText).size(), std::string(name).size());
    EXPECT_EQ(tokenizer->encode(name, SpecialText::kParse), (Ids{262}));
  }
}

TEST(Tokenizer, KnowsWhatEndsAnAnswer) {
  auto spec = toy();
  spec.eos = 'z';
  spec.eot = 'y';
  spec.tokens[261] = "<|im_end|>";
  auto tokenizer = create(spec);
  EXPECT_TRUE(tokenizer->is_end_of_generation('z'));
  EXPECT_TRUE(tokenizer->is_end_of_generation('y'));
  EXPECT_TRUE(tokenizer->is_end_of_generation(261));
  EXPECT_FALSE(tokenizer->is_end_of_generation('a'));
  EXPECT_FALSE(tokenizer->is_end_of_generation(262));
  EXPECT_FALSE(tokenizer->is_end_of_generation(-1));
  EXPECT_FALSE(tokenizer->is_end_of_generation(1'000'000));
  spec.types[261] = 1;  // the same text as plain vocabulary ends nothing
  EXPECT_FALSE(create(spec)->is_end_of_generation(261));
}

TEST(Tokenizer, AddsBosOnceWhereTheModelWantsIt) {
  auto spec = toy();
  spec.bos = 261;
  EXPECT_EQ(create(spec)->encode_with_bos("x", SpecialText::kAsText), (Ids{'x'}));
  spec.add_bos = true;
  const auto tokenizer = create(spec);
  EXPECT_EQ(tokenizer->encode_with_bos("x", SpecialText::kAsText), (Ids{261, 'x'}));
  EXPECT_EQ(tokenizer->encode_with_bos("", SpecialText::kAsText), (Ids{261}));
  EXPECT_EQ(tokenizer->encode_with_bos("<|end|>x", SpecialText::kParse), (Ids{261, 'x'}));
  spec.add_bos.reset();
  spec.pre = "llama-bpe";
  EXPECT_TRUE(create(spec)->adds_bos());
  spec.bos.reset();
  EXPECT_FALSE(create(spec)->adds_bos());
}

TEST(Tokenizer, FindsTokensByTheirText) {
  const auto tokenizer = create(toy());
  EXPECT_EQ(tokenizer->find(" the"), 258);
  EXPECT_EQ(tokenizer->find("<|end|>"), 261);
  EXPECT_EQ(tokenizer->find("\n"), '\n');
  EXPECT_EQ(tokenizer->find("nothing"), std::nullopt);
  EXPECT_EQ(tokenizer->find(""), std::nullopt);
}

TEST(Tokenizer, IdsOutOfRangeAreNoTokens) {
  const auto tokenizer = create(toy());
  for (const int32_t id : {-1, 263, 2'000'000'000}) {
    EXPECT_EQ(tokenizer->piece(id, true), "");
    EXPECT_EQ(tokenizer->type(id), TokenType::kUnused);
    EXPECT_FALSE(tokenizer->is_control(id));
  }
}

TEST(Tokenizer, RefusesDamagedSpecifications) {
  EXPECT_THAT(error_of({}), HasSubstr("kind ''"));
  EXPECT_THAT(error_of({.model = "bert"}), HasSubstr("'bert' (tokenizer.ggml.model)"));
  EXPECT_THAT(error_of({.model = "gpt2"}), HasSubstr("no tokens"));
  auto spec = toy();
  spec.pre = "unheard-of";
  EXPECT_THAT(error_of(spec), HasSubstr("'unheard-of'"));
  spec = toy();
  spec.types.pop_back();
  EXPECT_THAT(error_of(spec), HasSubstr("263 tokens but 262 token types"));
  spec = toy();
  spec.types[5] = 7;
  EXPECT_THAT(error_of(spec), HasSubstr("token 5 of the tokenizer has type 7"));
  spec = toy();
  spec.eos = 263;
  EXPECT_THAT(error_of(spec),
              HasSubstr("eos token has the id 263, but its tokens go from 0 to 262"));
  spec = toy();
  spec.bos = -2;
  EXPECT_THAT(error_of(spec), HasSubstr("bos token has the id -2"));
  spec = toy();
  spec.add_bos = true;
  EXPECT_THAT(error_of(spec), HasSubstr("names none (bos_token_id)"));
}

TEST(Tokenizer, ToleratesWhatDoesNoHarm) {
  auto spec = toy();
  spec.tokens.insert(spec.tokens.end(), {"a", "", "<|end|>", "\xFF\xFE", "", "\u4E2D"});
  spec.types.insert(spec.types.end(), {1, 1, 3, 1, 4, 1});
  spec.scores = {1, 2, 3};  // byte-level vocabularies have no use for them
  const auto tokenizer = create(spec);
  EXPECT_EQ(tokenizer->encode("a<|end|>", SpecialText::kParse), (Ids{'a', 261}));  // the first
  EXPECT_EQ(tokenizer->decode(Ids{263, 264, 266}), "a\xFF\xFE");
  EXPECT_EQ(tokenizer->encode("\u4E2D", SpecialText::kAsText), (Ids{0xE4, 0xB8, 0xAD}));
}

TEST(Tokenizer, WithoutTypesTreatsTheNamedOnesAsControl) {
  auto spec = toy();
  spec.types.clear();
  spec.eos = 261;
  const auto tokenizer = create(spec);
  EXPECT_TRUE(tokenizer->is_control(261));
  EXPECT_FALSE(tokenizer->is_control(262));
  EXPECT_EQ(tokenizer->encode("<|end|>", SpecialText::kAsText).size(), 7u);
}

// The merging order does not depend on how long a word is, so a long run is the short one's tokens
// over and over. Linear time is what keeps this test from taking minutes.
TEST(Tokenizer, TakesLongRunsInItsStride) {
  const auto tokenizer = create(toy());
  for (const std::string unit :
       {"aaaa", "the", "    ", "7777", "\n\n\n\n", "\u00E9", "====", "''''"}) {
    std::string text;
    while (text.size() < 1'200'000) text += unit;
    const Ids ids = tokenizer->encode(text, SpecialText::kParse);
    EXPECT_EQ(tokenizer->decode(ids), text);
    if (unit == "aaaa") {
      EXPECT_EQ(ids, Ids(300'000, 260));
    }
  }
}

TEST(SpecialMatcher, TakesTheLeftmostAndThenTheLongest) {
  const std::vector<std::string> texts = {"ab", "abcd", "bc", "cdx", "", "b"};
  const SpecialMatcher matcher(texts, std::vector<int32_t>{0, 1, 2, 3, 4, 5});
  const auto tokens = [&](std::string_view text) {
    Ids ids;
    for (const SpecialMatch& match : matcher.find(text)) {
      EXPECT_EQ(text.substr(match.begin, match.end - match.begin),
                texts[static_cast<size_t>(match.token)]);
      ids.push_back(match.token);
    }
    return ids;
  };
  EXPECT_EQ(tokens("abcdx"), (Ids{1}));
  EXPECT_EQ(tokens("abcx"), (Ids{0}));
  EXPECT_EQ(tokens("xbcdx"), (Ids{2}));
  EXPECT_EQ(tokens("abab"), (Ids{0, 0}));
  EXPECT_EQ(tokens("bbc"), (Ids{5, 2}));
  EXPECT_EQ(tokens("xyz"), (Ids{}));
  EXPECT_EQ(tokens(""), (Ids{}));
}

// Against the definition, on a small alphabet where everything overlaps.
TEST(SpecialMatcher, AgreesWithTheDefinition) {
  std::mt19937 random(3);
  const auto word = [&](size_t length_max) {
    std::string text;
    for (size_t i = 1 + random() % length_max; i > 0; --i)
      text += static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> texts;
    Ids tokens;
    for (size_t i = 1 + random() % 8; i > 0; --i) {
      tokens.push_back(static_cast<int32_t>(texts.size()));
      texts.push_back(word(7));
    }
    const SpecialMatcher matcher(texts, tokens);
    const std::string text = word(60);
    Ids expected, found;
    for (size_t at = 0; at < text.size();) {
      int32_t best = -1;
      for (const int32_t t : tokens) {
        const std::string& candidate = texts[static_cast<size_t>(t)];
        if (std::string_view(text).substr(at).starts_with(candidate) &&
            (best < 0 || candidate.size() > texts[static_cast<size_t>(best)].size())) {
          best = t;
        }
      }
      if (best >= 0) expected.push_back(best);
      at += best >= 0 ? texts[static_cast<size_t>(best)].size() : 1;
    }
    for (const SpecialMatch& match : matcher.find(text)) found.push_back(match.token);
    ASSERT_EQ(found, expected) << text;
  }
}

}  // namespace
}  // namespace minke
