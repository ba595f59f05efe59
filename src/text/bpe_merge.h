// The merging loop that byte-pair encoding and SentencePiece share. Internal to src/text.
//
// A word starts as a row of symbols. Again and again the adjacent pair whose rule has the lowest
// rank is joined into one symbol, the leftmost first among equals, until no rule applies. A
// `Lookup` knows the rules:
//   MergeRule lookup(int32_t left, int32_t right, uint32_t begin, uint32_t end)
// with the tokens of the pair and the bytes of the word that the two cover together.
//
// Short rows are searched for their minimum at each step. Long rows use a queue with one bucket a
// rank: a rank's places are visited in order, and what a merge creates at the same or a lower rank
// waits in a small heap and goes first. That is the exact order of one big heap, but a long run of
// one letter costs a few passes instead of n log n scattered steps.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <queue>
#include <string>
#include <vector>

#include "core/check.h"

namespace minke {

struct MergeRule {
  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
  uint32_t rank = kNone;
  int32_t token = -1;
};

struct MergeSymbol {
  int32_t token;
  uint32_t begin;  // first byte in the word
};

// Working memory, kept from word to word by one caller. Not for two threads at once.
class MergeScratch {
 public:
  std::vector<MergeSymbol> symbols;  // in: the row; out: what is left of it
  std::string* left_out = nullptr;   // gets the bytes that have no token, where somebody asks

  // `ranks`: every rank that lookup returns is below it. `end`: the bytes of the word.
  template <typename Lookup>
  void merge(uint32_t end, uint32_t ranks, const Lookup& lookup) {
    CHECK_LT(symbols.size(), size_t{kNil});
    if (symbols.size() <= kShort) {
      merge_short(end, lookup);
    } else {
      merge_long(end, ranks, lookup);
    }
  }

 private:
  static constexpr size_t kShort = 40;
  static constexpr uint32_t kNil = std::numeric_limits<uint32_t>::max();

  struct Link {
    int32_t token;
    uint32_t begin, previous, next;
    uint32_t rank;  // of the pair that this symbol and the next make; kNone once joined away
  };
  struct Waiting {  // one place in a bucket's list
    uint32_t place, next;
  };

  template <typename Lookup>
  void merge_short(uint32_t end, const Lookup& lookup) {
    const size_t count = symbols.size();
    MergeRule rules[kShort];
    const auto rule_at = [&](size_t i) {
      if (i + 1 >= symbols.size()) return MergeRule{};
      const uint32_t pair_end = i + 2 < symbols.size() ? symbols[i + 2].begin : end;
      return lookup(symbols[i].token, symbols[i + 1].token, symbols[i].begin, pair_end);
    };
    for (size_t i = 0; i < count; ++i) rules[i] = rule_at(i);
    while (symbols.size() > 1) {
      size_t best = 0;
      for (size_t i = 1; i + 1 < symbols.size(); ++i)
        if (rules[i].rank < rules[best].rank) best = i;
      if (rules[best].rank == MergeRule::kNone) break;
      symbols[best].token = rules[best].token;
      symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
      std::copy(rules + best + 2, rules + symbols.size() + 1, rules + best + 1);
      rules[best] = rule_at(best);
      if (best > 0) rules[best - 1] = rule_at(best - 1);
    }
  }

  template <typename Lookup>
  void merge_long(uint32_t end, uint32_t ranks, const Lookup& lookup) {
    const auto count = static_cast<uint32_t>(symbols.size());
    if (heads_.size() < ranks) heads_.resize(ranks, kNil);
    links_.clear();
    links_.reserve(count);
    for (uint32_t i = 0; i < count; ++i) {
      links_.push_back({.token = symbols[i].token,
                        .begin = symbols[i].begin,
                        .previous = i == 0 ? kNil : i - 1,
                        .next = i + 1 == count ? kNil : i + 1,
                        .rank = MergeRule::kNone});
    }
    for (uint32_t i = 0; i + 1 < count; ++i) enqueue(i, end, lookup, /*current=*/-1);

    while (!open_ranks_.empty()) {
      const uint32_t rank = open_ranks_.top();
      open_ranks_.pop();
      take_bucket(rank);
      for (const uint32_t place : bucket_) {
        run_urgent(key(rank, place), end, rank, lookup);
        if (links_[place].rank == rank) join(place, end, rank, lookup);
      }
      run_urgent(std::numeric_limits<uint64_t>::max(), end, rank, lookup);
    }
    symbols.clear();
    for (uint32_t i = 0; i != kNil; i = links_[i].next)
      symbols.push_back({.token = links_[i].token, .begin = links_[i].begin});
  }

