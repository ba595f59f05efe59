// Regular expressions and JSON schemas as grammars: tables of what they take and what they refuse.
#include "text/grammar.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "text/grammar_automaton.h"
#include "text/grammar_json.h"
#include "text/grammar_regex.h"
#include "text/grammar_schema.h"
#include "text/unicode.h"

namespace minke {
namespace {

Result<GrammarAutomaton> automaton_of(const Result<Grammar>& grammar) {
  if (!grammar) return std::unexpected(grammar.error());
  return GrammarAutomaton::create(*grammar, 0);
}

struct Case {
  std::string_view source;
  std::vector<std::string_view> yes;
  std::vector<std::string_view> no;
};

void check(const Case& one, Result<GrammarAutomaton> automaton) {
  ASSERT_TRUE(automaton.has_value()) << one.source << ": " << automaton.error().message;
  for (const std::string_view text : one.yes) {
    EXPECT_TRUE(automaton->matches(text)) << one.source << " should take " << text;
  }
  for (const std::string_view text : one.no) {
    EXPECT_FALSE(automaton->matches(text)) << one.source << " should refuse " << text;
  }
}

TEST(CharSet, KeepsRangesApartAndLeavesSurrogatesOut) {
  CharSet set = {{'a', 'c'}, {'x', 'z'}, {'d', 'f'}};
  EXPECT_EQ(set.ranges(), (std::vector<CharSet::Range>{{'a', 'f'}, {'x', 'z'}}));
  set.add('e', 'y');
  EXPECT_EQ(set.ranges(), (std::vector<CharSet::Range>{{'a', 'z'}}));
  EXPECT_EQ(CharSet::all().ranges(),
            (std::vector<CharSet::Range>{{0, 0xD7FF}, {0xE000, 0x10FFFF}}));
  EXPECT_EQ(set.complement().complement().ranges(), set.ranges());
  EXPECT_TRUE(CharSet::all().complement().empty());
  EXPECT_EQ(set.intersection({{'0', 'b'}}).ranges(), (std::vector<CharSet::Range>{{'a', 'b'}}));
}

TEST(Utf8Sequences, HoldExactlyTheCharactersOfTheRange) {
  const std::vector<uint32_t> edges = {0,       0x41,    0x7F,    0x80,    0x7FF,   0x800,
                                       0xFFF,   0x1000,  0xD7FF,  0xE000,  0xFFFD,  0xFFFF,
                                       0x10000, 0x1F600, 0x3FFFF, 0x40000, 0xFFFFF, 0x10FFFF};
  for (const uint32_t low : edges) {
    for (const uint32_t high : edges) {
      if (low > high || (low <= 0xD7FF && high >= 0xE000)) continue;
      const auto sequences = utf8_sequences({low, high});
      for (const uint32_t code : edges) {
        std::string bytes;
        append_utf8(bytes, code);
        int found = 0;
        for (const auto& sequence : sequences) {
          bool holds = sequence.size() == bytes.size();
          for (size_t i = 0; holds && i < bytes.size(); ++i) {
            const auto byte = static_cast<uint8_t>(bytes[i]);
            holds = sequence[i].low <= byte && byte <= sequence[i].high;
          }
          found += holds ? 1 : 0;
        }
        EXPECT_EQ(found, code >= low && code <= high ? 1 : 0) << low << " " << high << " " << code;
      }
    }
  }
}

TEST(Regex, TakesAndRefuses) {
  const std::vector<Case> cases = {
      {"", {""}, {"a"}},
      {"abc", {"abc"}, {"", "ab", "abcd", "xabc"}},
      {"^abc$", {"abc"}, {"ab", "abcd"}},
      {"a|bc|", {"a", "bc", ""}, {"b", "abc"}},
      {"a*b+c?", {"b", "aabbc", "abc"}, {"", "ac", "abcc"}},
      {"(ab){2,3}", {"abab", "ababab"}, {"ab", "abababab", "aba"}},
      {"a{3}", {"aaa"}, {"aa", "aaaa"}},
      {"a{2,}", {"aa", "aaaaaa"}, {"a", ""}},
      {"a{0}", {""}, {"a"}},
      {"(?:a|b)*?c", {"c", "abac"}, {"ab"}},
      {"(?<year>\\d{4})-\\d\\d", {"2024-05"}, {"2024-5", "x024-05"}},
      {"[a-c_x-]+", {"abc", "-", "_x"}, {"d", ""}},
      {"[^a-c]", {"d", "é", "\n", "😀"}, {"a", "", "dd", "\xC3"}},
      {"[\\]\\-\\\\]", {"]", "-", "\\"}, {"a"}},
      {".", {"a", "é", "漢", "😀"}, {"", "\n", "\r", "ab", "\xFF"}},
      {"\\w\\W\\d\\D\\s\\S", {"a-1x b", "_ 9ä\tc"}, {"a-1x_b", "--1x b"}},
      {"\\x41\\u00e9\\u{1F600}\\t\\.\\/", {"Aé😀\t./"}, {"Aé😀\tx/"}},
      {"\\ud83d\\ude00", {"😀"}, {"x"}},
      {"[à-ÿ]{2}", {"éü"}, {"e", "éa"}},
      {"((a|b)(c|d)){2}", {"acbd", "bcbc"}, {"ac", "acb"}},
      {"(a*)*b", {"b", "aaab"}, {"a"}},
      {"(a|b|ab)*", {"", "abba"}, {"c"}},
      {"x{0,3}y{0,3}", {"", "xxyyy", "y"}, {"xxxx", "yx"}},
  };
  for (const Case& one : cases) check(one, automaton_of(regex_grammar(one.source)));
}

TEST(Regex, SearchesUnlessAnchored) {
  const std::vector<Case> cases = {
      {"b", {"b", "abc", "xx\nb"}, {"", "ac"}},
      {"^b", {"b", "bcd"}, {"ab"}},
      {"b$", {"b", "ab"}, {"bc"}},
      {"^a|b$", {"ax", "xb", "ab"}, {"xa", "bx"}},
      {"^(a|b)$", {"a", "b"}, {"ab", "xa"}},
  };
  for (const Case& one : cases) {
    Grammar grammar;
    const Grammar::Rule root = grammar.add_rule("root");
    const Result<Regex> regex = add_regex(grammar, one.source, {.is_search = true});
    ASSERT_TRUE(regex.has_value()) << regex.error().message;
    grammar.define(root, regex->expr);
    check(one, GrammarAutomaton::create(grammar, root));
  }
}

TEST(Regex, CountsTheCharactersOfAMatch) {
  struct Counts {
    std::string_view pattern;
    int64_t min, max;
  };
  for (const Counts& one : {Counts{"", 0, 0},
                            {"abc", 3, 3},
                            {"a|bcd", 1, 3},
                            {"a{2,5}", 2, 5},
                            {"(ab){3,}", 6, -1},
                            {"a?b*", 0, -1},
                            {"[é漢]{4}", 4, 4},
                            {"(a{0}b){2}", 2, 2},
                            {"(){1,9}", 0, 0}}) {
    Grammar grammar;
    const Result<Regex> regex = add_regex(grammar, one.pattern, {});
    ASSERT_TRUE(regex.has_value()) << regex.error().message;
    EXPECT_EQ(regex->characters_min, one.min) << one.pattern;
    EXPECT_EQ(regex->characters_max, one.max) << one.pattern;
  }
}

TEST(Regex, SaysWhatItDoesNotTake) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"(a", "character 3: a ')' is missing"},
      {"a)", "character 2: there is no group"},
      {"[a", "a ']' is missing"},
      {"*a", "character 1: there is nothing that this count"},
      {"a**", "character 3: there is nothing that this count"},
      {"a{1000000}", "character 2: counts are at most 10000"},
      {"a{99999999999999999999}", "counts are at most 10000"},
      {"a{3,2}", "a count from 3 to 2 is empty"},
      {"a{x}", "a count must be {m}, {m,} or {m,n}"},
      {"(?=a)", "look-around and flags are not supported"},
      {"(?<=a)b", "look-around"},
      {"(a)\\1", "\\1 is not supported"},
      {"\\bword", "\\b is not supported"},
      {"\\p{L}", "\\p is not supported"},
      {"a^b", "^ and $ may stand only"},
      {"[z-a]", "a range runs backwards"},
      {"[\\d-z]", "a range runs from one character"},
      {"\\u{110000}", "U+110000 is no character"},
      {"\\ud800", "half a surrogate pair"},
      {"a\\", "a '\\' is the last character"},
      {"\xFF", "not UTF-8"},
      {"[]", "has no finite value"},
      {std::string(200, '(') + std::string(200, ')'), "nested more than 100 deep"},
      {"(((a{9999}){9999}){9999}b{9999}){9999}[ab]{9999}(c{9999}|d{9999})", ""},
  };
  for (const auto& [pattern, message] : cases) {
    const Result<GrammarAutomaton> automaton = automaton_of(regex_grammar(pattern));
    if (message.empty()) continue;  // counts add up: quick, whatever comes of it
    ASSERT_FALSE(automaton.has_value()) << pattern;
    EXPECT_NE(automaton.error().message.find(message), std::string::npos)
        << pattern << ": " << automaton.error().message;
    EXPECT_EQ(automaton.error().kind, ErrorKind::kUsage);
  }
}

