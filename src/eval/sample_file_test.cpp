#include "eval/sample_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace minke {
namespace {

class SampleFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = (std::filesystem::path(::testing::TempDir()) / "minke_samples.jsonl").string();
    std::filesystem::remove(path_);
  }
  void TearDown() override { std::filesystem::remove(path_); }
  std::string text() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void append(std::string_view more) { std::ofstream(path_, std::ios::app) << more; }

  std::string path_;
  Value::Object heading_ = {{"eval", "gcd"}, {"seed", 3}};
};

TEST_F(SampleFileTest, KeepsWhatWasAdded) {
  {
    auto file = SampleFile::open(path_, heading_);
    ASSERT_TRUE(file.has_value());
    EXPECT_TRUE(file->add({.problem = "gcd/test/1",
                           .sample = 2,
                           .answer = "a \"b\"\n\xFF",
                           .correct = true,
                           .why = "",
                           .tokens = 7})
                    .has_value());
  }
  auto file = SampleFile::open(path_, heading_);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  ASSERT_EQ(file->samples().size(), 1u);
  const EvalSample& sample = file->samples()[0];
  EXPECT_EQ(sample.problem, "gcd/test/1");
  EXPECT_EQ(sample.sample, 2);
  EXPECT_EQ(sample.answer, "a \"b\"\n\uFFFD");
  EXPECT_TRUE(sample.correct);
  EXPECT_EQ(sample.tokens, 7);
  EXPECT_TRUE(text().starts_with("{\"eval\":\"gcd\",\"seed\":3}\n"));
}

TEST_F(SampleFileTest, AnEndThatWasCutIsForgotten) {
  {
    ASSERT_TRUE(SampleFile::open(path_, heading_)->add({.problem = "a"}).has_value());
  }
  const std::string whole = text();
  // Wherever the run was killed.
  for (size_t keep = 0; keep < whole.size(); ++keep) {
    std::ofstream(path_) << whole.substr(0, keep);
    auto file = SampleFile::open(path_, heading_);
    ASSERT_TRUE(file.has_value()) << keep << ": " << file.error().message;
    EXPECT_TRUE(file->samples().empty()) << keep;
    EXPECT_TRUE(file->add({.problem = "a"}).has_value());
    EXPECT_EQ(text(), whole) << keep;
  }
}

TEST_F(SampleFileTest, AnotherEvaluationIsAnError) {
  {
    ASSERT_TRUE(SampleFile::open(path_, heading_).has_value());
  }
  const auto other = SampleFile::open(path_, {{"eval", "gcd"}, {"seed", 4}});
  ASSERT_FALSE(other.has_value());
  EXPECT_TRUE(other.error().message.contains("\"seed\":3")) << other.error().message;
  append("{\"x\": 1}\n");
  EXPECT_TRUE(SampleFile::open(path_, heading_).error().message.ends_with(":2: is no sample"));
  std::ofstream(path_) << "Dear diary";
  EXPECT_FALSE(SampleFile::open(path_, heading_).has_value());
  EXPECT_EQ(text(), "Dear diary");
}

TEST_F(SampleFileTest, ADeviceIsAnError) {
  const auto file = SampleFile::open("/dev/zero", heading_);
  ASSERT_FALSE(file.has_value());
  EXPECT_EQ(file.error().message, "/dev/zero: is no regular file");
}

}  // namespace
}  // namespace minke
