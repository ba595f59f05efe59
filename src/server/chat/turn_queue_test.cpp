#include "server/chat/turn_queue.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace minke::server {
namespace {

// Enters one request and notes in `started` when its turn comes.
TurnQueue::Ticket enter(TurnQueue& queue, std::vector<std::string>& started, std::string client,
                        int64_t tokens = 1, std::vector<int64_t>* positions = nullptr) {
  std::vector<TurnQueue::Ticket> tickets;
  const bool taken = queue.enter({{.client = client,
                                   .tokens = tokens,
                                   .start = [&started, client] { started.push_back(client); },
                                   .on_moved =
                                       [positions](int64_t position) {
                                         if (positions != nullptr) positions->push_back(position);
                                       }}},
                                 tickets);
  return taken ? tickets.front() : 0;
}

TEST(TurnQueue, StartsWhatFitsAndRefusesWhatDoesNot) {
  TurnQueue queue({.running_max = 1, .waiting_max = 1, .waiting_tokens_max = 100});
  std::vector<std::string> started;
  const auto first = enter(queue, started, "a");
  EXPECT_NE(first, 0U);
  EXPECT_EQ(started.size(), 1U);
  const auto second = enter(queue, started, "b");
  EXPECT_NE(second, 0U);
  EXPECT_EQ(enter(queue, started, "c"), 0U);
  EXPECT_EQ(started.size(), 1U);
  EXPECT_EQ(queue.waiting(), 1);
  queue.leave(first);
  EXPECT_EQ(started, (std::vector<std::string>{"a", "b"}));
  queue.leave(second);
  EXPECT_EQ(queue.running(), 0);
}

TEST(TurnQueue, BoundsTheTokensThatWait) {
  TurnQueue queue({.running_max = 1, .waiting_max = 10, .waiting_tokens_max = 100});
  std::vector<std::string> started;
  enter(queue, started, "a", 1000);  // runs: it does not wait
  EXPECT_NE(enter(queue, started, "b", 60), 0U);
  EXPECT_EQ(enter(queue, started, "b", 60), 0U);
  EXPECT_NE(enter(queue, started, "b", 40), 0U);
}

TEST(TurnQueue, AClientWithManyDoesNotKeepOutAnother) {
  TurnQueue queue({.running_max = 2, .waiting_max = 100});
  std::vector<std::string> started;
  std::vector<TurnQueue::Ticket> greedy;
  for (int i = 0; i < 10; ++i) greedy.push_back(enter(queue, started, "greedy"));
  enter(queue, started, "modest");
  queue.leave(greedy[0]);
  EXPECT_EQ(started.back(), "modest");
  queue.leave(greedy[1]);
  EXPECT_EQ(started.back(), "greedy");
}

TEST(TurnQueue, ARequestOfManyAnswersComesInWholeOrNotAtAll) {
  TurnQueue queue({.running_max = 2, .waiting_max = 1});
  int started = 0;
  const auto many = [&](size_t count) {
    std::vector<TurnQueue::Entry> entries(count, {.client = "a", .start = [&] { ++started; }});
    std::vector<TurnQueue::Ticket> tickets;
    return queue.enter(std::move(entries), tickets);
  };
  EXPECT_FALSE(many(4));
  EXPECT_EQ(started, 0);
  // Two run at once, so only the third has to wait, for which there is room.
  EXPECT_TRUE(many(3));
  EXPECT_EQ(started, 2);
  EXPECT_FALSE(many(1));
}

TEST(TurnQueue, EmbeddingsLeavePlacesToAnswers) {
  TurnQueue queue({.running_max = 4, .waiting_max = 2, .embeddings_max = 100});
  int embeddings = 0;
  std::vector<TurnQueue::Ticket> tickets;
  const auto embed = [&] {
    std::vector<TurnQueue::Ticket> one;
    const bool taken = queue.enter(
        {{.client = "a", .tokens = 1, .is_embedding = true, .start = [&] { ++embeddings; }}}, one);
    if (taken) tickets.push_back(one.front());
    return taken;
  };
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(embed());
  EXPECT_EQ(embeddings, 2);
  EXPECT_FALSE(embed()) << "two run and two wait";
  // An answer of the same client goes past those that wait, which do not take its place to wait.
  std::vector<std::string> started;
  EXPECT_NE(enter(queue, started, "a"), 0U);
  EXPECT_NE(enter(queue, started, "b"), 0U);
  EXPECT_EQ(started, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(enter(queue, started, "b"), 0U);
  queue.leave(tickets[0]);
  EXPECT_EQ(embeddings, 3);
  EXPECT_EQ(queue.running(), 4);
  EXPECT_EQ(queue.waiting(), 1);
}

TEST(TurnQueue, WhereOneRunsItMayBeAnEmbedding) {
  TurnQueue queue({.running_max = 1, .waiting_max = 1});
  bool has_started = false;
  std::vector<TurnQueue::Ticket> tickets;
  EXPECT_TRUE(queue.enter(
      {{.client = "a", .is_embedding = true, .start = [&] { has_started = true; }}}, tickets));
  EXPECT_TRUE(has_started);
}

TEST(TurnQueue, WhoWaitsIsToldWhere) {
  TurnQueue queue({.running_max = 1, .waiting_max = 10});
  std::vector<std::string> started;
  std::vector<int64_t> positions;
  const auto first = enter(queue, started, "a");
  const auto second = enter(queue, started, "b");
  enter(queue, started, "c", 1, &positions);
  EXPECT_EQ(positions, (std::vector<int64_t>{2}));
  queue.leave(first);
  EXPECT_EQ(positions, (std::vector<int64_t>{2, 1}));
  queue.leave(second);
  EXPECT_EQ(started.back(), "c");
}

TEST(TurnQueue, OneThatLeavesWhileWaitingNeverStarts) {
  TurnQueue queue({.running_max = 1, .waiting_max = 10});
  std::vector<std::string> started;
  const auto first = enter(queue, started, "a");
  const auto second = enter(queue, started, "b");
  queue.leave(second);
  queue.leave(second);  // twice is as good as once
  EXPECT_EQ(queue.waiting(), 0);
  queue.leave(first);
  EXPECT_EQ(started, (std::vector<std::string>{"a"}));
}

TEST(TurnQueue, ManyThreadsComeAndGo) {
  TurnQueue queue({.running_max = 4, .waiting_max = 1000, .waiting_tokens_max = 1'000'000});
  std::atomic<int> running = 0, most = 0, done = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        std::atomic<bool> mine = false;
        std::vector<TurnQueue::Ticket> tickets;
        ASSERT_TRUE(queue.enter({{.client = std::to_string(t),
                                  .tokens = 1,
                                  .start =
                                      [&] {
                                        most = std::max(most.load(), ++running);
                                        mine = true;
                                      }}},
                                tickets));
        while (!mine) std::this_thread::yield();
        --running;
        queue.leave(tickets.front());
        ++done;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(done, 2000);
  EXPECT_LE(most, 4);
  EXPECT_EQ(queue.running() + queue.waiting(), 0);
}

}  // namespace
}  // namespace minke::server
