// Whose turn it is: so many requests run at once on a model, so many wait, the others are refused
// at once. Of those that wait, the client with the fewest running is next, and of such clients the
// one that was served longest ago; so one client with a thousand requests does not keep out another
// with one. Within a client, in order of arrival.
//
// Any thread. `start` is called without a lock held, on the thread of the call that made room.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace minke::server {

struct TurnLimits {
  int64_t running_max = 64;
  int64_t waiting_max = 512;
  int64_t waiting_tokens_max = 4'000'000;  // of the prompts of those that wait
  // Of those that run: embeddings, of which an engine reads one text at a time however many there
  // are. At most half of all, so that answers have places, but one.
  int64_t embeddings_max = 4;
};

class TurnQueue {
 public:
  using Ticket = uint64_t;  // 0: none

  explicit TurnQueue(TurnLimits limits);

  struct Entry {
    std::string client;
    int64_t tokens = 0;                              // of its prompt
    bool is_embedding = false;                       // alike in all entries of a request
    std::function<void()> start;                     // its turn has come
    std::function<void(int64_t position)> on_moved;  // 1: next. While it waits; may be empty
  };
  // All of a request's entries, or none: false when there is no room to wait in, and then nothing
  // of them is ever called. The tickets are set before any `start` is called, which may be before
  // this returns.
  bool enter(std::vector<Entry> entries, std::vector<Ticket>& tickets);
  // How many there can be, running and waiting: a request of more can never be taken.
  int64_t places() const { return limits_.running_max + limits_.waiting_max; }
  // It is over, or is not wanted any more.
  void leave(Ticket ticket);

  int64_t running() const;
  int64_t waiting() const;
  // When to come again: a second for each batch that waits, 30 at most.
  int retry_after_s() const;

 private:
  struct Waiting {
    Ticket ticket = 0;
    Entry entry;
  };
  struct Client {
    std::deque<Waiting> waiting;
    int64_t running = 0;
    uint64_t last_served = 0;
  };
  struct Running {
    std::string client;
    bool is_embedding = false;
  };
  bool may_start(const Waiting& one) const;                    // mutex_ is held
  void start_next(std::vector<std::function<void()>>& calls);  // mutex_ is held
  void tell_positions(std::vector<std::function<void()>>& calls, Ticket from);

  const TurnLimits limits_;
  mutable std::mutex mutex_;
  std::map<std::string, Client> clients_;
  std::map<Ticket, Running> running_;
  int64_t embeddings_ = 0;  // of them
  int64_t waiting_ = 0;
  int64_t waiting_tokens_ = 0;
  Ticket last_ticket_ = 0;
  uint64_t served_ = 0;
};

}  // namespace minke::server
