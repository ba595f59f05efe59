#include "engine/answer_text.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/tokenizer_toy.h"

namespace minke {
namespace {

// A tokenizer whose tokens are what a test wants them to be: SentencePiece, where a token's text is
// its bytes and 256 byte tokens stand for everything else.
class Pieces {
 public:
  explicit Pieces(const std::vector<std::string>& words) {
    TokenizerSpec spec;
    spec.model = "llama";
    const auto add = [&](std::string text, TokenType type) {
      spec.tokens.push_back(std::move(text));
      spec.types.push_back(static_cast<int32_t>(type));
      spec.scores.push_back(0);
    };
    add("<unk>", TokenType::kUnknown);
    add("</s>", TokenType::kControl);
    constexpr char kHex[] = "0123456789ABCDEF";
    for (int byte = 0; byte < 256; ++byte) {
      add(std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">", TokenType::kByte);
    }
    for (const std::string& word : words) add(word, TokenType::kNormal);
    spec.eos = 1;
    spec.unk = 0;
    auto made = Tokenizer::create(std::move(spec));
    if (!made) ADD_FAILURE() << made.error().message;
    tokenizer_ = *std::move(made);
  }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  static int32_t word(int index) { return 258 + index; }
  static int32_t byte(uint8_t value) { return 2 + value; }

