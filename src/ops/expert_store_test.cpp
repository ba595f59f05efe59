// The cache of experts on its own: what stays, what goes, what a fault leaves behind.
#include "ops/expert_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <limits>
#include <thread>

#include "core/random.h"

namespace minke {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kExperts = 4, kDim = 32;

// One layer of square fp32 experts; expert e of each stack is 16 * e + 0, 1, 2 ... in `rows`.
class Store : public ::testing::Test {
 protected:
  void open(int64_t slots, int layers = 1) {
    const char* names[3] = {"gate", "up", "down"};
    std::vector<ExpertStore::Source> sources;
    for (int s = 0; s < 3; ++s) {
      weights_[s] = {.name = names[s], .shape = {kExperts, kDim, kDim}, .type = QuantType::kF32};
      rows_[s].resize(static_cast<size_t>(kExperts * kDim * kDim));
      for (size_t i = 0; i < rows_[s].size(); ++i) {
        rows_[s][i] = static_cast<float>(uniform(3, static_cast<uint64_t>(s), i));
      }
      sources.push_back(
          {.weight = &weights_[s], .read = [this, s](uint64_t from, size_t count, auto scratch) {
             return read(s, from, count, scratch);
           }});
    }
    const Weight* stacks[3] = {&weights_[0], &weights_[1], &weights_[2]};
    store_ = *ExpertStore::create({.slots = slots,
                                   .slot_bytes = ExpertStore::expert_bytes(stacks),
                                   .piece_bytes = ExpertStore::piece_bytes(weights_[0])});
    // Layers after the first have the same experts again.
    for (int i = 0; i < layers; ++i) {
      ASSERT_TRUE(store_->add_layer(sources[0], sources[1], sources[2]));
    }
  }

  Result<const std::byte*> read(int stack, uint64_t from, size_t count,
                                std::span<std::byte> scratch) {
    const auto expert = static_cast<int64_t>(from / (kDim * kDim * sizeof(float)));
    if (stack == 1 && expert == broken_) return fail("the disk is gone");
    if (expert == slow_ && slow_reads_++ < 3) go_.wait(false);
    std::memcpy(scratch.data(), reinterpret_cast<const std::byte*>(rows_[stack].data()) + from,
                count);
    return scratch.data();
  }

  // Uses the experts; how many of them were in memory, or -1 after a fault.
  int hits(const std::vector<int32_t>& experts, int32_t layer = 0) {
    const uint64_t before = store_->stats().hits;
    store_->request(layer, experts);
    std::vector<bool> seen(experts.size(), false);
    while (true) {
      auto ready = store_->take(pool_);
      if (!ready) {
        message_ = ready.error().message;
        return -1;
      }
      if (ready->empty()) break;
      for (const ExpertStore::Ready& one : *ready) {
        EXPECT_FALSE(seen[one.index]);
        seen[one.index] = true;
        for (int s = 0; s < 3; ++s) expect_is(one.matrices[s], s, experts[one.index]);
      }
      store_->release();
    }
    EXPECT_EQ(std::ranges::count(seen, true), std::ssize(experts));
    return static_cast<int>(store_->stats().hits - before);
  }

  void expect_is(const PackedMatrix& matrix, int stack, int64_t expert) {
    for (const int64_t o : {int64_t{0}, kDim - 1}) {
      for (const int64_t k : {int64_t{0}, kDim - 1}) {
        const float got =
            panel_float(matrix.format(), matrix.panel(o / kPanelOutputs), o % kPanelOutputs, k);
        EXPECT_EQ(got, rows_[stack][static_cast<size_t>((expert * kDim + o) * kDim + k)])
            << "expert " << expert << " of stack " << stack << " at " << o << ", " << k;
      }
    }
  }

