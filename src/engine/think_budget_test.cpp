#include "engine/think_budget.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "text/tokenizer_toy.h"

namespace minke {
namespace {

// Bytes, and the tags of a thinking model as whole tokens.
std::unique_ptr<Tokenizer> tokenizer_with_tags() {
  TokenizerSpec spec = testing::toy_bpe({});
  spec.tokens.emplace_back("</think>");
  spec.types.push_back(static_cast<int32_t>(TokenType::kUserDefined));
  auto tokenizer = Tokenizer::create(std::move(spec));
  if (!tokenizer) ADD_FAILURE() << tokenizer.error().message;
  return *std::move(tokenizer);
}

struct Case {
  int64_t tokens_max = -1;
  bool starts_inside = true;
  ThinkingStyle style = {};
  bool thinks_first = false;
};

// What comes of a model that wants to write `wish`, a byte a token, and is let write the rest of it
// when the budget has had its say.
std::string written(const Case& one, std::string_view wish) {
  const auto tokenizer = tokenizer_with_tags();
  ThinkBudget budget(*tokenizer, one.tokens_max, one.style, one.starts_inside, one.thinks_first);
  std::string out;
  const std::vector<int32_t> tokens = tokenizer->encode(wish, SpecialText::kParse);
  size_t next = 0;
  while (next < tokens.size() || budget.forced()) {
    const int32_t token = budget.forced() ? *budget.forced() : tokens[next++];
    budget.take(token);
    out += tokenizer->piece(token, true);
  }
  return out;
}

TEST(ThinkBudget, ClosesAtTheBudgetAtTheLatest) {
  EXPECT_EQ(written({.tokens_max = 8}, "abcdefghijkl"), "abcdefgh\n</think>\n\nijkl");
  EXPECT_EQ(written({.tokens_max = 12}, "abcdefghijkl"), "abcdefghijkl\n</think>\n\n");
  EXPECT_EQ(written({.tokens_max = 13}, "abcdefghijkl"), "abcdefghijkl");
  EXPECT_EQ(written({.tokens_max = -1}, "abcdefghijkl"), "abcdefghijkl");
}

TEST(ThinkBudget, NoThinkingAtAllIsClosedBeforeItBegins) {
  EXPECT_EQ(written({.tokens_max = 0}, "answer"), "\n</think>\n\nanswer");
  EXPECT_EQ(written({.tokens_max = 0, .starts_inside = false}, "answer"), "answer");
  EXPECT_EQ(written({.tokens_max = 0, .starts_inside = false}, "<think>ab"),
            "<think>\n</think>\n\nab");
}

TEST(ThinkBudget, WaitsForTheEndOfALineOrASentence) {
  // The last eighth of 40 is 5 tokens.
  const std::string head(34, 'x');
  EXPECT_EQ(written({.tokens_max = 40}, head + ".yyyyyyyyy"), head + ".\n</think>\n\nyyyyyyyyy");
  EXPECT_EQ(written({.tokens_max = 40}, head + "yy\nzzzzzzz"), head + "yy\n</think>\n\nzzzzzzz");
  EXPECT_EQ(written({.tokens_max = 40}, head + "3.14159265"), head + "3.1415\n</think>\n\n9265");
  // Too early.
  EXPECT_EQ(written({.tokens_max = 40}, "x." + head + "yyyyyyyyy"),
            "x." + head + "yyyy\n</think>\n\nyyyyy");
}

// Where the answer has a form, tags in the content are text, and nobody closes them.
TEST(ThinkBudget, LeavesTagsInTheContentAloneWhereThinkingComesFirst) {
  const std::string wish = "abc\n</think>\n\n<think>0123456789";
  EXPECT_EQ(written({.tokens_max = 6, .thinks_first = true}, wish), wish);
  EXPECT_NE(written({.tokens_max = 6}, wish), wish);
}

TEST(ThinkBudget, LeavesAModelAloneThatClosesInTime) {
  EXPECT_EQ(written({.tokens_max = 6}, "abc\n</think>\n\nthe answer"),
            "abc\n</think>\n\nthe answer");
}

TEST(ThinkBudget, IsOneForAllThinkingOfAnAnswer) {
  EXPECT_EQ(written({.tokens_max = 6}, "abc</think>de<think>fghijk"),
            "abc</think>de<think>fg\n</think>\n\nhijk");
  EXPECT_EQ(written({.tokens_max = 3}, "abcd<think>ef"),
            "abc\n</think>\n\nd<think>\n</think>\n\nef");
}

TEST(ThinkBudget, ClosesAsTheModelDoes) {
  const ThinkingStyle bare = {.after_open = "", .before_close = "", .after_close = ""};
  EXPECT_EQ(written({.tokens_max = 4, .style = bare}, "abcdef"), "abcd</think>ef");
  const ThinkingStyle tags = {.open = "[THINK]", .close = "[/THINK]"};
  EXPECT_EQ(written({.tokens_max = 4, .style = tags}, "abcdef"), "abcd\n[/THINK]\n\nef");
}

// A model without the tag among its tokens may have begun it when the budget ends.
TEST(ThinkBudget, FinishesATagThatWasBegun) {
  const ThinkingStyle tags = {.open = "[THINK]", .close = "[/THINK]"};
  EXPECT_EQ(written({.tokens_max = 11, .style = tags}, "abc\n[/THINK]d"), "abc\n[/THINK]\n\n]d");
  EXPECT_EQ(written({.tokens_max = 5, .style = tags}, "abc\n[x"), "abc\n[/THINK]\n\nx");
  EXPECT_EQ(written({.tokens_max = 5}, "ab</yz"), "ab</y\n</think>\n\nz");
  EXPECT_EQ(written({.tokens_max = 4}, "ab</yz"), "ab</think>\n\nyz");
  // Of a tag that is one token, '<' is no beginning.
  EXPECT_EQ(written({.tokens_max = 3}, "ab<yz"), "ab<\n</think>\n\nyz");
}

TEST(ThinkBudget, SaysWhetherItClosed) {
  const auto tokenizer = tokenizer_with_tags();
  ThinkBudget budget(*tokenizer, 2, {}, true, false);
  EXPECT_FALSE(budget.has_closed());
  budget.take('a');
  EXPECT_FALSE(budget.forced());
  budget.take('b');
  EXPECT_TRUE(budget.has_closed());
  EXPECT_EQ(budget.forced(), int32_t{'\n'});
}

TEST(ThinkBudget, AnUnclosedTagMeansInside) {
  EXPECT_FALSE(ends_inside_thinking("Hello", {}));
  EXPECT_TRUE(ends_inside_thinking("Hello<think>\nhm", {}));
  EXPECT_FALSE(ends_inside_thinking("Hello<think>\nhm</think> so", {}));
  EXPECT_TRUE(ends_inside_thinking("<think>a</think><think>", {}));
}

}  // namespace
}  // namespace minke
