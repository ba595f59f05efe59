#include "core/system_limits.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

namespace minke {
namespace {

class SystemLimits : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = ::testing::TempDir() + "minke_limits_" +
            ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(root_);
    write("/proc/meminfo", "MemTotal:  8000 kB\nMemAvailable:  4000 kB\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path whole = root_ + path;
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream(whole) << text;
  }
  std::string root_;
};

TEST_F(SystemLimits, OfMemoryAreTheSystemsWithoutGroups) {
  EXPECT_EQ(available_memory_bytes(root_), int64_t{4000} * 1024);
}

TEST_F(SystemLimits, OfMemoryAreTheLeastOfAllGroupsAbove) {
  write("/proc/self/cgroup", "0::/a/b\n");
  write("/sys/fs/cgroup/a/b/memory.max", "max\n");
  write("/sys/fs/cgroup/a/b/memory.current", "100\n");
  write("/sys/fs/cgroup/a/memory.max", "1000000\n");
  write("/sys/fs/cgroup/a/memory.current", "700000\n");
  write("/sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 200000\n");
  EXPECT_EQ(available_memory_bytes(root_), 500'000);
}

TEST_F(SystemLimits, OfMemoryAreReadFromVersionOneGroups) {
  write("/proc/self/cgroup", "4:memory:/docker/x\n3:cpu:/docker/x\n");
  write("/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "300000\n");
  write("/sys/fs/cgroup/memory/docker/x/memory.usage_in_bytes", "400000\n");
  EXPECT_EQ(available_memory_bytes(root_), 0);
}

TEST_F(SystemLimits, AreThoseOfTheRootWhereTheGroupIsHidden) {
  write("/sys/fs/cgroup/memory.max", "1000000\n");
  write("/sys/fs/cgroup/memory.current", "700000\n");
  write("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(available_memory_bytes(root_), 300'000);
  EXPECT_EQ(cgroup_processors(root_), 2);
}

TEST_F(SystemLimits, SurviveNonsense) {
  write("/proc/self/cgroup", "nonsense\n0:\n0::relative\n");
  EXPECT_EQ(available_memory_bytes(root_), int64_t{4000} * 1024);
  EXPECT_EQ(available_memory_bytes(root_ + "/nowhere"), std::numeric_limits<int64_t>::max());
}

TEST_F(SystemLimits, OfMemoryInThisVeryProcessAreCredible) {
  EXPECT_GT(available_memory_bytes(), int64_t{1} << 20);
  EXPECT_LT(available_memory_bytes(), int64_t{1} << 50);
}

TEST_F(SystemLimits, OfProcessorsAreTheLeastOfAllGroupsAbove) {
  EXPECT_EQ(cgroup_processors(root_), 0);
  write("/proc/self/cgroup", "0::/a/b\n");
  write("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(cgroup_processors(root_), 0);
  write("/sys/fs/cgroup/a/cpu.max", "250000 100000\n");
  EXPECT_EQ(cgroup_processors(root_), 3);
  write("/sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(cgroup_processors(root_), 1);
}

TEST_F(SystemLimits, OfProcessorsAreReadFromVersionOneGroups) {
  write("/proc/self/cgroup", "3:cpu,cpuacct:/docker/x\n");
  write("/sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "-1\n");
  write("/sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_processors(root_), 0);
  write("/sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "200000\n");
  EXPECT_EQ(cgroup_processors(root_), 2);
  write("/sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us", "0\n");
  EXPECT_EQ(cgroup_processors(root_), 0);
}

}  // namespace
}  // namespace minke
