#include "engine/kv_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

namespace minke {
namespace {

std::vector<int32_t> range(int32_t first, int32_t count) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

struct Opened {
  KvSequence sequence;
  int64_t reused = 0;
  std::vector<PageAction> actions;
};

Opened open(KvPool& pool, const std::vector<int32_t>& tokens) {
  Opened opened;
  opened.sequence = pool.open(tokens, std::ssize(tokens) - 1, opened.reused, opened.actions);
  return opened;
}

// Runs a whole sequence through the pool.
Opened run(KvPool& pool, const std::vector<int32_t>& tokens) {
  Opened opened = open(pool, tokens);
  EXPECT_TRUE(pool.grow(opened.sequence, std::ssize(tokens), opened.actions));
  pool.close(opened.sequence, tokens);
  pool.check_invariants({});
  return opened;
}

TEST(KvPool, GivesClearedPagesAndTakesThemBack) {
  KvPool pool(4);
  Opened a = open(pool, range(0, 100));
  EXPECT_EQ(a.reused, 0);
  EXPECT_TRUE(pool.grow(a.sequence, 100, a.actions));
  EXPECT_EQ(a.sequence.pages().size(), 2u);
  ASSERT_EQ(a.actions.size(), 2u);
  EXPECT_EQ(a.actions[0].kind, PageAction::Kind::kClear);
  EXPECT_EQ(a.actions[0].to, a.sequence.pages()[0]);
  EXPECT_EQ(pool.available(), 2);
  pool.discard(a.sequence);
  EXPECT_EQ(pool.available(), 4);
  EXPECT_EQ(pool.cached(), 0);
  pool.check_invariants({});
}

// What was read ahead goes first, however young it is; once it was asked for it is as good as any.
TEST(KvPool, WhatNobodyAskedForGoesFirst) {
  const auto cached = [](KvPool& pool, const std::vector<int32_t>& tokens) {
    return pool.match(tokens).tokens;
  };
  const auto run_ahead = [](KvPool& pool, const std::vector<int32_t>& tokens) {
    Opened opened;
    opened.sequence =
        pool.open(tokens, std::ssize(tokens) - 1, opened.reused, opened.actions, true);
    EXPECT_TRUE(pool.grow(opened.sequence, std::ssize(tokens), opened.actions));
    pool.close(opened.sequence, tokens);
    pool.check_invariants({});
  };
  const std::vector<int32_t> old = range(0, 128);
  std::vector<int32_t> branch = range(0, 64);
  const std::vector<int32_t> rest = range(500, 100);
  branch.insert(branch.end(), rest.begin(), rest.end());
  for (const bool asked_for : {false, true}) {
    KvPool pool(6);
    run(pool, old);             // two pages
    run(pool, range(200, 64));  // one
    run_ahead(pool, branch);    // shares the first page, and has two of its own
    EXPECT_EQ(pool.cached(), 5);
    if (asked_for) run(pool, branch);
    run(pool, range(1000, 150));  // three pages, and one is free
    EXPECT_EQ(cached(pool, branch), asked_for ? 164 : 64);
    EXPECT_EQ(cached(pool, range(200, 64)), asked_for ? 0 : 64);
    EXPECT_EQ(cached(pool, old), asked_for ? 64 : 128);
  }
}

// Reading ahead takes nothing over that others have asked for.
TEST(KvPool, ReadingAheadLeavesLeavesAlone) {
  KvPool pool(6);
  run(pool, range(0, 80));
  Opened ahead;
  const std::vector<int32_t> longer = range(0, 120);
  ahead.sequence = pool.open(longer, 119, ahead.reused, ahead.actions, true);
  EXPECT_EQ(ahead.reused, 80);
  ASSERT_EQ(ahead.actions.size(), 1u);
  EXPECT_EQ(ahead.actions[0].kind, PageAction::Kind::kCopy);
  pool.close(ahead.sequence, longer);
  pool.check_invariants({});
  run(pool, range(1000, 250));  // four pages: those of the leaf that was read ahead among them
  EXPECT_EQ(pool.match(range(0, 80)).tokens, 80);
}

TEST(KvPool, GrowChangesNothingWhenPagesAreShort) {
  KvPool pool(2);
  Opened a = open(pool, range(0, 10));
  EXPECT_FALSE(pool.grow(a.sequence, 129, a.actions));
  EXPECT_TRUE(a.sequence.pages().empty());
  EXPECT_TRUE(a.actions.empty());
  EXPECT_EQ(pool.available(), 2);
}

TEST(KvPool, ReusesFullPagesByReferenceAndTheRestByToken) {
  KvPool pool(8);
  run(pool, range(0, 100));
  std::vector<int32_t> other = range(0, 90);
  other.push_back(5000);
  other.push_back(5001);
  Opened b = open(pool, other);
  EXPECT_EQ(b.reused, 90);
  ASSERT_EQ(b.sequence.pages().size(), 2u);
  ASSERT_EQ(b.actions.size(), 1u);
  EXPECT_EQ(b.actions[0].kind, PageAction::Kind::kCopy);
  EXPECT_EQ(b.actions[0].to, b.sequence.pages()[1]);
  const KvSequence* running[] = {&b.sequence};
  pool.check_invariants(running);
  pool.close(b.sequence, other);
  pool.check_invariants({});
  // Both branches are there.
  EXPECT_EQ(pool.match(range(0, 100)).tokens, 100);
  EXPECT_EQ(pool.match(other).tokens, 92);
  EXPECT_EQ(pool.cached(), 3);
}

TEST(KvPool, LeavesOneTokenToCompute) {
  KvPool pool(8);
  run(pool, range(0, 128));
  const Opened again = open(pool, range(0, 128));
  EXPECT_EQ(again.reused, 127);
  EXPECT_EQ(again.sequence.pages().size(), 2u);
  pool.close(again.sequence, range(0, 128));
  pool.check_invariants({});
  EXPECT_EQ(pool.cached(), 2);
}

TEST(KvPool, ContinuesALeafInPlace) {
  KvPool pool(2);  // no room for a copy
  run(pool, range(0, 100));
  Opened b = open(pool, range(0, 120));
  EXPECT_EQ(b.reused, 100);
  EXPECT_TRUE(b.actions.empty());
  pool.close(b.sequence, range(0, 120));
  EXPECT_EQ(pool.match(range(0, 120)).tokens, 120);
  EXPECT_EQ(pool.cached(), 2);
  pool.check_invariants({});
}

TEST(KvPool, ReusesWholePagesWhenThereIsNoRoomForACopy) {
  KvPool pool(2);
  run(pool, range(0, 100));
  std::vector<int32_t> other = range(0, 80);
  other.push_back(5000);
  const Opened b = open(pool, other);
  EXPECT_EQ(b.reused, 64);
  pool.discard(b.sequence);
}

TEST(KvPool, EvictsTheLeastRecentlyUsedLeafFirst) {
  KvPool pool(4);
  run(pool, range(0, 128));
  run(pool, range(1000, 128));
  run(pool, range(0, 128));  // touched: the other is older now
  run(pool, range(2000, 64));
  EXPECT_EQ(pool.match(range(0, 128)).tokens, 128);
  EXPECT_EQ(pool.match(range(1000, 128)).tokens, 64);
  EXPECT_EQ(pool.evictions(), 1u);
}

TEST(KvPool, SharesAPromptThatIsStillRunning) {
  KvPool pool(8);
  Opened a = open(pool, range(0, 100));
  ASSERT_TRUE(pool.grow(a.sequence, 100, a.actions));
  pool.publish(a.sequence, range(0, 100), true);
  Opened b = open(pool, range(0, 100));
  EXPECT_EQ(b.reused, 99);
  EXPECT_EQ(b.sequence.pages()[0], a.sequence.pages()[0]);
  EXPECT_NE(b.sequence.pages()[1], a.sequence.pages()[1]);
  const KvSequence* running[] = {&a.sequence, &b.sequence};
  pool.check_invariants(running);
  pool.close(a.sequence, range(0, 110));
  pool.close(b.sequence, range(0, 105));
  pool.check_invariants({});
  EXPECT_EQ(pool.match(range(0, 110)).tokens, 110);
  EXPECT_EQ(pool.cached(), 2);  // b's tail said nothing new
}

TEST(KvPool, TwoThatComputedTheSameEndUpWithOneCopy) {
  KvPool pool(8);
  Opened a = open(pool, range(0, 128));
  Opened b = open(pool, range(0, 128));
  ASSERT_TRUE(pool.grow(a.sequence, 128, a.actions));
  ASSERT_TRUE(pool.grow(b.sequence, 128, b.actions));
  EXPECT_EQ(pool.available(), 4);
  pool.publish(a.sequence, range(0, 128), false);
  pool.publish(b.sequence, range(0, 128), false);
  EXPECT_EQ(pool.available(), 6);
  EXPECT_EQ(a.sequence.pages()[1], b.sequence.pages()[1]);
  pool.discard(a.sequence);  // b still needs the pages
  EXPECT_EQ(pool.match(range(0, 128)).tokens, 128);
  pool.discard(b.sequence);
  EXPECT_EQ(pool.match(range(0, 128)).tokens, 0);
  EXPECT_EQ(pool.available(), 8);
  pool.check_invariants({});
}

TEST(KvPool, RandomUseKeepsItsBooks) {
  std::mt19937 random(1);
  KvPool pool(40);
  struct Running {
    KvSequence sequence;
    std::vector<int32_t> tokens;
  };
  std::vector<std::unique_ptr<Running>> running;
  const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  for (int step = 0; step < 20'000; ++step) {
    std::vector<PageAction> actions;
    const int what = pick(10);
    if (what < 3 && running.size() < 6) {
      auto fresh = std::make_unique<Running>();
      // Few distinct tokens in long runs, so that prefixes are shared and diverge anywhere.
      const int length = 1 + pick(300);
      for (int i = 0; i < length; ++i) fresh->tokens.push_back(i % 97 == 96 ? pick(3) : i);
      int64_t reused = 0;
      fresh->sequence = pool.open(fresh->tokens, length - 1, reused, actions);
      ASSERT_LT(reused, length);
      ASSERT_GE(fresh->sequence.capacity(), reused);
      if (!pool.grow(fresh->sequence, length, actions)) {
        pool.close(fresh->sequence, std::span(fresh->tokens).first(static_cast<size_t>(reused)));
        continue;
      }
      running.push_back(std::move(fresh));
    } else if (!running.empty()) {
      const auto index = static_cast<size_t>(pick(static_cast<int>(running.size())));
      Running& one = *running[index];
      if (what < 8) {
        for (int i = pick(40); i >= 0; --i) one.tokens.push_back(pick(2));
        if (!pool.grow(one.sequence, std::ssize(one.tokens), actions)) {
          one.tokens.resize(
              static_cast<size_t>(std::min(one.sequence.capacity(), std::ssize(one.tokens))));
        }
        pool.publish(one.sequence, one.tokens, pick(2) == 0);
      } else {
        if (what == 8) {
          pool.close(one.sequence, one.tokens);
        } else {
          pool.discard(one.sequence);
        }
        running.erase(running.begin() + static_cast<std::ptrdiff_t>(index));
      }
    }
    std::vector<const KvSequence*> held;
    for (const auto& one : running) held.push_back(&one->sequence);
    pool.check_invariants(held);
    for (const PageAction& action : actions) {
      ASSERT_GE(action.to, 0);
      ASSERT_LT(action.to, pool.pages());
    }
  }
  EXPECT_GT(pool.evictions(), 100u);
}

}  // namespace
}  // namespace minke
