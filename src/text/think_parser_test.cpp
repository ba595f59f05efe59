#include "text/think_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace minke {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr ThinkKind kReasoning = ThinkKind::kReasoning;
constexpr ThinkKind kContent = ThinkKind::kContent;
constexpr ThinkKind kMarker = ThinkKind::kMarker;

void append(std::vector<ThinkEvent>& all, const std::vector<ThinkEvent>& more) {
  for (const ThinkEvent& event : more) {
    EXPECT_FALSE(event.text.empty());
    if (!all.empty() && all.back().kind == event.kind) {
      all.back().text += event.text;
    } else {
      all.push_back(event);
    }
  }
}

// The events of the text fed in pieces of `size` bytes, neighbours of one kind joined.
std::vector<ThinkEvent> parse(std::string_view text, bool starts_inside, size_t size) {
  ThinkParser parser(starts_inside);
  std::vector<ThinkEvent> all;
  for (size_t at = 0; at < text.size(); at += size) append(all, parser.feed(text.substr(at, size)));
  append(all, parser.finish());
  return all;
}

TEST(ThinkParser, SplitsAnAnswerCutAnywhere) {
  const std::string text = "<think>\nHm.\n</think>\n\nHello.\n";
  for (size_t size = 1; size <= text.size(); ++size)
    EXPECT_THAT(parse(text, false, size),
                ElementsAre(ThinkEvent{kMarker, "<think>\n"}, ThinkEvent{kReasoning, "Hm.\n"},
                            ThinkEvent{kMarker, "</think>\n\n"}, ThinkEvent{kContent, "Hello.\n"}))
        << size;
}

TEST(ThinkParser, StartsInsideWhereThePromptOpenedTheThinking) {
  EXPECT_THAT(parse("\nHm.</think>\n\nHello", true, 3),
              ElementsAre(ThinkEvent{kMarker, "\n"}, ThinkEvent{kReasoning, "Hm."},
                          ThinkEvent{kMarker, "</think>\n\n"}, ThinkEvent{kContent, "Hello"}));
}

TEST(ThinkParser, LeavesAnAnswerWithoutTagsAlone) {
  EXPECT_THAT(parse("\n\n a < b <thin </think> c <", false, 2),
              ElementsAre(ThinkEvent{kContent, "\n\n a < b <thin </think> c <"}));
}

TEST(ThinkParser, TakesSeveralThoughtsInOneTurn) {
  EXPECT_THAT(parse("<think>a</think>b<think>c</think>\r\n\r\nd", false, 1),
              ElementsAre(ThinkEvent{kMarker, "<think>"}, ThinkEvent{kReasoning, "a"},
                          ThinkEvent{kMarker, "</think>"}, ThinkEvent{kContent, "b"},
                          ThinkEvent{kMarker, "<think>"}, ThinkEvent{kReasoning, "c"},
                          ThinkEvent{kMarker, "</think>\r\n\r\n"}, ThinkEvent{kContent, "d"}));
}

TEST(ThinkParser, AnOpeningTagInsideThinkingIsThinking) {
  EXPECT_THAT(parse("<think>a <think> b</think>c", false, 4),
              ElementsAre(ThinkEvent{kMarker, "<think>"}, ThinkEvent{kReasoning, "a <think> b"},
                          ThinkEvent{kMarker, "</think>"}, ThinkEvent{kContent, "c"}));
}

TEST(ThinkParser, EmptyThinkingLeavesNoReasoning) {
  const SplitAnswer split = split_thinking("<think>\n\n</think>\n\nHello", false);
  EXPECT_EQ(split.reasoning, "");
  EXPECT_EQ(split.content, "Hello");
  EXPECT_FALSE(split.is_cut);
}

TEST(ThinkParser, SaysThatTheThinkingWasCut) {
  const SplitAnswer split = split_thinking("<think>\nI wonder </thi", false);
  EXPECT_EQ(split.reasoning, "I wonder </thi");
  EXPECT_EQ(split.content, "");
  EXPECT_TRUE(split.is_cut);
}

TEST(ThinkParser, KeepsBackNoMoreThanATagCouldBegin) {
  ThinkParser parser;
  EXPECT_THAT(parser.feed("Hello <"), ElementsAre(ThinkEvent{kContent, "Hello "}));
  EXPECT_THAT(parser.feed("thin"), IsEmpty());
  EXPECT_THAT(parser.feed("g"), ElementsAre(ThinkEvent{kContent, "<thing"}));
  EXPECT_THAT(parser.feed("<<think"), ElementsAre(ThinkEvent{kContent, "<"}));
  EXPECT_THAT(parser.finish(), ElementsAre(ThinkEvent{kContent, "<think"}));
  EXPECT_THAT(parser.finish(), IsEmpty());
}

TEST(ThinkParser, SendsNewlinesBeforeTheClosingTagAtOnce) {
  ThinkParser parser(true);
  EXPECT_THAT(parser.feed("a\n\n"), ElementsAre(ThinkEvent{kReasoning, "a\n\n"}));
  EXPECT_THAT(parser.feed("</think>"), ElementsAre(ThinkEvent{kMarker, "</think>"}));
  EXPECT_FALSE(parser.is_inside());
}

TEST(ThinkParser, MayThinkOnlyBeforeTheFirstContent) {
  const auto parse_first = [](std::string_view answer, bool starts_inside, size_t piece) {
    auto parser = ThinkParser::create({.starts_inside = starts_inside, .only_first = true});
    std::string reasoning;
    std::string content;
    const auto note = [&](const std::vector<ThinkEvent>& events) {
      for (const ThinkEvent& event : events) {
        if (event.kind == kReasoning) reasoning += event.text;
        if (event.kind == kContent) content += event.text;
      }
    };
    for (size_t at = 0; at < answer.size(); at += piece)
      note(parser->feed(answer.substr(at, piece)));
    note(parser->finish());
    return reasoning + "|" + content;
  };
  for (const size_t piece : {1, 2, 3, 50}) {
    EXPECT_EQ(parse_first("a</think>\n\n{<think>\n}</think>", true, piece),
              "a|{<think>\n}</think>");
    EXPECT_EQ(parse_first("<think>a</think>\n<think>", false, piece), "a|<think>");
    EXPECT_EQ(parse_first("<tag><think>a</think>", false, piece), "|<tag><think>a</think>");
    EXPECT_EQ(parse_first("<thin", false, piece), "|<thin");
  }
}

TEST(ThinkParser, TakesOtherTags) {
  auto parser = ThinkParser::create({.open = "[THINK]", .close = "[/THINK]"});
  ASSERT_TRUE(parser.has_value());
  EXPECT_THAT(parser->feed("[THINK]a[/THINK]b"),
              ElementsAre(ThinkEvent{kMarker, "[THINK]"}, ThinkEvent{kReasoning, "a"},
                          ThinkEvent{kMarker, "[/THINK]"}, ThinkEvent{kContent, "b"}));
  EXPECT_FALSE(ThinkParser::create({.open = ""}).has_value());
  EXPECT_FALSE(ThinkParser::create({.close = std::string(65, 'x')}).has_value());
}

}  // namespace
}  // namespace minke