  static uint64_t key(uint32_t rank, uint32_t place) { return uint64_t{rank} << 32 | place; }

  // Moves a bucket's places, ascending, into bucket_.
  void take_bucket(uint32_t rank) {
    bucket_.clear();
    for (uint32_t i = heads_[rank]; i != kNil;) {
      bucket_.push_back(waiting_[i].place);
      const uint32_t next = waiting_[i].next;
      waiting_[i].next = free_;
      free_ = i;
      i = next;
    }
    heads_[rank] = kNil;
    // Places mostly arrive in order and are listed last first.
    std::reverse(bucket_.begin(), bucket_.end());
    if (!std::is_sorted(bucket_.begin(), bucket_.end())) std::sort(bucket_.begin(), bucket_.end());
  }

  // Joins whatever in the small heap comes before `limit`.
  template <typename Lookup>
  void run_urgent(uint64_t limit, uint32_t end, uint32_t current, const Lookup& lookup) {
    while (!urgent_.empty() && urgent_.top() < limit) {
      const uint64_t top = urgent_.top();
      urgent_.pop();
      const auto place = static_cast<uint32_t>(top);
      if (links_[place].rank == top >> 32) join(place, end, current, lookup);
    }
  }

  template <typename Lookup>
  MergeRule rule_at(uint32_t left, uint32_t end, const Lookup& lookup) const {
    const uint32_t right = links_[left].next;
    if (right == kNil) return {};
    const uint32_t after = links_[right].next;
    return lookup(links_[left].token, links_[right].token, links_[left].begin,
                  after == kNil ? end : links_[after].begin);
  }

  // Notes the pair that starts at `place`, in its bucket or, up to `current`, in the heap.
  template <typename Lookup>
  void enqueue(uint32_t place, uint32_t end, const Lookup& lookup, int64_t current) {
    const uint32_t rank = rule_at(place, end, lookup).rank;
    links_[place].rank = rank;
    if (rank == MergeRule::kNone) return;
    if (rank <= current) {
      urgent_.push(key(rank, place));
      return;
    }
    if (heads_[rank] == kNil) open_ranks_.push(rank);
    if (free_ != kNil) {
      const uint32_t entry = free_;
      free_ = waiting_[entry].next;
      waiting_[entry] = {.place = place, .next = heads_[rank]};
      heads_[rank] = entry;
    } else {
      waiting_.push_back({.place = place, .next = heads_[rank]});
      heads_[rank] = static_cast<uint32_t>(waiting_.size() - 1);
    }
  }

  template <typename Lookup>
  void join(uint32_t left, uint32_t end, uint32_t current, const Lookup& lookup) {
    const uint32_t right = links_[left].next;
    links_[left].token = rule_at(left, end, lookup).token;
    links_[left].next = links_[right].next;
    links_[right].rank = MergeRule::kNone;
    if (links_[left].next != kNil) links_[links_[left].next].previous = left;
    if (links_[left].previous != kNil) enqueue(links_[left].previous, end, lookup, current);
    enqueue(left, end, lookup, current);
  }

  template <typename T>
  using MinHeap = std::priority_queue<T, std::vector<T>, std::greater<T>>;

  std::vector<Link> links_;
  std::vector<uint32_t> heads_;  // rank -> its list in waiting_; all kNil between words
  std::vector<Waiting> waiting_;
  uint32_t free_ = kNil;  // unused entries of waiting_
  std::vector<uint32_t> bucket_;
  MinHeap<uint32_t> open_ranks_;  // ranks with a list, each once
  MinHeap<uint64_t> urgent_;
};

}  // namespace minke
