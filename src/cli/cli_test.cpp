#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/answer_view.h"
#include "cli/command.h"
#include "cli/help.h"
#include "cli/option.h"
#include "cli/parse.h"
#include "cli/roofline.h"
#include "cli/text_util.h"

namespace minke::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Parsed {
  std::optional<std::string> first, second;
  std::vector<std::string> stop;
  std::optional<double> temperature;
  std::optional<int64_t> count;
  std::optional<uint64_t> memory;
  bool flag = false;
  OptionList options;

  Parsed() {
    options.positional("FIRST", ValueKind::kText, "", &first);
    options.positional("SECOND", ValueKind::kText, "", &second);
    options.texts("--stop", "TEXT", "", &stop);
    options.number("--temp", "", {0, 5}, &temperature);
    options.integer("--count", "", {1, 10}, &count);
    options.size("--memory", "", {1024, uint64_t{1} << 40}, &memory);
    options.flag("--flag", "", &flag);
  }
  std::string error(const std::vector<std::string>& words) {
    const Result<ParsedLine> line = parse_words(words, options);
    if (line) return "";
    EXPECT_EQ(line.error().kind, ErrorKind::kUsage);
    return line.error().message;
  }
};

TEST(Parse, ValuesArriveByteForByte) {
  Parsed p;
  EXPECT_EQ(p.error({"[a, b]", "--stop", "--flag", "--stop=", "{x}", "--temp=0.5"}), "");
  EXPECT_EQ(p.first, "[a, b]");
  EXPECT_EQ(p.second, "{x}");
  EXPECT_THAT(p.stop, ElementsAre("--flag", ""));
  EXPECT_EQ(p.temperature, 0.5);
  EXPECT_FALSE(p.flag);
}

TEST(Parse, ANegativeNumberAndWhatFollowsTwoDashesAreArguments) {
  Parsed p;
  EXPECT_EQ(p.error({"-1", "--", "--flag"}), "");
  EXPECT_EQ(p.first, "-1");
  EXPECT_EQ(p.second, "--flag");
  EXPECT_FALSE(p.flag);
}

TEST(Parse, SaysWhatIsWrongAndWhatWasMeant) {
  EXPECT_EQ(Parsed().error({"--tmep", "1"}), "unknown option --tmep; did you mean --temp?");
  EXPECT_EQ(Parsed().error({"--temp", "6"}), "--temp must be a number from 0 to 5, got '6'");
  EXPECT_EQ(Parsed().error({"--temp", "nan"}), "--temp must be a number from 0 to 5, got 'nan'");
  EXPECT_EQ(Parsed().error({"--temp", "0x1"}), "--temp must be a number from 0 to 5, got '0x1'");
  EXPECT_EQ(Parsed().error({"--count", "2.5"}),
            "--count must be a whole number from 1 to 10, got '2.5'");
  EXPECT_EQ(Parsed().error({"--count", "99999999999999999999"}),
            "--count must be a whole number from 1 to 10, got '99999999999999999999'");
  EXPECT_EQ(Parsed().error({"--count"}), "--count needs a value: --count N, from 1 to 10");
  EXPECT_EQ(Parsed().error({"--flag=yes"}), "--flag takes no value, got 'yes'");
  EXPECT_EQ(Parsed().error({"--count", "1", "--count=2"}),
            "--count is given twice ('1' and '2'); give it once");
  EXPECT_THAT(Parsed().error({"a", "b", "c"}), HasSubstr("unexpected argument 'c'"));
}

TEST(Parse, HelpWinsOverEverythingElse) {
  Parsed p;
  const Result<ParsedLine> line = parse_words({"--nonsense", "--help", "--json"}, p.options);
  ASSERT_TRUE(line);
  EXPECT_TRUE(line->help);
  EXPECT_TRUE(line->json);
}

