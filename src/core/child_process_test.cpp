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
