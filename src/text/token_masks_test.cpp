// Masks against their specification: every token, byte by byte.
#include "text/token_masks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "text/grammar_json.h"
#include "text/grammar_regex.h"
#include "text/grammar_schema.h"
#include "text/token_trie.h"

namespace minke {
namespace {

// All bytes, pieces of JSON, pieces of texts cut anywhere (also inside characters), runs longer
// than TokenTrie::kPlainMax, tokens that are the same twice, and tokens without text.
std::vector<std::string> vocabulary() {
  std::vector<std::string> pieces = {"", ""};
  for (int byte = 0; byte < 256; ++byte) pieces.emplace_back(1, static_cast<char>(byte));
  const std::string text =
      "{\"name\": \"Überraschung, 漢字😀\", \"tags\":[\"a\",\"b\"],\n  \"n\": -12.5e+10, "
      "\"ok\":true,"
      "\"no\": false, \"none\": null}\n{\n    \"x\\n\\u00e9\": {}, [[]], 2024-05-17T12:30:00Z "
      "abc-123 "
      "the quick brown fox jumps over the lazy dog and on, and on and on without an end in sight";
  std::mt19937 random(7);
  for (int i = 0; i < 1500; ++i) {
    const size_t size = 1 + random() % (i % 50 == 0 ? 60 : 8);
    pieces.push_back(text.substr(random() % text.size(), size));
  }
  for (const int size : {23, 24, 25, 26, 60}) pieces.emplace_back(static_cast<size_t>(size), 'a');
  for (const char* piece : {"\"}", "\",", "\": ", "\"]", "}}", "\",\"", "\":\"", "null", "true"}) {
    pieces.emplace_back(piece);
  }
  return pieces;
}

std::vector<Result<Grammar>> grammars() {
  std::vector<Result<Grammar>> out;
  out.emplace_back(json_object_grammar());
  for (const std::string_view schema :
       {R"({})",
        R"({"type":"object","properties":{"name":{"type":"string"},"n":{"type":"integer"}}})",
        R"({"type":"string","maxLength":30})", R"({"type":"string","minLength":3,"maxLength":5})",
        R"({"type":"array","items":{"type":"string","minLength":1},"maxItems":3})",
        R"({"type":"number","minimum":-3.25,"exclusiveMaximum":120})",
        R"({"anyOf":[{"type":"string","maxLength":4},{"type":"string","pattern":"^[a-z]+$"}]})",
        R"({"enum":["true","null",null,{"x":[]},12]})",
        R"({"type":"string","pattern":"\\d{2}.*é"})",
        R"({"type":"object","properties":{"name":true},"required":["name"],
               "additionalProperties":{"type":"boolean"}})",
        R"({"$ref":"#/$defs/n","$defs":{"n":{"type":"array","items":{"$ref":"#/$defs/n"}}}})",
        R"({"type":"string","format":"date-time"})"}) {
    out.push_back(json_schema_grammar(schema));
  }
  for (const std::string_view regex : {".*", "[^\"]{0,40}", "(a|b|ab)*c?", "(the |quick |a)+",
                                       "é*漢?", "[a-z ]{0,30}", "(?:.|\\n){2,9}"}) {
    out.push_back(regex_grammar(regex));
  }
  return out;
}

class Masks : public testing::Test {
 protected:
  Masks() : pieces_(vocabulary()) {
    const std::vector<std::string_view> views(pieces_.begin(), pieces_.end());
    trie_ = std::make_shared<const TokenTrie>(views);
  }

  std::set<int32_t> allowed(const TokenMask& mask) {
    std::set<int32_t> out;
    size_t count = mask.tokens.size();
    for (size_t word = 0; word < mask.base.size(); ++word) {
      for (size_t bit = 0; bit < 64; ++bit) {
        if ((mask.base[word] >> bit & 1) == 0) continue;
        out.insert(static_cast<int32_t>(word * 64 + bit));
        ++count;
      }
    }
    out.insert(mask.tokens.begin(), mask.tokens.end());
    EXPECT_EQ(out.size(), count) << "a token is in the mask twice";
    return out;
  }

  std::set<int32_t> allowed_by_bytes(GrammarMatcher& matcher) {
    std::set<int32_t> out;
    for (size_t id = 0; id < pieces_.size(); ++id) {
      if (!pieces_[id].empty() && matcher.allows(pieces_[id])) {
        out.insert(static_cast<int32_t>(id));
      }
    }
    return out;
  }