TEST(Sizes, UnitsAreThoseOfMemoryAndOfDisks) {
  EXPECT_EQ(*parse_size("4G"), uint64_t{4} << 30);
  EXPECT_EQ(*parse_size("1.5GiB"), uint64_t{3} << 29);
  EXPECT_EQ(*parse_size("800m"), uint64_t{800} << 20);
  EXPECT_EQ(*parse_size("2GB"), 2'000'000'000U);
  EXPECT_EQ(*parse_size("123"), 123U);
  for (const char* bad : {"", "G", "4X", "-1", "1e30T", "99999999999T", "4 G", "1..5G", "inf"}) {
    EXPECT_FALSE(parse_size(bad)) << bad;
  }
}

TEST(Text, MessagesShowNothingThatSteersATerminal) {
  EXPECT_EQ(printable("a\033[31m\n\xff\u202e"
                      "é"),
            "a\\u001b[31m\\n\\xff\\u202eé");
  EXPECT_EQ(printable("äöüß", 3), "äöü…");
}

TEST(Text, CharactersAreCountedByTheirColumns) {
  EXPECT_EQ(text_width("abc"), 3);
  EXPECT_EQ(text_width("日本"), 4);
  EXPECT_EQ(text_width("e\u0301"), 1);
  EXPECT_EQ(utf8_length("\xe6\x97"), 0U);
  EXPECT_EQ(utf8_length("\xe6z"), 1U);
  EXPECT_EQ(utf8_length("\xf0\x9f\x98\x80!"), 4U);
}

TEST(Text, LinesAreBrokenBetweenWordsAndKeepTheirIndent) {
  EXPECT_EQ(wrapped_lines("one two three\n  four five six\n\nincomprehensible x\n", 10),
            "one two\nthree\n  four\n  five six\n\nincomprehensible\nx\n");
  EXPECT_EQ(wrapped_lines("no newline at its end", 80), "no newline at its end");
  EXPECT_EQ(wrapped_lines("", 10), "");
}

TEST(Text, SizesAndDurationsReadWell) {
  EXPECT_EQ(with_commas(-1234567), "-1,234,567");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(binary_bytes(uint64_t{3} << 29), "1.5 GiB");
  EXPECT_EQ(duration(0.123), "0.12 s");
  EXPECT_EQ(duration(59.97), "1 min 00 s");
  EXPECT_EQ(duration(3725), "1 h 02 min");
}

// A terminal of `width` columns that knows the two sequences that the wrapper uses.
std::vector<std::string> on_screen(std::string_view written, size_t width) {
  std::vector<std::string> lines(1);
  while (!written.empty()) {
    if (written[0] == '\n') {
      lines.emplace_back();
    } else if (written[0] == '\033') {
      const size_t end = written.find_first_of("DK");
      if (written[end] == 'D') {
        lines.back().resize(lines.back().size() - std::stoul(std::string(written.substr(2))));
      }
      written.remove_prefix(end);
    } else {
      lines.back() += written[0];
      EXPECT_LT(lines.back().size(), width) << lines.back();
    }
    written.remove_prefix(1);
  }
  return lines;
}

TEST(WordWrapper, TakesBackAWordThatDoesNotFit) {
  for (const size_t step : {1U, 2U, 5U, 100U}) {
    WordWrapper wrapper(12);
    const std::string text = "one two three four incomprehensibilities\nx";
    std::string written;
    for (size_t at = 0; at < text.size(); at += step)
      written += wrapper.feed(text.substr(at, step));
    EXPECT_THAT(on_screen(written, 12),
                ElementsAre("one two ", "three four ", "incomprehen", "sibilities", "x"));
  }
}

TEST(WordWrapper, LeavesFencedCodeAloneAndControlCharactersOut) {
  WordWrapper wrapper(10);
  EXPECT_EQ(wrapper.feed("```c\nint main(void) { }\n```\n"), "```c\nint main(void) { }\n```\n");
  EXPECT_EQ(wrapper.feed("a\033[31mb\x07\xc2\x9b"), "a[31mb");
}

TEST(Verbs, EachHasWhatItsHelpNeeds) {
  for (const MakeCommand make : all_commands()) {
    const std::unique_ptr<Command> command = make();
    const CommandText text = command->text();
    OptionList options;
    command->declare(&options);
    EXPECT_FALSE(text.examples.empty()) << text.name;
    EXPECT_NE(options.find("--json"), nullptr) << text.name;
    EXPECT_FALSE(text.summary.ends_with('.')) << text.name;
    EXPECT_TRUE(text.description.ends_with('.')) << text.name;
    for (const Option& option : options.all()) {
      EXPECT_FALSE(option.help.empty()) << text.name << " " << option.name;
      EXPECT_FALSE(option.help.ends_with('.')) << text.name << " " << option.name;
    }
    for (const Example& example : text.examples) {
      EXPECT_THAT(example.command, HasSubstr("minke " + text.name));
    }
  }
}

TEST(Roofline, ADecodeStepIsBoundByMemoryAndALargeBatchByArithmetic) {
  const ModelCost cost{.layer_bytes = 800'000'000,
                       .head_bytes = 200'000'000,
                       .layer_int8 = 2.6e9,
                       .head_int8 = 0.4e9,
                       .attention_bf16 = 172'032,
                       .kv_token_bytes = 28'672};
  const Peaks peaks{50e9, 2000e9, 900e9, 500e9};
  const Limit one = least_time(decode_work(cost, 1, 0), peaks);
  EXPECT_TRUE(one.memory_bound);
  EXPECT_DOUBLE_EQ(one.seconds, 0.02);
  const Limit at_4096 = least_time(decode_work(cost, 1, 4096), peaks);
  EXPECT_NEAR(at_4096.seconds, 0.02 + 4096 * 28672 / 50e9, 1e-12);
  const Limit many = least_time(decode_work(cost, 32, 0), peaks);
  EXPECT_FALSE(many.memory_bound);
  EXPECT_NEAR(many.seconds, 32 * 3.0e9 / 2000e9, 1e-9);
  const Limit prompt = least_time(prefill_work(cost, 512, 512), peaks);
  EXPECT_FALSE(prompt.memory_bound);
  EXPECT_NEAR(prompt.seconds, (512 * 2.6e9 + 0.4e9) / 2000e9 + 512.0 * 513 / 2 * 172032 / 900e9,
              1e-9);
}

}  // namespace
}  // namespace minke::cli