 private:
  std::unique_ptr<Tokenizer> tokenizer_;
};

struct Shown {
  std::vector<std::pair<PieceKind, std::string>> pieces;
  OnPiece on_piece() {
    return [this](const Piece& piece) {
      pieces.emplace_back(piece.kind, piece.text);
      return true;
    };
  }
};

TEST(AnswerText, NeverCutsACharacter) {
  const Pieces pieces({"a"});
  Shown shown;
  AnswerText text(pieces.tokenizer(), {}, shown.on_piece());
  for (const uint8_t byte : std::initializer_list<uint8_t>{0xF0, 0x9F, 0x90, 0x8B}) {  // a whale
    text.take({.token = Pieces::byte(byte)});
  }
  text.take({.token = Pieces::byte(0xC3)});  // half an umlaut, and then the answer ends
  text.finish();
  ASSERT_EQ(shown.pieces.size(), 2u);
  EXPECT_EQ(shown.pieces[0].second, "\xF0\x9F\x90\x8B");
  EXPECT_EQ(shown.pieces[1].second, "\xEF\xBF\xBD");
}

TEST(AnswerText, StopStringsSpanTokensAndAreNeverShown) {
  const Pieces pieces({"Hello", " wor", "ld\nUs", "er: ", "more"});
  Shown shown;
  AnswerText text(pieces.tokenizer(), {.stop = {"\nUser:"}}, shown.on_piece());
  std::vector<TokenVerdict> verdicts;
  for (int i = 0; i < 4; ++i) verdicts.push_back(text.take({.token = Pieces::word(i)}));
  text.finish();
  EXPECT_EQ(text.content(), "Hello world");
  EXPECT_EQ(verdicts.back(), TokenVerdict::kStopString);
  EXPECT_EQ(verdicts[2], TokenVerdict::kContinue);
}

TEST(AnswerText, WhatLookedLikeAStopComesOutAtTheEnd) {
  const Pieces pieces({"x\nUs"});
  AnswerText text(pieces.tokenizer(), {.stop = {"\nUser:"}}, {});
  text.take({.token = Pieces::word(0)});
  EXPECT_EQ(text.content(), "x");
  text.finish();
  EXPECT_EQ(text.content(), "x\nUs");
}

TEST(AnswerText, ReasoningIsApartAndStopStringsLeaveItAlone) {
  const Pieces pieces({"let me END think", "</th", "ink>\n\n", "the answer", " END of it"});
  Shown shown;
  AnswerText text(pieces.tokenizer(),
                  {.split_thinking = true, .starts_inside = true, .stop = {"END"}},
                  shown.on_piece());
  TokenVerdict verdict = TokenVerdict::kContinue;
  for (int i = 0; i < 5; ++i) verdict = text.take({.token = Pieces::word(i)});
  text.finish();
  EXPECT_EQ(text.reasoning(), "let me END think");
  EXPECT_EQ(text.content(), "the answer ");
  EXPECT_EQ(verdict, TokenVerdict::kStopString);
  EXPECT_EQ(text.reasoning_tokens(), 3);
  EXPECT_EQ(shown.pieces.front().first, PieceKind::kReasoning);
  EXPECT_EQ(shown.pieces.back().first, PieceKind::kContent);
}

TEST(AnswerText, WithoutThinkingTagsAreText) {
  const Pieces pieces({"<think>", "hm"});
  AnswerText text(pieces.tokenizer(), {}, {});
  text.take({.token = Pieces::word(0)});
  text.take({.token = Pieces::word(1)});
  text.take({.token = 1, .position = 0, .ends_turn = true});
  text.finish();
  EXPECT_EQ(text.content(), "<think>hm");
}

TEST(AnswerText, CallsOfToolsAreApartFromContent) {
  const Pieces pieces({"<tool_call>\n{\"name\": \"f\", ", "\"arguments\": {\"a\": 1}}\n</tool",
                       "_call>", "\n", "I see.\n", "<tool_call>oops</tool_call>"});
  Shown shown;
  AnswerText text(pieces.tokenizer(), {.tools = ToolFormat::kHermes}, shown.on_piece());
  for (const int i : {4, 0, 1, 2, 3, 0, 1, 2, 5}) {
    text.take({.token = Pieces::word(i), .position = 40 + i});
  }
  text.finish();
  ASSERT_EQ(text.calls().size(), 2u);
  EXPECT_EQ(text.calls()[0].name, "f");
  EXPECT_EQ(text.calls()[0].arguments, "{\"a\":1}");
  EXPECT_EQ(text.calls()[0].id.size(), 9u);
  EXPECT_NE(text.calls()[0].id, text.calls()[1].id);
  EXPECT_EQ(text.content(), "I see.\n<tool_call>oops</tool_call>");
  ASSERT_EQ(shown.pieces.size(), 4u);
  EXPECT_EQ(shown.pieces[1].first, PieceKind::kToolCall);
  EXPECT_EQ(shown.pieces[1].second, "{\"a\":1}");
}

TEST(AnswerText, MarkersOfCallsCountWhereTheyAreControlTokens) {
  TokenizerSpec spec = testing::toy_bpe({});
  for (const std::string_view marker : tool_markers(ToolFormat::kDeepSeek)) {
    spec.tokens.emplace_back(marker);
    spec.types.push_back(static_cast<int32_t>(TokenType::kControl));
  }
  const auto tokenizer = Tokenizer::create(std::move(spec));
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const std::string answer =
      "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{}\n```"
      "<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
  for (const ToolFormat format : {ToolFormat::kDeepSeek, ToolFormat::kNone}) {
    AnswerText text(**tokenizer, {.tools = format}, {});
    for (const int32_t token : (*tokenizer)->encode(answer, SpecialText::kParse)) {
      text.take({.token = token});
    }
    text.finish();
    EXPECT_EQ(text.calls().size(), format == ToolFormat::kNone ? 0u : 1u);
    EXPECT_EQ(text.content(), format == ToolFormat::kNone ? "functionf\n```json\n{}\n```" : "");
  }
}

TEST(AnswerText, ACallbackThatHasEnoughIsNotCalledAgain) {
  const Pieces pieces({"one ", "two "});
  int calls = 0;
  AnswerText text(pieces.tokenizer(), {}, [&](const Piece&) { return ++calls < 1; });
  EXPECT_EQ(text.take({.token = Pieces::word(0)}), TokenVerdict::kCancel);
  text.take({.token = Pieces::word(1)});
  text.finish();
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace minke