  std::vector<std::string> pieces_;
  std::shared_ptr<const TokenTrie> trie_;
};

TEST_F(Masks, AreWhatEachTokenByItselfSays) {
  std::mt19937 random(3);
  int compared = 0;
  for (Result<Grammar>& grammar : grammars()) {
    ASSERT_TRUE(grammar.has_value()) << grammar.error().message;
    Result<GrammarAutomaton> automaton = GrammarAutomaton::create(*grammar, 0);
    ASSERT_TRUE(automaton.has_value()) << automaton.error().message;
    TokenMasks masks(*std::move(automaton), trie_);
    for (int walk = 0; walk < 12; ++walk) {
      GrammarMatcher matcher(masks, 0);
      std::string text;
      for (int step = 0; step < 40; ++step) {
        const Result<const TokenMask*> mask = matcher.mask();
        ASSERT_TRUE(mask.has_value()) << mask.error().message;
        const std::set<int32_t> expected = allowed_by_bytes(matcher);
        ASSERT_EQ(allowed(**mask), expected) << "behind '" << text << "'";
        EXPECT_EQ((*mask)->may_end, matcher.may_end());
        EXPECT_EQ((*mask)->empty(), expected.empty());
        ++compared;
        if (expected.empty()) {
          EXPECT_TRUE(matcher.may_end()) << "nothing can follow '" << text << "'";
          break;
        }
        auto next = expected.begin();
        std::advance(next, static_cast<long>(random() % expected.size()));
        EXPECT_TRUE((*mask)->allows(*next));
        const std::string& piece = pieces_[static_cast<size_t>(*next)];
        ASSERT_TRUE(matcher.take(piece));
        text += piece;
      }
    }
  }
  EXPECT_GT(compared, 2000);
}

TEST_F(Masks, AreTheSameAfterEverythingWasForgotten) {
  const Result<Grammar> grammar = json_object_grammar();
  TokenMasks masks(GrammarAutomaton::create(*grammar, 0).value(), trie_);
  GrammarMatcher matcher(masks, 0);
  ASSERT_TRUE(matcher.take("{\"name\": [1, {\"é\": \"\xC3"));
  const std::set<int32_t> before = allowed(**matcher.mask());
  masks.automaton().forget();
  EXPECT_EQ(allowed_by_bytes(matcher), before);
  EXPECT_TRUE(matcher.take("\xBC\"}]}"));
  EXPECT_TRUE(matcher.may_end());
}

TEST_F(Masks, TakeNothingOfWhatIsNotAllowed) {
  TokenMasks masks(GrammarAutomaton::create(*regex_grammar("ab?c"), 0).value(), trie_);
  GrammarMatcher matcher(masks, 0);
  EXPECT_FALSE(matcher.take("ax"));
  EXPECT_TRUE(matcher.take("a"));
  EXPECT_FALSE(matcher.may_end());
  EXPECT_TRUE(matcher.take("c"));
  EXPECT_TRUE(matcher.may_end());
  EXPECT_TRUE((*matcher.mask())->empty());
}

// Exponentially many states are in this expression, and a mask would visit them.
TEST_F(Masks, RefuseWhatCanBeReadInTooManyWays) {
  std::vector<std::string> pieces;
  std::mt19937 random(1);
  for (int i = 0; i < 60'000; ++i) {
    std::string& piece = pieces.emplace_back();
    for (int c = 0; c < 16; ++c) piece += random() % 2 == 0 ? 'a' : 'b';
  }
  const std::vector<std::string_view> views(pieces.begin(), pieces.end());
  const auto trie = std::make_shared<const TokenTrie>(views);
  TokenMasks masks(GrammarAutomaton::create(*regex_grammar("[ab]*a[ab]{2000}"), 0).value(), trie);
  GrammarMatcher matcher(masks, 0);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(matcher.take(pieces[static_cast<size_t>(i)]));
  const Result<const TokenMask*> mask = matcher.mask();
  ASSERT_FALSE(mask.has_value());
  EXPECT_NE(mask.error().message.find("too many ways"), std::string::npos);
}

}  // namespace
}  // namespace minke
