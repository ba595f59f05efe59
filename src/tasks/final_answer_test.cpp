#include "tasks/final_answer.h"

#include <gtest/gtest.h>

namespace minke {
namespace {

TEST(FinalAnswer, IsFoundAmongTheWordsAroundIt) {
  struct Case {
    const char* text;
    const char* answer;  // null: none
  };
  const Case table[] = {
      {"42", "42"},
      {" 42.\n", "42"},
      {"Answer: 42", "42"},
      {"It is so.\nAnswer: 42\n", "42"},
      {"It is so.\n**Answer:** 42", "42"},
      {"It is so.\n**Answer: 42**\n", "42"},
      {"first\nAnswer: 1\nno,\nAnswer: 2", "2"},
      {"a\nThe answer is 42.", "42"},
      {"a\nFinal answer: `x + 1`", "x + 1"},
      {"so\n$\\boxed{42}$", "42"},
      {"so\n\\boxed{\\frac{1}{2}} and\nthat is that", "\\frac{1}{2}"},
      {"\\boxed{1} then \\boxed{2}", "2"},
      {"\\boxed {7}", "7"},
      {"\\fbox{7}", "7"},
      {"\\boxed{1} then \\boxed{2", "1"},
      {"<answer> 5*3 </answer>\n", "5*3"},
      {"<answer>1</answer> or <answer>2</answer>", "2"},
      {"two\nlines", nullptr},
      {"a\nAnswer:\n", nullptr},
      {"", nullptr},
      {"\n", nullptr},
      {"$5$", "5"},
      {"\"yes\"", "yes"},
  };
  for (const auto& [text, answer] : table) {
    const auto found = final_answer(text);
    EXPECT_EQ(found.has_value(), answer != nullptr) << text;
    if (found && answer) {
      EXPECT_EQ(*found, answer) << text;
    }
  }
}

TEST(CheckNumber, ComparesValues) {
  for (const char* right : {"1234", "1,234", "Answer: 1234", "$1,234.00$", "\\boxed{1234}",
                            "Answer: $1234", "1234.0", "2468/2"}) {
    EXPECT_TRUE(check_number("1234", right).correct) << right;
  }
  EXPECT_TRUE(check_number("-3/4", "Answer: −0.75").correct);
  for (const char* wrong : {"1235", "Answer: 12345", "-1234"}) {
    const Verdict verdict = check_number("1234", wrong);
    EXPECT_TRUE(verdict.well_formed) << wrong;
    EXPECT_FALSE(verdict.correct) << wrong;
  }
  for (const char* malformed : {"", "Answer: many", "so\nmany", "1234 or 1235", "1234, 1235"}) {
    EXPECT_FALSE(check_number("1234", malformed).well_formed) << malformed;
  }
}

TEST(CheckPhrase, LooksAwayFromCase) {
  EXPECT_TRUE(check_phrase("Monday", "Answer: monday.").correct);
  EXPECT_FALSE(check_phrase("Monday", "Answer: Mondays").correct);
  EXPECT_TRUE(check_phrase("Monday", "Answer: Tuesday").well_formed);
}

TEST(CheckMention, FindsAWholePhraseAnywhere) {
  EXPECT_TRUE(check_mention("Paris", "The capital of France is PARIS.").correct);
  EXPECT_TRUE(check_mention("H2O", "h2o").correct);
  EXPECT_FALSE(check_mention("Paris", "Parisian, comparison").correct);
  EXPECT_TRUE(check_mention("Paris", "Parisian, of Paris").correct);
  EXPECT_TRUE(check_mention("Paris", "It is Lyon.").well_formed);
  EXPECT_FALSE(check_mention("Paris", " \n").well_formed);
}

TEST(WorkedAnswer, IsTheWayAndWhatItComesDownTo) {
  const auto of = [](std::string_view text) {
    const auto worked = worked_answer(text);
    return worked ? worked->way + " | " + worked->answer : std::string("none");
  };
  EXPECT_EQ(of("2 and 2 are 4.\n\nAnswer: 4"), "2 and 2 are 4. | Answer: 4");
  EXPECT_EQ(of("So.\n**Answer: $4.**\n"), "So. | Answer: $4");
  EXPECT_EQ(of("It is $\\boxed{\\frac{1}{2}}$."),
            "It is $\\boxed{\\frac{1}{2}}$. | \\boxed{\\frac{1}{2}}");
  EXPECT_EQ(of("As <answer> 4 </answer>"), "As <answer> 4 </answer> | <answer>4</answer>");
  EXPECT_EQ(of("Add them.\n```python\na + b\n```"), "Add them. | ```python\na + b\n```");
  // Nothing led to it, or it is nowhere said.
  EXPECT_EQ(of("Answer: 4"), "none");
  EXPECT_EQ(of("4"), "none");
  EXPECT_EQ(of("```"), "none");
  EXPECT_EQ(of("Two lines\nand no answer"), "none");
}

}  // namespace
}  // namespace minke