  ThreadPool pool_{2};
  Weight weights_[3];
  std::vector<float> rows_[3];
  int64_t broken_ = -1;
  int64_t slow_ = -1;  // its first three pieces come after go_
  std::atomic<int> slow_reads_ = 0;
  std::atomic<bool> go_ = false;
  std::unique_ptr<ExpertStore> store_;
  std::string message_;
};

TEST_F(Store, GivesAwayWhatWasUsedLongestAgo) {
  open(2);
  EXPECT_EQ(hits({0, 1}), 0);
  EXPECT_EQ(hits({0, 1}), 2);
  EXPECT_EQ(hits({0}), 1);
  EXPECT_EQ(hits({2}), 0);  // in place of 1
  EXPECT_EQ(hits({0, 2}), 2);
  EXPECT_EQ(hits({1}), 0);
}

TEST_F(Store, OneSlotServesAllInTurn) {
  open(1);
  EXPECT_EQ(hits({0, 1, 2, 3}), 0);
  EXPECT_EQ(hits({3}), 1);
  EXPECT_EQ(hits({0, 1, 2, 3}), 1);  // 3 is used first, and its slot then serves the others
  EXPECT_EQ(store_->stats().used, 9u);
}

TEST_F(Store, ReadsWhatIsExpectedAndGivesWrongGuessesAwayFirst) {
  open(4, 2);
  EXPECT_EQ(hits({0, 1}), 0);
  const std::vector<int32_t> guesses = {2, 3};
  store_->expect(1, guesses);
  EXPECT_EQ(hits({0}), 1);  // from now on they are read
  while (store_->stats().bytes_read < 4 * 3 * kDim * kDim * sizeof(float)) {
    std::this_thread::yield();
  }
  EXPECT_EQ(store_->stats().guessed, 2u);
  EXPECT_EQ(hits({1, 2}, 1), 0);
  EXPECT_EQ(store_->stats().foreseen, 1u);
  // 1 came in place of the wrong guess, 3, so that nothing else had to go.
  EXPECT_EQ(hits({0, 1}), 2);
  EXPECT_EQ(hits({1, 2}, 1), 2);
}

TEST_F(Store, AWrongGuessThatIsStillBeingReadIsInNobodysWay) {
  open(4, 2);
  EXPECT_EQ(hits({0}), 0);
  slow_ = 3;
  const std::vector<int32_t> guesses = {3};
  store_->expect(1, guesses);
  EXPECT_EQ(hits({0}), 1);
  while (slow_reads_ < 3) std::this_thread::yield();
  EXPECT_EQ(hits({1}, 1), 0);  // not 3
  EXPECT_EQ(hits({3}, 1), 0);  // comes again, into another slot
  go_ = true;
  go_.notify_all();
  const size_t all = size_t{4} * 3 * kDim * kDim * sizeof(float);
  while (store_->stats().bytes_read < all) std::this_thread::yield();
  EXPECT_EQ(hits({0}), 1);
  EXPECT_EQ(hits({1, 3}, 1), 2);
  EXPECT_EQ(hits({2}, 1), 0);  // the slot of the wrong guess: nothing had to go for it
  EXPECT_EQ(hits({0}), 1);
}

TEST_F(Store, AFaultEndsTheUseAndLeavesNothingBehind) {
  open(3);
  EXPECT_EQ(hits({0}), 0);
  broken_ = 2;
  EXPECT_EQ(hits({0, 2, 3}), -1);
  EXPECT_EQ(message_, "the disk is gone");
  EXPECT_EQ(hits({0}), -1);  // until it was taken, nothing is asked of the disk
  EXPECT_EQ(store_->take_fault().value().message, "the disk is gone");
  EXPECT_FALSE(store_->take_fault());
  EXPECT_EQ(hits({0}), 1);
  EXPECT_EQ(hits({2}), -1);
  EXPECT_TRUE(store_->take_fault());
  broken_ = -1;
  EXPECT_EQ(hits({2}), 0);
  EXPECT_EQ(hits({0, 2}), 2);
}

TEST_F(Store, DamagedWeightsAreAFaultThatNamesThem) {
  open(2);
  rows_[1][static_cast<size_t>(3 * kDim * kDim + 5)] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(hits({3}), -1);
  EXPECT_THAT(message_, HasSubstr("tensor 'up' holds an infinite or NaN weight in expert 3"));
}

}  // namespace
}  // namespace minke
