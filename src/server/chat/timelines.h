// The conversations that a model had last, by their turns: what tokens they were. A client sends
// its whole history with each request, as text; a model does not always write the tokens that a
// tokenizer would choose for that text, and then what the cache holds would not be found again.
//
// Any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/chat_prompt.h"
#include "minke/engine.h"

namespace minke::server {

// Stands for each beginning of a conversation: [0] for its first turn, and so on. What templates do
// not show of earlier turns (reasoning) does not count, nor do the ids of calls.
std::vector<uint64_t> turn_marks(const std::vector<ChatTurn>& turns);

class Timelines {
 public:
  explicit Timelines(size_t bytes_max) : bytes_max_(bytes_max) {}

  // The timeline of the longest beginning that is known; empty: none.
  ChatTimeline find(const std::vector<ChatTurn>& turns);
  // `turns` with their answer at the end.
  void keep(const std::vector<ChatTurn>& turns, ChatTimeline timeline);

  // All, latest first: to be kept on the disk.
  std::vector<std::pair<uint64_t, ChatTimeline>> all() const;
  void restore(uint64_t mark, ChatTimeline timeline);
  // Whether anything was kept since the last time that this was asked.
  bool take_changed() { return is_changed_.exchange(false); }

 private:
  struct Kept {
    uint64_t mark = 0;
    ChatTimeline timeline;
  };
  static size_t bytes_of(const Kept& kept);
  void insert(uint64_t mark, ChatTimeline timeline);  // mutex_ is held

  const size_t bytes_max_;
  mutable std::mutex mutex_;
  std::list<Kept> kept_;  // latest first
  std::unordered_map<uint64_t, std::list<Kept>::iterator> by_mark_;
  size_t bytes_ = 0;
  std::atomic<bool> is_changed_ = false;
};

}  // namespace minke::server
