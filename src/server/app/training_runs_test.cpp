#include "server/app/training_runs.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "server/history/testing.h"

namespace minke::server {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class TrainingRuns : public testing::Test {
 protected:
  fs::path run(const std::string& name, const std::string& metrics) {
    fs::create_directories(folder_ / name);
    std::ofstream(folder_ / name / "metrics.jsonl", std::ios::binary) << metrics;
    return folder_ / name;
  }
  std::vector<std::string> names() {
    std::vector<std::string> found;
    for (const TrainingRun& one : training_runs(folder_)) found.push_back(one.name);
    return found;
  }

  const history::TestFolder temp_;
  const fs::path folder_ = temp_.path() / "runs";
};

TEST_F(TrainingRuns, AreTheFoldersThatHoldOneTheLatestFirst) {
  EXPECT_THAT(names(), ElementsAre());
  const fs::path old = run("old", "{}\n");
  run("new", "{}\n");
  fs::create_directories(folder_ / "something else");
  fs::last_write_time(old / "metrics.jsonl",
                      fs::file_time_type::clock::now() - std::chrono::hours(1));
  EXPECT_THAT(names(), ElementsAre("new", "old"));
}

TEST_F(TrainingRuns, RunWhileTheirLockIsHeld) {
  const fs::path folder = run("one", "{}\n");
  EXPECT_FALSE(training_runs(folder_).at(0).is_running);
  const int lock = open((folder / "lock").c_str(), O_RDWR | O_CREAT, 0666);
  ASSERT_EQ(flock(lock, LOCK_EX | LOCK_NB), 0);
  EXPECT_TRUE(training_runs(folder_).at(0).is_running);
  close(lock);
  EXPECT_FALSE(training_runs(folder_).at(0).is_running);
}

TEST_F(TrainingRuns, TellOnlyWholeLinesAndGoOnBehindThem) {
  const fs::path folder = run("one", "{\"step\":1}\nno json\n[2]\n{\"step\":2}\n{\"st");
  const auto first = training_metrics(folder_, "one", 0);
  ASSERT_TRUE(first);
  ASSERT_EQ(first->lines.size(), 2U);
  EXPECT_EQ(to_json(first->lines[1]), R"({"step":2})");
  std::ofstream(folder / "metrics.jsonl", std::ios::app) << "ep\":3}\n";
  const auto second = training_metrics(folder_, "one", first->next);
  ASSERT_TRUE(second);
  ASSERT_EQ(second->lines.size(), 1U);
  EXPECT_EQ(to_json(second->lines[0]), R"({"step":3})");
  EXPECT_EQ(training_metrics(folder_, "one", second->next)->lines.size(), 0U);
}

TEST_F(TrainingRuns, ThatWentBackAreToldFromTheBeginning) {
  run("one", "{\"step\":1}\n");
  const auto all = training_metrics(folder_, "one", 500);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->from, 0);
  EXPECT_EQ(all->lines.size(), 1U);
}

TEST_F(TrainingRuns, OfManyMegabytesComeInParts) {
  std::string text;
  int64_t count = 0;
  for (; text.size() < (size_t{3} << 20); ++count)
    text += "{\"step\":" + std::to_string(count) + "}\n";
  // A line longer than what is read at once is read all the same.
  text += "{\"long\":\"" + std::string(size_t{2} << 20, 'x') + "\"}\n";
  run("one", text);
  int64_t lines = 0, from = 0, parts = 0;
  for (; from < std::ssize(text); ++parts) {
    const auto part = training_metrics(folder_, "one", from);
    ASSERT_TRUE(part);
    ASSERT_GT(part->next, from);
    lines += std::ssize(part->lines);
    from = part->next;
  }
  EXPECT_EQ(lines, count + 1);
  EXPECT_GE(parts, 4);
}

TEST_F(TrainingRuns, ThatAreNotThereAreNotFound) {
  run("one", "{}\n");
  std::ofstream(temp_.path() / "metrics.jsonl") << "{}\n";
  for (const char* name : {"two", "", ".", "..", "one/../one", "../runs/one"}) {
    const auto found = training_metrics(folder_, name, 0);
    ASSERT_FALSE(found) << name;
    EXPECT_EQ(found.error().status, 404);
  }
  EXPECT_THAT(training_metrics(folder_, "two", 0).error().message, HasSubstr("'two'"));
}

}  // namespace
}  // namespace minke::server
