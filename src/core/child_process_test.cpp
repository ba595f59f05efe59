#include "core/child_process.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace minke {
namespace {

ChildOutcome run(ChildRequest request) {
  const auto outcome = run_child(request);
  EXPECT_TRUE(outcome.has_value()) << (outcome ? "" : outcome.error().message);
  return *outcome;
}

TEST(ChildProcess, IsReadToItsEnd) {
  const ChildOutcome outcome =
      run({.command = {"sh", "-c", "cat; echo done; echo oh >&2; exit 3"}, .input = "in\n"});
  EXPECT_EQ(outcome.output, "in\ndone\n");
  EXPECT_EQ(outcome.errors, "oh\n");
  EXPECT_EQ(outcome.exit_status, 3);
  EXPECT_FALSE(outcome.timed_out);
}

TEST(ChildProcess, MayIgnoreItsInput) {
  const std::string input(10'000'000, 'x');
  EXPECT_EQ(run({.command = {"true"}, .input = input}).exit_status, 0);
  EXPECT_EQ(run({.command = {"wc", "-c"}, .input = input}).output, "10000000\n");
}

TEST(ChildProcess, OutputBeyondTheBoundIsDropped) {
  const ChildOutcome outcome =
      run({.command = {"sh", "-c", "head -c 1000000 /dev/zero"}, .output_bytes_max = 1000});
  EXPECT_EQ(outcome.output.size(), 1000u);
  EXPECT_EQ(outcome.exit_status, 0);
  EXPECT_TRUE(outcome.is_full);
}

TEST(ChildProcess, IsEndedWhenItHasSaidEnough) {
  const ChildOutcome outcome =
      run({.command = {"yes"}, .output_bytes_max = 1000, .ends_when_full = true});
  EXPECT_EQ(outcome.output.size(), 1000u);
  EXPECT_TRUE(outcome.is_full);
  EXPECT_FALSE(outcome.timed_out);
  EXPECT_EQ(outcome.signal, 9);
}

TEST(ChildProcess, IsHeldToItsBounds) {
  const ChildBounds bounds = {.cpu_seconds_max = 1, .may_write_files = false};
  const ChildOutcome busy = run({.command = {"sh", "-c", "while :; do :; done"}, .bounds = bounds});
  EXPECT_EQ(busy.exit_status, -1);
  EXPECT_FALSE(busy.timed_out);
  const std::string path = ::testing::TempDir() + "minke-child-wrote";
  run({.command = {"sh", "-c", "read go; echo much > " + path}, .input = "\n", .bounds = bounds});
  EXPECT_NE(run({.command = {"test", "-s", path}}).exit_status, 0) << "the file has bytes";
  const ChildOutcome large =
      run({.command = {"sh", "-c", "x=$(head -c 300000000 /dev/zero | tr '\\0' a)"},
           .bounds = {.memory_bytes_max = 100 << 20}});
  EXPECT_NE(large.exit_status, 0);
}

TEST(ChildProcess, IsKilledWithItsGroupWhenTimeIsUp) {
  const auto start = std::chrono::steady_clock::now();
  const ChildOutcome outcome =
      run({.command = {"sh", "-c", "sleep 60 & sleep 60"}, .time_ms_max = 100});
  EXPECT_TRUE(outcome.timed_out);
  EXPECT_EQ(outcome.exit_status, -1);
  // A child that closes its outputs cannot stay either.
  EXPECT_TRUE(
      run({.command = {"sh", "-c", "exec >&- 2>&-; sleep 60"}, .time_ms_max = 100}).timed_out);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(ChildProcess, SaysWhichSignalEndedIt) {
  const ChildOutcome outcome = run({.command = {"sh", "-c", "kill -9 $$"}});
  EXPECT_EQ(outcome.exit_status, -1);
  EXPECT_EQ(outcome.signal, 9);
}

TEST(ChildProcess, HasNothingOfOurEnvironment) {
  EXPECT_EQ(run({.command = {"env"}, .environment = {"A=b"}}).output, "A=b\n");
}

TEST(ChildProcess, WhatDoesNotExistIsAnError) {
  const auto outcome = run_child({.command = {"no-such-program-anywhere"}});
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().message,
            "no-such-program-anywhere cannot be started: No such file or directory");
}

}  // namespace
}  // namespace minke
