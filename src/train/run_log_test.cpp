// A run's metrics file: whole lines only, and after going back to a step none of a later one.
#include "train/run_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace minke {
namespace {

using testing::HasSubstr;

class RunLogTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "minke-run-log-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    path_ = name + "/metrics.jsonl";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  RunLog open(int64_t step) {
    auto log = RunLog::open(path_, step);
    if (!log) {
      ADD_FAILURE() << log.error().message;
      std::abort();
    }
    return *std::move(log);
  }
  std::string text() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(const std::string& bytes) const { std::ofstream(path_) << bytes; }

  std::string folder_, path_;
};

TEST_F(RunLogTest, AppendsAndGoesOnBehindAStep) {
  {
    RunLog log = open(0);
    for (int step = 1; step <= 3; ++step) {
      ASSERT_TRUE(log.append({{"step", step}, {"loss", 0.5}}));
      ASSERT_TRUE(log.append({{"event", "sample"}}));
    }
  }
  RunLog log = open(2);
  ASSERT_TRUE(log.append({{"step", 3}, {"loss", std::nan("")}}));
  EXPECT_EQ(text(),
            "{\"step\":1,\"loss\":0.5}\n{\"event\":\"sample\"}\n{\"step\":2,\"loss\":0.5}\n"
            "{\"event\":\"sample\"}\n{\"step\":3,\"loss\":null}\n");
}

TEST_F(RunLogTest, HalfALineIsCut) {
  write("{\"step\":1}\n{\"step\":2,\"lo");
  RunLog log = open(9);
  ASSERT_TRUE(log.append({{"step", 2}}));
  EXPECT_EQ(text(), "{\"step\":1}\n{\"step\":2}\n");
}

TEST_F(RunLogTest, ANewRunBeginsAnew) {
  write("{\"step\":1}\n{\"step\":2}\n");
  RunLog log = open(0);
  EXPECT_EQ(text(), "");
}

TEST_F(RunLogTest, WhereNothingCanBeWrittenItSaysSo) {
  const auto log = RunLog::open(folder_ + "/nowhere/metrics.jsonl", 0);
  ASSERT_FALSE(log);
  EXPECT_THAT(log.error().message, HasSubstr("cannot open " + folder_));
}

TEST_F(RunLogTest, AFullDiskLeavesWholeLines) {
  RunLog log = open(0);
  ASSERT_TRUE(log.append({{"step", 1}}));
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {15, 15};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(77);
    const Status appended = log.append({{"step", 2}});
    _exit(!appended && appended.error().message.contains("beyond byte 11") ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(text(), "{\"step\":1}\n");
}

}  // namespace
}  // namespace minke
