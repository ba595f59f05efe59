#include "engine/answer_form.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_toy.h"

namespace minke {
namespace {

using Start = FormedAnswer::Start;

// Bytes, some pieces that run over the edges of tags and values, an end, and the tags.
std::unique_ptr<Tokenizer> toy() {
  TokenizerSpec spec = testing::toy_bpe({"> \n", "< t", "> {", "> x", "\" }", "\n \n"});
  spec.tokens.emplace_back("</think>");
  spec.types.push_back(static_cast<int32_t>(TokenType::kUserDefined));
  auto tokenizer = Tokenizer::create(std::move(spec));
  if (!tokenizer) ADD_FAILURE() << tokenizer.error().message;
  return *std::move(tokenizer);
}

AnswerForm regex(std::string text) { return {AnswerForm::Kind::kRegex, std::move(text)}; }

bool is_in(const TokenSet& set, int32_t token) {
  const auto listed = [&](std::span<const int32_t> tokens) {
    return std::ranges::find(tokens, token) != tokens.end();
  };
  if (set.is_all) return !listed(set.barred);
  const auto i = static_cast<size_t>(token);
  return listed(set.tokens) ||
         (i / 64 < set.bits.size() && (set.bits[i / 64] >> (i % 64) & 1) != 0);
}

// How far an answer comes that wants these tokens: those that are let through, joined; and '$'
// where the turn may end behind them.
std::string written(const AnswerForm& form, Start start, const std::vector<std::string>& pieces) {
  const auto tokenizer = toy();
  FormCache forms(*tokenizer, ThinkingStyle());
  auto compiled = forms.compile(form);
  if (!compiled) return compiled.error().message;
  FormedAnswer answer(*tokenizer, *compiled, ThinkingStyle(), start);
  std::string out;
  for (const std::string& piece : pieces) {
    const std::optional<int32_t> token = tokenizer->find(piece);
    if (!token) return "no token is '" + piece + "'";
    const auto allowed = answer.allowed();
    if (!allowed) return allowed.error().message;
    if (!is_in(*allowed, *token)) break;
    answer.take(*token);
    out += piece;
  }
  const auto allowed = answer.allowed();
  if (!allowed) return allowed.error().message;
  return out + (allowed->may_end ? "$" : "");
}

std::vector<std::string> letters(std::string_view text) {
  std::vector<std::string> out;
  for (const char c : text) out.emplace_back(1, c);
  return out;
}

TEST(FormedAnswer, HoldsFromTheStartWhereNothingIsThought) {
  EXPECT_EQ(written(regex("ab?c"), Start::kContent, letters("abc")), "abc$");
  EXPECT_EQ(written(regex("ab?c"), Start::kContent, letters("abd")), "ab");
  EXPECT_EQ(written(regex("a*"), Start::kContent, letters("aab")), "aa$");
  EXPECT_EQ(written(regex("a"), Start::kContent, letters("\na")), "");
  EXPECT_EQ(written(regex("a"), Start::kContent, {"<think>"}), "");
  EXPECT_EQ(written(regex("<think>a"), Start::kContent, {"<think>"}), "");
  EXPECT_EQ(written(regex("<think>a"), Start::kContent, letters("<think>a")), "<think>a$");
}

TEST(FormedAnswer, LetsAnythingBeThoughtAndHoldsBehindIt) {
  EXPECT_EQ(written(regex("a"), Start::kThinking, {"x", "<think>", "</think>", "\n", "\n", "a"}),
            "x<think></think>\n\na$");
  EXPECT_EQ(written(regex("a"), Start::kThinking, {"</think>", "x"}), "</think>");
  EXPECT_EQ(written(regex("a"), Start::kThinking, {"</think>", "\n\n", "\n\n", "\n"}),
            "</think>\n\n\n\n");
  // The tag in pieces: the last may bring newlines along, and the beginning of the content.
  EXPECT_EQ(
      written(regex("a"), Start::kThinking, {"<", "/", "t", "h", "i", "n", "k", ">\n", "\n", "a"}),
      "</think>\n\na$");
  EXPECT_EQ(written(regex("x+"), Start::kThinking, {"<", "/", "t", "h", "i", "n", "k", ">x", "x"}),
            "</think>xx$");
  EXPECT_EQ(written(regex("a"), Start::kThinking, {"<", "/", "t", "h", "i", "n", "k", ">x"}),
            "</think");
  EXPECT_EQ(written(regex("a"), Start::kThinking, {"<", "/", "<", "/", "t", ">x", "</think>", "a"}),
            "</</t>x</think>a$");
}

TEST(FormedAnswer, AModelMayOpenTheThinkingItself) {
  EXPECT_EQ(written(regex("a"), Start::kMayThink, {"<think>", "x", "</think>", "a"}),
            "<think>x</think>a$");
  EXPECT_EQ(written(regex("a"), Start::kMayThink, {"<t", "h", "i", "n", "k", ">\n", "x"}),
            "<think>\nx");
  EXPECT_EQ(written(regex("a"), Start::kMayThink, letters("a")), "a$");
  EXPECT_EQ(written(regex("a"), Start::kMayThink, {"<", "a"}), "<");
  EXPECT_EQ(written(regex("<a"), Start::kMayThink, {"<", "a"}), "<a$");
  EXPECT_EQ(written(regex("a?"), Start::kMayThink, {}), "$");
  EXPECT_EQ(written(regex("a"), Start::kMayThink, {"<think>", "</think>", "<think>"}),
            "<think></think>");
}

TEST(FormedAnswer, TagsAreTextInAnAnswer) {
  const AnswerForm json{AnswerForm::Kind::kJsonObject, ""};
  EXPECT_EQ(
      written(json, Start::kThinking,
              {"</think>", "{", "\"", "<", "t", "h", "i", "n", "k", ">", "\"", ":", "1", "}"}),
      "</think>{\"<think>\":1}$");
  EXPECT_EQ(written(json, Start::kContent, {"{", "\"", "<think>"}), "{\"");
}

TEST(FormCache, KeepsWhatItReadAndRefusesWhatItCannotRead) {
  const auto tokenizer = toy();
  FormCache forms(*tokenizer, ThinkingStyle());
  const auto first = forms.compile(regex("a+"));
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(*forms.compile(regex("a+")), *first);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(forms.compile(regex("a{" + std::to_string(i + 1) + "}")).has_value());
  }
  EXPECT_NE(*forms.compile(regex("a+")), *first);
  const auto bad = forms.compile({AnswerForm::Kind::kJsonSchema, "{\"type\":\"sting\"}"});
  ASSERT_FALSE(bad.has_value());
  EXPECT_EQ(bad.error().kind, ErrorKind::kUsage);
}

}  // namespace
}  // namespace minke
