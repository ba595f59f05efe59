#include "tasks/file_tasks.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tasks/registry.h"
#include "tasks/sandbox.h"

namespace minke {
namespace {

// A folder with small data sets in the public ones' formats.
class FileTasks : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              ("minke_data_" +
               std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::create_directories(folder_ / "math");
    std::filesystem::create_directories(folder_ / "code");
    setenv("MINKE_DATA", folder_.c_str(), 1);
  }
  void TearDown() override {
    unsetenv("MINKE_DATA");
    std::filesystem::remove_all(folder_);
  }
  std::string write(const std::string& name, std::string_view text) {
    const std::string path = (folder_ / name).string();
    std::ofstream(path) << text;
    return path;
  }
  static std::shared_ptr<const Task> task(std::string_view spec) {
    auto found = find_task(spec);
    EXPECT_TRUE(found.has_value()) << (found ? "" : found.error().message);
    return *found;
  }
  static std::string error(std::string_view spec) {
    const auto found = find_task(spec);
    return found ? "" : found.error().message;
  }
  std::filesystem::path folder_;
};

TEST_F(FileTasks, Gsm8k) {
  write("math/gsm8k_test.jsonl",
        R"({"question": "How many?", "answer": "2 + 2 = <<2+2=4>>4\n#### 1,004"})"
        "\n");
  write("math/gsm8k_train.jsonl", R"({"question": "a", "answer": "#### 1"})"
                                  "\n"
                                  R"({"question": "b", "answer": "#### 2"})"
                                  "\n");
  const auto gsm8k = task("gsm8k");
  EXPECT_EQ(gsm8k->size(Split::kTest), 1u);
  EXPECT_EQ(gsm8k->size(Split::kTrain), 2u);
  const Problem problem = gsm8k->problem(Split::kTest, 0);
  EXPECT_EQ(problem.prompt, "How many?\nEnd with a line \"Answer: NUMBER\".");
  EXPECT_EQ(problem.id, "gsm8k/test/0");
  EXPECT_EQ(problem.expected, "1004");
  EXPECT_TRUE(gsm8k->check(problem, "Answer: 1004").correct);
  EXPECT_FALSE(gsm8k->check(gsm8k->problem(Split::kTrain, 1), "Answer: 1").correct);
  EXPECT_FALSE(gsm8k->solve(problem, 0).has_value());
}

TEST_F(FileTasks, MathInItsTwoForms) {
  write("math/math500.jsonl", R"({"problem": "Half?", "answer": "\\frac{1}{2}", "level": 1})");
  write("math/math_train.json", R"([{"problem": "Who knows?", "answer": null},
                                     {"problem": "Two?", "answer": "2", "difficulty": 5.0}])");
  write("math/aime24.json", R"([{"problem": "Three?", "answer": 3}])");
  const auto math = task("math500");
  EXPECT_TRUE(math->check(math->problem(Split::kTest, 0), "\\boxed{0.5}").correct);
  EXPECT_TRUE(math->check(math->problem(Split::kTrain, 0), "\\boxed{2}").correct);
  const auto aime = task("aime24");
  EXPECT_EQ(aime->size(Split::kTrain), 0u);
  EXPECT_TRUE(aime->check(aime->problem(Split::kTest, 0), "\\boxed{003}").correct);
}

TEST_F(FileTasks, Code) {
  if (!sandbox_ready()) GTEST_SKIP() << sandbox_ready().error().message;
  write(
      "code/humaneval.jsonl",
      R"({"prompt": "import math\n\ndef two(x):\n    \"\"\"Twice.\"\"\"\n", "entry_point": "two",)"
      R"( "test": "def check(f):\n    assert f(2) == 4\n"})");
  write(
      "code/mbpp.jsonl",
      R"({"text": "Twice.", "task_id": 11, "test_setup_code": "", "test_list": ["assert two(2) == 4"]})"
      "\n"
      R"({"text": "Thrice.", "task_id": 601, "test_setup_code": "", "test_list": ["assert f(2) == 6"]})"
      "\n"
      R"({"text": "A prompt.", "task_id": 1, "test_setup_code": "", "test_list": []})");
  const auto humaneval = task("humaneval");
  const Problem problem = humaneval->problem(Split::kTest, 0);
  EXPECT_TRUE(humaneval->check(problem, "```python\ndef two(x):\n    return 2 * x\n```").correct);
  EXPECT_TRUE(humaneval->check(problem, "```python\n    return math.floor(2 * x)\n```").correct);
  EXPECT_FALSE(humaneval->check(problem, "```python\ndef two(x):\n    return x\n```").correct);
  EXPECT_FALSE(humaneval->check(problem, "raise SystemExit(0)").correct);
  const auto mbpp = task("mbpp");
  EXPECT_EQ(mbpp->size(Split::kTest), 1u);
  EXPECT_EQ(mbpp->size(Split::kTrain), 1u);
  EXPECT_TRUE(
      mbpp->check(mbpp->problem(Split::kTest, 0), "```\ndef two(x): return x + x\n```").correct);
}

