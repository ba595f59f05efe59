#include "core/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <thread>
#include <vector>

namespace minke {
namespace {

TEST(ThreadPool, CallsEveryWorkerOnceAndWaitsForAll) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    ASSERT_EQ(pool.threads(), threads);
    // Plain memory on purpose: parallel() itself must order the workers' writes before its return.
    std::vector<int> calls(static_cast<size_t>(threads), 0);
    for (int round = 1; round <= 100; ++round) {
      pool.parallel([&](int worker) { ++calls[static_cast<size_t>(worker)]; });
      ASSERT_EQ(std::ranges::count(calls, round), threads);
    }
  }
}

TEST(ThreadPool, WakesWorkersThatWentToSleep) {
  ThreadPool pool(4);
  std::vector<int> calls(4, 0);
  for (int round = 1; round <= 10; ++round) {
    // Longer than workers spin, so that some rounds find them asleep and some on their way there.
    std::this_thread::sleep_for(std::chrono::microseconds(round % 2 == 0 ? 3000 : 60));
    pool.parallel([&](int worker) { ++calls[static_cast<size_t>(worker)]; });
    ASSERT_EQ(std::ranges::count(calls, round), 4);
  }
}

TEST(ThreadPool, ParallelForCoversEachIndexOnce) {
  ThreadPool pool(3);
  for (const int64_t count : {0, 1, 7, 64, 1000}) {
    for (const int64_t grain : {1, 5, 64, 2000}) {
      std::vector<int> seen(static_cast<size_t>(count), 0);
      pool.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
      });
      ASSERT_EQ(std::ranges::count(seen, 1), count) << "grain " << grain;
    }
  }
}

TEST(ThreadPool, EndsWhileWorkersSpinAndWhileTheySleep) {
  for (int round = 0; round < 30; ++round) {
    ThreadPool pool(3);
    std::atomic<int> calls = 0;
    if (round % 3 != 0) pool.parallel([&](int) { ++calls; });
    if (round % 3 == 2) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    EXPECT_EQ(calls, round % 3 == 0 ? 0 : 3);
  }
}

TEST(ThreadPool, ComputesWithDenormalsAsZeroAndLeavesTheCallerAsItWas) {
  ThreadPool pool(2);
  const volatile float smallest = std::numeric_limits<float>::min();
  const volatile float half = 0.5F;
  std::vector<float> products(2, 1.0F);
  pool.parallel([&](int worker) { products[static_cast<size_t>(worker)] = smallest * half; });
  EXPECT_EQ(products, std::vector<float>(2, 0.0F));
  EXPECT_GT(smallest * half, 0.0F);
}

}  // namespace
}  // namespace minke
