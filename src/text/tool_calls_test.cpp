#include "text/tool_calls.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace minke {
namespace {

struct Found {
  std::string text;
  std::vector<std::string> calls;  // "NAME ARGUMENTS"
  friend bool operator==(const Found&, const Found&) = default;
  friend void PrintTo(const Found& found, std::ostream* out) {
    *out << "text '" << found.text << "'";
    for (const std::string& call : found.calls) *out << ", call " << call;
  }
};

Found found_in_pieces(ToolFormat format, std::string_view answer, size_t piece_bytes,
                      const std::vector<std::string>& names) {
  ToolCallParser parser(format, names);
  Found found;
  const auto take = [&](const std::vector<ToolEvent>& events) {
    for (const ToolEvent& event : events) {
      EXPECT_NE(event.text.empty(), !event.call.has_value());
      found.text += event.text;
      if (event.call) found.calls.push_back(event.call->name + " " + event.call->arguments);
    }
  };
  for (size_t at = 0; at < answer.size(); at += piece_bytes) {
    take(parser.feed(answer.substr(at, piece_bytes)));
  }
  take(parser.finish());
  return found;
}

// The same however the answer is cut.
Found found(ToolFormat format, std::string_view answer,
            const std::vector<std::string>& names = {}) {
  Found whole = found_in_pieces(format, answer, answer.size() + 1, names);
  for (const size_t bytes : {1, 2, 3, 7, 20}) {
    EXPECT_EQ(found_in_pieces(format, answer, bytes, names), whole) << answer << " in " << bytes;
  }
  return whole;
}

const std::string kCallsBegin = "<｜tool▁calls▁begin｜>";
const std::string kCallsEnd = "<｜tool▁calls▁end｜>";
const std::string kCallBegin = "<｜tool▁call▁begin｜>";
const std::string kCallEnd = "<｜tool▁call▁end｜>";
const std::string kSep = "<｜tool▁sep｜>";

std::string fenced(const std::string& name, const std::string& arguments) {
  return kCallBegin + "function" + kSep + name + "\n```json\n" + arguments + "\n```" + kCallEnd;
}
std::string bare(const std::string& name, const std::string& arguments) {
  return kCallBegin + name + kSep + arguments + kCallEnd;
}
std::string hermes(const std::string& json) { return "<tool_call>\n" + json + "\n</tool_call>"; }

TEST(ToolCalls, OfR1) {
  const std::string one = fenced("get_weather", "{\"place\": \"Zürich\"}");
  const std::string two = fenced("search", "{\"q\": \"``` {}\"}");
  EXPECT_EQ(found(ToolFormat::kDeepSeek, kCallsBegin + one + "\n" + two + kCallsEnd),
            (Found{"", {"get_weather {\"place\": \"Zürich\"}", "search {\"q\": \"``` {}\"}"}}));
  EXPECT_EQ(found(ToolFormat::kDeepSeek, "I look. " + kCallsBegin + one + kCallsEnd),
            (Found{"I look. ", {"get_weather {\"place\": \"Zürich\"}"}}));
}

TEST(ToolCalls, OfV31) {
  const std::string both = kCallsBegin + bare("f", "{}") + bare("g", "{\"a\": [1, \"```\"]}");
  EXPECT_EQ(found(ToolFormat::kDeepSeekBare, both + kCallsEnd),
            (Found{"", {"f {}", "g {\"a\": [1, \"```\"]}"}}));
  // Either form is read where the other is expected.
  EXPECT_EQ(found(ToolFormat::kDeepSeek, both + kCallsEnd).calls.size(), 2u);
  EXPECT_EQ(found(ToolFormat::kDeepSeekBare, kCallsBegin + fenced("f", "{}") + kCallsEnd),
            (Found{"", {"f {}"}}));
}

TEST(ToolCalls, MarkersThatModelsLeaveOutAreNotMissed) {
  const std::string one = fenced("f", "{\"a\": 1}");
  const std::string open = one.substr(0, one.size() - kCallEnd.size());
  const Found wanted = {"", {"f {\"a\": 1}"}};
  EXPECT_EQ(found(ToolFormat::kDeepSeek, one), wanted);
  EXPECT_EQ(found(ToolFormat::kDeepSeek, kCallsBegin + one), wanted);
  EXPECT_EQ(found(ToolFormat::kDeepSeek, kCallsBegin + open), wanted);
  EXPECT_EQ(found(ToolFormat::kDeepSeek, kCallsBegin + open + kCallsEnd), wanted);
  EXPECT_EQ(found(ToolFormat::kDeepSeek, kCallsBegin + open + one + kCallsEnd),
            (Found{"", {"f {\"a\": 1}", "f {\"a\": 1}"}}));
}

TEST(ToolCalls, OfHermes) {
  const std::string one =
      hermes("{\"name\": \"f\", \"arguments\": {\"a\": \"ü\", \"b\": [1, 2.5]}}");
  EXPECT_EQ(
      found(ToolFormat::kHermes, "Let me see.\n" + one + "\n" + one + "\n"),
      (Found{"Let me see.\n", {"f {\"a\":\"ü\",\"b\":[1,2.5]}", "f {\"a\":\"ü\",\"b\":[1,2.5]}"}}));
  EXPECT_EQ(found(ToolFormat::kHermes, hermes("{\"name\": \"f\"}")), (Found{"", {"f {}"}}));
  EXPECT_EQ(
      found(ToolFormat::kHermes, hermes("{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}")),
      (Found{"", {"f {\"a\": 1}"}}));
}

TEST(ToolCalls, WhatIsNoCallIsTextAndNothingIsLost) {
  const std::string hermes_answers[] = {
      "plain",
      "a <tool_ca",
      "<tool_call>",
      "a <tool_call>\n{\"name\": \"f\", \"argum",
      hermes("{\"name\": \"f\", \"arguments\": [1]}"),
      hermes("{\"name\": 1}"),
      hermes("not json") + " and more",
      hermes("{\"name\": \"two words\", \"arguments\": {}}"),
  };
  for (const std::string& answer : hermes_answers) {
    EXPECT_EQ(found(ToolFormat::kHermes, answer), (Found{answer, {}}));
  }
  const std::string deepseek_answers[] = {
      kCallsBegin,
      kCallsBegin + " " + kCallsEnd + "\n",
      kCallsBegin + "nothing" + kCallsEnd,
      kCallsBegin + fenced("f", "{\"a\": }") + "\n" + kCallsEnd,
      kCallsBegin + kCallBegin + "f {}" + kCallEnd + kCallsEnd,
      kCallsBegin + fenced("", "{}"),
      kCallsEnd,
      "<｜tool▁call",
  };
  for (const std::string& answer : deepseek_answers) {
    EXPECT_EQ(found(ToolFormat::kDeepSeek, answer), (Found{answer, {}}));
  }
}

TEST(ToolCalls, GoodOnesCountBesideBadOnes) {
  const std::string good = fenced("f", "{}");
  const std::string bad = fenced("g", "{");
  EXPECT_EQ(found(ToolFormat::kDeepSeek, kCallsBegin + good + "\n" + bad + "\n" + good + kCallsEnd),
            (Found{bad + "\n", {"f {}", "f {}"}}));
  EXPECT_EQ(found(ToolFormat::kDeepSeek, kCallsBegin + good + kCallsEnd + "\nSo be it."),
            (Found{"So be it.", {"f {}"}}));
}

// Small models write the object that they have been shown, and no markers.
TEST(ToolCalls, WithoutMarkersAnAnswerThatIsNothingElseIsCalls) {
  const std::vector<std::string> names = {"f", "find", "g"};
  const auto bare_found = [&](std::string_view answer) {
    return found(ToolFormat::kHermes, answer, names);
  };
  const std::string f = "{\"name\": \"f\", \"arguments\": {\"a\": \"}{ \\\" ```\"}}";
  const std::string f_read = "f {\"a\":\"}{ \\\" ```\"}";
  const std::string g = "{\n  \"name\": \"g\",\n  \"parameters\": {}\n}";
  const Found one = {"", {f_read}};
  const Found both = {"", {f_read, "g {}"}};
  EXPECT_EQ(bare_found(f), one);
  EXPECT_EQ(bare_found("\n\n" + f + "\n"), one);
  EXPECT_EQ(bare_found("```json\n" + f + "\n```"), one);
  EXPECT_EQ(bare_found("```\n" + f + "\n```\n"), one);
  EXPECT_EQ(bare_found("```json\n" + f), one);
  EXPECT_EQ(bare_found(f + "\n" + g), both);
  EXPECT_EQ(bare_found("[" + f + ", " + g + "]"), both);
  EXPECT_EQ(bare_found("```json\n[\n" + f + ",\n" + g + "\n]\n```"), both);
  EXPECT_EQ(bare_found("```json\n" + f + "\n```\n```json\n" + g + "\n```"), both);
  EXPECT_EQ(bare_found("{\"name\": \"find\", \"arguments\": \"{\\\"a\\\": 1}\"}"),
            (Found{"", {"find {\"a\": 1}"}}));
  EXPECT_EQ(bare_found(hermes(f)), one) << "markers are read as ever";
}

TEST(ToolCalls, WithoutMarkersWhatMayBeMeantAsTextIsText) {
  const std::vector<std::string> names = {"f"};
  const std::string f = "{\"name\": \"f\", \"arguments\": {}}";
  const std::string answers[] = {
      "So: " + f,
      f + "\nThat is how to call it.",
      f + ",",
      "[" + f,
      "[" + f + "] ]",
      "``" + f,
      "```json\n" + f + "\n``",
      "```python\nprint(1)\n```",
      "{\"name\": \"g\", \"arguments\": {}}",
      "{\"name\": \"f\"}",
      "{\"name\": \"f\", \"arguments\": [1]}",
      "{\"name\": \"f\", \"arguments\": {}, \"why\": 1}",
      "{\"name\": \"f\", \"arguments\": {\"a\": ",
      "{\"name\": \"f\", \"arguments\": {]}",
      "{\"city\": \"Paris\"}",
      "{",
      "```",
      " \n",
  };
  for (const std::string& answer : answers) {
    EXPECT_EQ(found(ToolFormat::kHermes, answer, names), (Found{answer, {}}));
  }
  EXPECT_EQ(found(ToolFormat::kHermes, f), (Found{f, {}})) << "no tools were given";
}

// Text comes as soon as it can be no call any more.
TEST(ToolCalls, WithoutMarkersOnlyWhatBeginsLikeACallIsKeptBack) {
  ToolCallParser parser(ToolFormat::kHermes, {"f"});
  EXPECT_TRUE(parser.feed("```json\n{\"na").empty());
  const auto events = parser.feed("tion\": \"fr\"");
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].text, "```json\n{\"nation\": \"fr\"");
  EXPECT_EQ(parser.feed("}").size(), 1u);
}

TEST(ToolCalls, OtherFormatsAreText) {
  const std::string answer = hermes("{\"name\": \"f\"}") + kCallsBegin + fenced("f", "{}");
  EXPECT_EQ(found(ToolFormat::kNone, answer), (Found{answer, {}}));
}

}  // namespace
}  // namespace minke
