#include "server/chat/timelines.h"

#include <string_view>
#include <utility>

namespace minke::server {
namespace {

// FNV-1a. Not against an adversary: a wrong timeline is compared with the text and costs nothing.
uint64_t mix(uint64_t mark, std::string_view text) {
  constexpr uint64_t kPrime = 0x100000001b3;
  for (const char c : text) mark = (mark ^ static_cast<uint8_t>(c)) * kPrime;
  return (mark ^ 0xFF) * kPrime;  // a border: "ab", "c" is not "a", "bc"
}

}  // namespace

std::vector<uint64_t> turn_marks(const std::vector<ChatTurn>& turns) {
  uint64_t mark = 0xcbf29ce484222325;
  std::vector<uint64_t> marks;
  marks.reserve(turns.size());
  for (const ChatTurn& turn : turns) {
    mark = mix(mix(mark, turn.role), turn.content);
    for (const ToolCall& call : turn.tool_calls) mark = mix(mix(mark, call.name), call.arguments);
    marks.push_back(mark);
  }
  return marks;
}

size_t Timelines::bytes_of(const Kept& kept) {
  return kept.timeline.text.size() + kept.timeline.tokens.size() * sizeof(int32_t) +
         kept.timeline.cuts.size() * sizeof(ChatTimeline::Cut) + 256;
}

ChatTimeline Timelines::find(const std::vector<ChatTurn>& turns) {
  const std::vector<uint64_t> marks = turn_marks(turns);
  const std::lock_guard lock(mutex_);
  for (size_t i = marks.size(); i-- > 0;) {
    const auto found = by_mark_.find(marks[i]);
    if (found == by_mark_.end()) continue;
    kept_.splice(kept_.begin(), kept_, found->second);
    return kept_.front().timeline;
  }
  return {};
}

void Timelines::keep(const std::vector<ChatTurn>& turns, ChatTimeline timeline) {
  if (turns.empty()) return;
  const uint64_t mark = turn_marks(turns).back();
  const std::lock_guard lock(mutex_);
  insert(mark, std::move(timeline));
  is_changed_ = true;
}

void Timelines::restore(uint64_t mark, ChatTimeline timeline) {
  const std::lock_guard lock(mutex_);
  insert(mark, std::move(timeline));
}

void Timelines::insert(uint64_t mark, ChatTimeline timeline) {
  const auto drop = [&](std::list<Kept>::iterator one) {
    bytes_ -= bytes_of(*one);
    by_mark_.erase(one->mark);
    kept_.erase(one);
  };
  if (const auto found = by_mark_.find(mark); found != by_mark_.end()) drop(found->second);
  kept_.push_front({mark, std::move(timeline)});
  by_mark_[mark] = kept_.begin();
  bytes_ += bytes_of(kept_.front());
  while (bytes_ > bytes_max_) drop(std::prev(kept_.end()));
}

std::vector<std::pair<uint64_t, ChatTimeline>> Timelines::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<uint64_t, ChatTimeline>> out;
  out.reserve(kept_.size());
  for (const Kept& one : kept_) out.emplace_back(one.mark, one.timeline);
  return out;
}

}  // namespace minke::server
