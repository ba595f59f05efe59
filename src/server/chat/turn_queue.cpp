#include "server/chat/turn_queue.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace minke::server {

TurnQueue::TurnQueue(TurnLimits limits)
    : limits_([&] {
        limits.embeddings_max =
            std::min(limits.embeddings_max, std::max<int64_t>(1, limits.running_max / 2));
        return limits;
      }()) {}

bool TurnQueue::enter(std::vector<Entry> entries, std::vector<Ticket>& tickets) {
  std::vector<std::function<void()>> calls;
  {
    const std::lock_guard lock(mutex_);
    // The first of them run at once, as many as there is room for; only the others have to wait.
    const int64_t count = std::ssize(entries);
    int64_t room = std::max<int64_t>(0, limits_.running_max - std::ssize(running_));
    if (!entries.empty() && entries.front().is_embedding) {
      room = std::min(room, limits_.embeddings_max - embeddings_);
    }
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
      const auto client = clients_.find(place->second.client);
      --client->second.running;
      if (client->second.running == 0 && client->second.waiting.empty()) clients_.erase(client);
      if (place->second.is_embedding) --embeddings_;
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

bool TurnQueue::may_start(const Waiting& one) const {
  return !one.entry.is_embedding || embeddings_ < limits_.embeddings_max;
}

void TurnQueue::start_next(std::vector<std::function<void()>>& calls) {
  const auto first_of = [this](Client& client) {
    return std::ranges::find_if(client.waiting, [this](const auto& one) { return may_start(one); });
  };
  while (waiting_ > 0 && std::ssize(running_) < limits_.running_max) {
    Client* next = nullptr;
    for (auto& [name, client] : clients_) {
      const auto first = first_of(client);
      if (first == client.waiting.end()) continue;
      const auto rank = [&](Client& one) {
        return std::tuple(one.running, one.last_served, first_of(one)->ticket);
      };
      if (next == nullptr || rank(client) < rank(*next)) next = &client;
    }
    if (next == nullptr) return;
    const auto place = first_of(*next);
    Waiting first = std::move(*place);
    next->waiting.erase(place);
    --waiting_;
    waiting_tokens_ -= first.entry.tokens;
    ++next->running;
    next->last_served = ++served_;
    if (first.entry.is_embedding) ++embeddings_;
    calls.push_back(std::move(first.entry.start));
    running_.emplace(first.ticket, Running{.client = std::move(first.entry.client),
                                           .is_embedding = first.entry.is_embedding});
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
