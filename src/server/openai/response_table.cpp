#include <utility>

#include "server/openai/responses.h"

namespace minke::server {
namespace {

size_t bytes_of(const ResponseTable::Kept& kept) {
  size_t bytes = kept.key.size() + to_json(kept.response).size();
  for (const Value& item : kept.input) bytes += to_json(item).size();
  for (const ChatTurn& turn : kept.turns) {
    bytes += sizeof turn + turn.content.size() + turn.reasoning.size() + turn.tool_call_id.size();
    for (const ToolCall& call : turn.tool_calls) {
      bytes += sizeof call + call.id.size() + call.name.size() + call.arguments.size();
    }
  }
  return bytes;
}

}  // namespace

void ResponseTable::keep(const std::string& id, Kept kept) {
  const size_t bytes = bytes_of(kept);
  const std::lock_guard lock(mutex_);
  insert(id, bytes, std::move(kept));
}

void ResponseTable::update(const std::string& id, Kept kept) {
  const size_t bytes = bytes_of(kept);
  const std::lock_guard lock(mutex_);
  const auto known = by_id_.find(id);
  if (known == by_id_.end()) return;
  bytes_ -= known->second->bytes;
  entries_.erase(known->second);
  by_id_.erase(known);
  insert(id, bytes, std::move(kept));
}

void ResponseTable::insert(const std::string& id, size_t bytes, Kept kept) {
  if (bytes > bytes_max_) return;
  entries_.push_front({.id = id, .bytes = bytes, .kept = std::move(kept)});
  by_id_[id] = entries_.begin();
  bytes_ += bytes;
  while (entries_.size() > count_max_ || bytes_ > bytes_max_) {
    bytes_ -= entries_.back().bytes;
    by_id_.erase(entries_.back().id);
    entries_.pop_back();
  }
}

void ResponseTable::set_asking(const std::string& id, const std::weak_ptr<Asking>& asking) {
  const std::lock_guard lock(mutex_);
  if (const auto known = by_id_.find(id); known != by_id_.end()) {
    known->second->kept.asking = asking;
  }
}

std::optional<ResponseTable::Kept> ResponseTable::find(const std::string& id,
                                                       const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto known = by_id_.find(id);
  if (known == by_id_.end() || known->second->kept.key != key) return std::nullopt;
  entries_.splice(entries_.begin(), entries_, known->second);
  return known->second->kept;
}

bool ResponseTable::remove(const std::string& id, const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto known = by_id_.find(id);
  if (known == by_id_.end() || known->second->kept.key != key) return false;
  bytes_ -= known->second->bytes;
  entries_.erase(known->second);
  by_id_.erase(known);
  return true;
}

}  // namespace minke::server
