#include "server/ollama/ollama.h"

#include <gtest/gtest.h>

namespace minke::server {
namespace {

// In seconds; -2: it cannot be read.
int64_t seconds_of(const Value& value) {
  const auto read = read_keep_alive(value);
  return read ? read->count() : -2;
}

TEST(KeepAlive, IsSecondsOrATimeWithUnits) {
  EXPECT_EQ(seconds_of(Value(300)), 300);
  EXPECT_EQ(seconds_of(Value(0)), 0);
  EXPECT_EQ(seconds_of(Value("0")), 0);
  EXPECT_EQ(seconds_of(Value("5m")), 300);
  EXPECT_EQ(seconds_of(Value("1h30m")), 5400);
  EXPECT_EQ(seconds_of(Value("1.5h")), 5400);
  EXPECT_EQ(seconds_of(Value("500ms")), 1);
  EXPECT_EQ(seconds_of(Value("24h0m0s")), 86400);
}

TEST(KeepAlive, BelowZeroIsForEver) {
  EXPECT_EQ(seconds_of(Value(-1)), -1);
  EXPECT_EQ(seconds_of(Value("-1")), -1);
  EXPECT_EQ(seconds_of(Value("-1m")), -1);
}

TEST(KeepAlive, WhatIsNoTimeIsNone) {
  for (const char* text : {"", "soon", "5 m", "5x", "m5", "1h30", "inf", "nan", "--1", "1e30s"}) {
    EXPECT_EQ(seconds_of(Value(text)), -2) << text;
  }
  EXPECT_EQ(seconds_of(Value(1e300)), -2);
  EXPECT_EQ(seconds_of(Value(true)), -2);
}

TEST(OllamaTime, IsUtcWithMicroseconds) {
  using std::chrono::system_clock;
  const system_clock::time_point time(std::chrono::microseconds(1'767'225'600'000'042));
  EXPECT_EQ(ollama_time(time), "2026-01-01T00:00:00.000042Z");
}

}  // namespace
}  // namespace minke::server
