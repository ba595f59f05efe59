#include <iterator>
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

const Value::Array& output_of(const ResponseTable::Kept& kept) {
  static const Value::Array kNone;
  const Value* output = kept.response.find("output");
  return output == nullptr ? kNone : *output->as_array();
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
  drop(known->second);
  insert(id, bytes, std::move(kept));
}

void ResponseTable::insert(const std::string& id, size_t bytes, Kept kept) {
  if (bytes > bytes_max_) return;
  entries_.push_front({.id = id, .bytes = bytes, .kept = std::move(kept)});
  by_id_[id] = entries_.begin();
  for (const Value& item : output_of(entries_.front().kept)) {
    by_item_[text_member(item, "id")] = entries_.begin();
  }
  bytes_ += bytes;
  while (entries_.size() > count_max_ || bytes_ > bytes_max_) drop(std::prev(entries_.end()));
}

void ResponseTable::drop(Place place) {
  for (const Value& item : output_of(place->kept)) by_item_.erase(text_member(item, "id"));
  bytes_ -= place->bytes;
  by_id_.erase(place->id);
  entries_.erase(place);
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

std::optional<Value> ResponseTable::find_item(const std::string& id, const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto known = by_item_.find(id);
  if (known == by_item_.end() || known->second->kept.key != key) return std::nullopt;
  for (const Value& item : output_of(known->second->kept)) {
    if (text_member(item, "id") == id) return item;
  }
  return std::nullopt;
}

bool ResponseTable::remove(const std::string& id, const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto known = by_id_.find(id);
  if (known == by_id_.end() || known->second->kept.key != key) return false;
  drop(known->second);
  return true;
}

}  // namespace minke::server
