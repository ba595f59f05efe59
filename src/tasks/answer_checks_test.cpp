#include "tasks/answer_checks.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tasks/sandbox.h"

namespace minke {
namespace {

TEST(CheckChoice, ReadsLetters) {
  for (const char* text : {"B", "b", "(B)", "B.", "B) the second", "B: the second", "Answer: B",
                           "Answer: (b).", "\\boxed{B}", "I think so.\nAnswer: **B**"}) {
    EXPECT_TRUE(check_choice('B', 4, text).correct) << text;
  }
  for (const char* text : {"A", "Answer: D"}) {
    EXPECT_TRUE(check_choice('B', 4, text).well_formed) << text;
    EXPECT_FALSE(check_choice('B', 4, text).correct) << text;
  }
  for (const char* text : {"", "E", "Both", "a dog", "12", "A\nB", "the second"}) {
    EXPECT_FALSE(check_choice('B', 4, text).well_formed) << text;
  }
}

TEST(CheckJsonSchema, HoldsTheAnswerToIt) {
  const char* const schema =
      R"({"type":"object","properties":{"n":{"type":"integer","minimum":3},"s":{"enum":["a","b"]}},)"
      R"("required":["n"]})";
  EXPECT_TRUE(check_json_schema(schema, R"({"n": 5})").correct);
  EXPECT_TRUE(check_json_schema(schema, "Here:\n```json\n{\n  \"n\": 5,\n  \"s\": \"a\"\n}\n```\n")
                  .correct);
  EXPECT_FALSE(check_json_schema(schema, R"({"n": 2})").correct);
  EXPECT_FALSE(check_json_schema(schema, R"({"s": "a"})").correct);
  EXPECT_TRUE(check_json_schema(schema, R"({"n": 2})").well_formed);
  EXPECT_FALSE(check_json_schema(schema, R"({"n": 5)").well_formed);
  EXPECT_FALSE(check_json_schema(schema, "five").well_formed);
}

TEST(CheckGsm8k, TakesTheNumberBehindTheMark) {
  EXPECT_TRUE(check_gsm8k("1234", "so\n#### 1,234").correct);
  EXPECT_TRUE(check_gsm8k("18", "2 * 9\n#### $18\n").correct);
  EXPECT_TRUE(check_gsm8k("18", "#### 3\nno\n#### 18\nthat is it").correct);
  EXPECT_TRUE(check_gsm8k("18", "so\nAnswer: 18").correct);
  EXPECT_FALSE(check_gsm8k("18", "#### 81").correct);
  EXPECT_FALSE(check_gsm8k("18", "it is 18\nI think").well_formed);
}

TEST(LastCodeBlock, IsFound) {
  EXPECT_EQ(last_code_block("x\n```python\na\nb\n```\ny"), "a\nb\n");
  EXPECT_EQ(last_code_block("```\na\n```\n```py\nb\n```"), "b\n");
  EXPECT_EQ(last_code_block("```python\na\n"), "a\n");
  EXPECT_EQ(last_code_block("a\nb"), "a\nb");
  EXPECT_EQ(last_code_block("```"), "");
  EXPECT_EQ(last_code_block(""), "");
}

TEST(CheckProgram, RunsTheTests) {
  if (!sandbox_ready()) GTEST_SKIP() << sandbox_ready().error().message;
  const std::string right = "def f(x): return x + 1\n", wrong = "def f(x): return x\n";
  const std::string tests = "assert f(1) == 2, 'f(1)'\n";
  EXPECT_TRUE(check_program(right + tests, right).correct);
  const Verdict verdict = check_program(wrong + tests, wrong);
  EXPECT_TRUE(verdict.well_formed);
  EXPECT_FALSE(verdict.correct);
  EXPECT_EQ(verdict.why, "AssertionError: f(1)");
  EXPECT_FALSE(check_program(tests, " \n").well_formed);
}

class CheckByCommand : public ::testing::Test {
 protected:
  // A script of the user's.
  std::string script(std::string_view body) {
    const std::string path =
        (std::filesystem::path(::testing::TempDir()) / "minke_check.sh").string();
    std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
    chmod(path.c_str(), 0755);
    return path;
  }
  Verdict check(std::string_view body) {
    return check_by_command(script(body), {.id = "a", .prompt = "p", .expected = "4"}, "4");
  }
};

TEST_F(CheckByCommand, TakesItsScore) {
  EXPECT_TRUE(check("echo 1").correct);
  EXPECT_EQ(check("echo 0.25").score, 0.25);
  EXPECT_FALSE(check("echo 0.25").correct);
  EXPECT_TRUE(check("echo 0.25").well_formed);
  EXPECT_TRUE(check("grep -q '\"expected\":\"4\",\"answer\":\"4\"' && echo 1 || echo 0").correct);
}

TEST_F(CheckByCommand, SaysWhatWentWrong) {
  for (const char* body : {"echo 2", "echo -1", "echo nan", "echo yes", "", "echo 1; exit 3"}) {
    const Verdict verdict = check(body);
    EXPECT_FALSE(verdict.well_formed) << body;
    EXPECT_FALSE(verdict.why.empty()) << body;
  }
  EXPECT_FALSE(check_by_command("/no/such/program", {}, "4").why.empty());
}

}  // namespace
}  // namespace minke
