#include "server/history/import_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace minke::history {

std::vector<TreePlace> in_order_of_tree(std::vector<TreeNode>& nodes) {
  std::unordered_map<std::string_view, size_t> places;
  for (size_t i = 0; i < nodes.size(); ++i) places.emplace(nodes[i].id, i);
  std::vector<std::vector<size_t>> children(nodes.size());
  std::vector<size_t> roots;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const auto parent = nodes[i].parent_id.empty() ? places.end() : places.find(nodes[i].parent_id);
    if (parent == places.end()) {
      roots.push_back(i);
    } else {
      children[parent->second].push_back(i);
      ++nodes[parent->second].children;
    }
  }
  const auto by_time = [&](size_t a, size_t b) {
    return nodes[a].created_at_ms < nodes[b].created_at_ms;
  };
  std::vector<TreePlace> order;
  std::vector<TreePlace> waiting;
  const auto wait_for = [&](std::vector<size_t>& siblings, std::optional<size_t> parent) {
    std::stable_sort(siblings.begin(), siblings.end(), by_time);
    for (auto node = siblings.rbegin(); node != siblings.rend(); ++node)
      waiting.push_back({.node = *node, .parent = parent});
  };
  wait_for(roots, std::nullopt);
  while (!waiting.empty()) {
    const TreePlace place = waiting.back();
    waiting.pop_back();
    order.push_back(place);
    wait_for(children[place.node], place.node);
  }
  return order;
}

std::string_view text_at(const Value& value, std::string_view key) {
  const Value* member = value.find(key);
  const std::string* text = member == nullptr ? nullptr : member->as_string();
  return text == nullptr ? std::string_view() : std::string_view(*text);
}

const Value::Object* object_at(const Value& value, std::string_view key) {
  const Value* member = value.find(key);
  return member == nullptr ? nullptr : member->as_object();
}

const Value::Array* array_at(const Value& value, std::string_view key) {
  const Value* member = value.find(key);
  return member == nullptr ? nullptr : member->as_array();
}

bool flag_at(const Value& value, std::string_view key) {
  const Value* member = value.find(key);
  const bool* flag = member == nullptr ? nullptr : member->as_bool();
  return flag != nullptr && *flag;
}

int64_t time_at(const Value& value, std::string_view key) {
  const Value* member = value.find(key);
  if (member == nullptr) return 0;
  double time = 0;
  if (const int64_t* integer = member->as_int()) time = static_cast<double>(*integer);
  if (const double* real = member->as_float()) time = *real;
  constexpr double kSecondsMax = 1e11;  // in the year 5138; as milliseconds, in 1973
  constexpr double kMillisecondsMax = 1e14;
  if (!std::isfinite(time) || time <= 0 || time > kMillisecondsMax) return 0;
  return static_cast<int64_t>(time < kSecondsMax ? time * 1000 : time);
}

std::string shortened(std::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return std::string(text);
  size_t end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80) --end;
  return std::string(text.substr(0, end));
}

std::vector<std::string> LeftOut::sentences() const {
  std::vector<std::string> sentences;
  for (const auto& [what, count] : counts_)
    sentences.push_back(fmt::format("left out: {} × {}", count, what));
  return sentences;
}

Status check_message_size(const Message& message) {
  size_t bytes = message.content.size();
  for (const ThinkingSegment& segment : message.thinking)
    bytes = std::max(bytes, segment.text.size());
  if (bytes <= kLimits.message_bytes_max) return {};
  return fail(fmt::format("a message has {} bytes, and at most {} are kept", bytes,
                          kLimits.message_bytes_max));
}

}  // namespace minke::history