TEST_F(FileTasks, Choices) {
  const std::string path =
      write("c.jsonl", R"({"question": "Which?", "choices": ["x", "y"], "answer": "B"})"
                       "\n"
                       R"({"question": "Which?", "choices": ["x", "y"], "answer": 0})");
  const auto choice = task("choice:test=" + path);
  ASSERT_EQ(choice->size(Split::kTest), 2u);
  const Problem problem = choice->problem(Split::kTest, 0);
  EXPECT_EQ(problem.prompt, "Which?\n\nA) x\nB) y\n\nEnd with a line \"Answer: LETTER\".");
  EXPECT_TRUE(choice->check(problem, "Answer: B").correct);
  EXPECT_FALSE(choice->check(problem, "Answer: C").well_formed);
  EXPECT_TRUE(choice->check(choice->problem(Split::kTest, 1), "(A)").correct);
}

TEST_F(FileTasks, OnesOwn) {
  const std::string path =
      write("own.jsonl", R"({"prompt": "2 + 2?", "answer": 4})"
                         "\n\n"
                         R"({"prompt": "Half?", "answer": "\\frac12", "check": "math"})"
                         "\n"
                         R"({"prompt": "22?", "answer": "3 5 7 = 22", "check": "countdown"})"
                         "\n"
                         R"({"prompt": "JSON?", "answer": {"type": "integer"}, "check": "json"})"
                         "\n"
                         R"({"prompt": "Mood?", "answer": "good", "check": "phrase"})"
                         "\n"
                         R"({"prompt": "Free?", "answer": "", "check": "command"})"
                         "\n");
  const auto own = task("jsonl:command=true,test=" + path);
  ASSERT_EQ(own->size(Split::kTest), 6u);
  const char* answers[] = {"4", "0.5", "3*5+7", "17", "Good."};
  for (uint64_t i = 0; i < 5; ++i) {
    EXPECT_TRUE(own->check(own->problem(Split::kTest, i), answers[i]).correct) << i;
    EXPECT_FALSE(own->check(own->problem(Split::kTest, i), "5 and 6").correct) << i;
  }
  EXPECT_FALSE(own->check(own->problem(Split::kTest, 5), "x").well_formed);  // printed no score
  // A file may be named alone.
  const std::string plain = write("plain.jsonl", R"({"prompt": "2 + 2?", "answer": 4})");
  EXPECT_EQ(task(plain)->size(Split::kTest), 1u);
}

TEST_F(FileTasks, ErrorsNameTheLine) {
  EXPECT_EQ(error("jsonl:test=" +
                  write("a.jsonl", "{\"prompt\": \"x\", \"answer\": 1}\n{\"prompt\": 3}\n")),
            "a.jsonl:2: the text \"prompt\" is missing");
  EXPECT_TRUE(
      error("jsonl:test=" + write("b.jsonl", "{\"prompt\": \"x\"\n")).contains("b.jsonl:1: "));
  EXPECT_EQ(error("jsonl:test=" + write("c.jsonl", "[1]")),
            "c.jsonl[0]: a row must be a JSON object");
  EXPECT_TRUE(
      error("jsonl:test=" + write("d.jsonl", R"({"prompt": "x", "answer": "y", "check": "feel"})"))
          .starts_with("d.jsonl:1: no check 'feel'"));
  EXPECT_TRUE(error("jsonl:test=" +
                    write("e.jsonl", R"({"prompt": "x", "answer": "1 = x", "check": "countdown"})"))
                  .starts_with("e.jsonl:1: "));
  EXPECT_TRUE(error("choice:test=" +
                    write("f.jsonl", R"({"question": "x", "choices": ["a"], "answer": 0})"))
                  .contains("2 to 26"));
  EXPECT_TRUE(error("choice:test=" +
                    write("g.jsonl", R"({"question": "x", "choices": ["a", "b"], "answer": "C"})"))
                  .contains("\"answer\" must be"));
  EXPECT_TRUE(error("jsonl:test=/no/such/file").contains("/no/such/file: "));
  EXPECT_EQ(error("jsonl"), "task 'jsonl': name a file, as in jsonl:test=FILE");
  setenv("XDG_CACHE_HOME", folder_.c_str(), 1);
  EXPECT_EQ(error("aime24"), "the data set aime24 is not on this machine (no math/aime24.json in " +
                                 folder_.string() + " or in " + folder_.string() +
                                 "/minke/data): fetch it with minke data pull aime24");
  unsetenv("XDG_CACHE_HOME");
}

}  // namespace
}  // namespace minke
