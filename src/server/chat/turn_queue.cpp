#include "server/chat/turn_queue.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace minke::server {

bool TurnQueue::enter(std::vector<Entry> entries, std::vector<Ticket>& tickets) {
  std::vector<std::function<void()>> calls;
  {
    const std::lock_guard lock(mutex_);
    // The first of them run at once, as many as there is room for; only the others have to wait.
    const int64_t count = std::ssize(entries);
    const int64_t room =
        std::max<int64_t>(0, limits_.running_max - std::ssize(running_) - waiting_);
    const int64_t late = std::max<int64_t>(0, count - room);
    int64_t tokens = 0;
    for (int64_t i = count - late; i < count; ++i) {
      tokens += entries[static_cast<size_t>(i)].tokens;
    }
    if (late > 0 && (waiting_ + late > limits_.waiting_max ||
                     waiting_tokens_ + tokens > limits_.waiting_tokens_max)) {
      return false;
    }
    tickets.clear();
    for (Entry& entry : entries) {
      tickets.push_back(++last_ticket_);
      ++waiting_;
      waiting_tokens_ += entry.tokens;
      clients_[entry.client].waiting.push_back({last_ticket_, std::move(entry)});
    }
    start_next(calls);
    if (waiting_ > 0) tell_positions(calls, tickets.front());
  }
  for (const auto& call : calls) call();
  return true;
}

void TurnQueue::leave(Ticket ticket) {
  std::vector<std::function<void()>> calls;
  {
    const std::lock_guard lock(mutex_);
    if (const auto place = running_.find(ticket); place != running_.end()) {
      const auto client = clients_.find(place->second);
      --client->second.running;
      if (client->second.running == 0 && client->second.waiting.empty()) clients_.erase(client);
      running_.erase(place);
      start_next(calls);
      if (!calls.empty()) tell_positions(calls, 0);
    } else {
      for (auto client = clients_.begin(); client != clients_.end(); ++client) {
        std::deque<Waiting>& own = client->second.waiting;
        const auto found = std::ranges::find(own, ticket, &Waiting::ticket);
        if (found == own.end()) continue;
        --waiting_;
        waiting_tokens_ -= found->entry.tokens;
        own.erase(found);
        if (own.empty() && client->second.running == 0) clients_.erase(client);
        break;
      }
    }
  }
  for (const auto& call : calls) call();
}

void TurnQueue::start_next(std::vector<std::function<void()>>& calls) {
  while (waiting_ > 0 && std::ssize(running_) < limits_.running_max) {
    Client* next = nullptr;
    const std::string* name = nullptr;
    for (auto& [client_name, client] : clients_) {
      if (client.waiting.empty()) continue;
      const auto rank = [](const Client& one) {
        return std::tuple(one.running, one.last_served, one.waiting.front().ticket);
      };
      if (next != nullptr && rank(*next) <= rank(client)) continue;
      next = &client;
      name = &client_name;
    }
    Waiting first = std::move(next->waiting.front());
    next->waiting.pop_front();
    --waiting_;
    waiting_tokens_ -= first.entry.tokens;
    ++next->running;
    next->last_served = ++served_;
    running_.emplace(first.ticket, *name);
    calls.push_back(std::move(first.entry.start));
  }
}

// About: in order of arrival, which is what it will be where clients are alike.
void TurnQueue::tell_positions(std::vector<std::function<void()>>& calls, Ticket from) {
  std::vector<const Waiting*> all;
  for (const auto& [name, client] : clients_) {
    for (const Waiting& one : client.waiting) all.push_back(&one);
  }
  std::ranges::sort(all, {}, &Waiting::ticket);
  for (size_t i = 0; i < all.size(); ++i) {
    if (!all[i]->entry.on_moved || all[i]->ticket < from) continue;
    calls.push_back([moved = all[i]->entry.on_moved, position = static_cast<int64_t>(i) + 1] {
      moved(position);
    });
  }
}

int64_t TurnQueue::running() const {
  const std::lock_guard lock(mutex_);
  return std::ssize(running_);
}

int64_t TurnQueue::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_;
}

int TurnQueue::retry_after_s() const {
  constexpr int64_t kSecondsMax = 30;
  const std::lock_guard lock(mutex_);
  return static_cast<int>(std::clamp<int64_t>(
      1 + waiting_ / std::max<int64_t>(1, limits_.running_max), 1, kSecondsMax));
}

}  // namespace minke::server