TEST(JsonGrammar, AnyObject) {
  check({"any object",
         {"{}", "{ }", "{\"a\":1}", "{\"a\": 1, \"b\":[true,false,null,\"x\"]}",
          "{\n  \"a\": {\n    \"b\": -1.5e+10\n  }\n}",
          "{\"\\u00e9\\n\\\"\": \"\\ud83d\\ude00é😀\"}", "{\"a\":[[],[[ ]],{}]}"},
         {"",
          "[]",
          "1",
          "{",
          "{\"a\"}",
          "{\"a\":}",
          "{\"a\":1,}",
          "{a:1}",
          "{\"a\":01}",
          "{\"a\":\"\\ud800\"}",
          "{\"a\":\"\n\"}",
          "{\"a\":1}}",
          "{\"a\":1.}",
          "{\"a\":+1}",
          "{\"a\":1e999}",
          "{\"a\":\"\\x\"}",
          "{\"a\" :1}",
          "{\"a\":tru}",
          "{\"a\":\"\xFF\"}",
          "{  \"a\":1}"}},
        automaton_of(json_object_grammar()));
}

TEST(JsonGrammar, NestsAsDeepAsReadersRead) {
  Result<GrammarAutomaton> automaton = automaton_of(json_object_grammar());
  ASSERT_TRUE(automaton.has_value());
  const auto nested = [](int depth) {
    return "{\"a\":" + std::string(static_cast<size_t>(depth), '[') +
           std::string(static_cast<size_t>(depth), ']') + "}";
  };
  EXPECT_TRUE(automaton->matches(nested(60)));
  EXPECT_FALSE(automaton->matches(nested(101)));
}

}  // namespace
}  // namespace minke
