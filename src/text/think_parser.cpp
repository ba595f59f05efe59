#include "text/think_parser.h"

#include <fmt/format.h>

#include <algorithm>

namespace minke {

namespace {

void emit(std::vector<ThinkEvent>& events, ThinkKind kind, std::string_view text) {
  if (text.empty()) return;
  if (!events.empty() && events.back().kind == kind) {
    events.back().text += text;
  } else {
    events.push_back({kind, std::string(text)});
  }
}

// Bytes at the end of `text` that begin `tag` without completing it.
size_t tag_prefix_at_end(std::string_view text, std::string_view tag) {
  for (size_t size = std::min(tag.size() - 1, text.size()); size > 0; --size)
    if (text.ends_with(tag.substr(0, size))) return size;
  return 0;
}

}  // namespace

ThinkParser::ThinkParser(ThinkOptions options)
    : options_(std::move(options)),
      is_inside_(options_.starts_inside),
      skips_newlines_(options_.starts_inside) {}

ThinkParser::ThinkParser(bool starts_inside)
    : ThinkParser(ThinkOptions{.starts_inside = starts_inside}) {}

Result<ThinkParser> ThinkParser::create(ThinkOptions options) {
  constexpr size_t kTagBytesMax = 64;
  for (const std::string* tag : {&options.open, &options.close})
    if (tag->empty() || tag->size() > kTagBytesMax)
      return misuse(fmt::format("a thinking tag has {} bytes; it must have 1 to {}", tag->size(),
                                kTagBytesMax));
  return ThinkParser(std::move(options));
}

std::vector<ThinkEvent> ThinkParser::feed(std::string_view chunk) {
  std::vector<ThinkEvent> events;
  const std::string text = held_ + std::string(chunk);
  held_.clear();
  std::string_view rest = text;
  while (!rest.empty()) {
    if (skips_newlines_) {
      const size_t newlines = std::min(rest.find_first_not_of("\r\n"), rest.size());
      emit(events, ThinkKind::kMarker, rest.substr(0, newlines));
      rest.remove_prefix(newlines);
      if (rest.empty()) break;
    }
    if (options_.only_first && !is_inside_) {
      const std::string& tag = options_.open;
      is_done_ = is_done_ || !(rest.starts_with(tag) || tag.starts_with(rest));
      if (is_done_) {
        skips_newlines_ = false;
        emit(events, ThinkKind::kContent, rest);
        break;
      }
    }
    const ThinkKind kind = is_inside_ ? ThinkKind::kReasoning : ThinkKind::kContent;
    const std::string& tag = next_tag();
    const size_t found = rest.find(tag);
    if (found == std::string_view::npos) {
      const size_t kept = tag_prefix_at_end(rest, tag);
      const std::string_view sent = rest.substr(0, rest.size() - kept);
      if (!sent.empty()) skips_newlines_ = false;
      emit(events, kind, sent);
      held_ = rest.substr(sent.size());
      break;
    }
    emit(events, kind, rest.substr(0, found));
    emit(events, ThinkKind::kMarker, tag);
    rest.remove_prefix(found + tag.size());
    is_done_ = options_.only_first && is_inside_;
    is_inside_ = !is_inside_;
    skips_newlines_ = true;
  }
  return events;
}

std::vector<ThinkEvent> ThinkParser::finish() {
  std::vector<ThinkEvent> events;
  emit(events, is_inside_ ? ThinkKind::kReasoning : ThinkKind::kContent, held_);
  held_.clear();
  return events;
}

SplitAnswer split_thinking(std::string_view answer, bool starts_inside) {
  ThinkParser parser(starts_inside);
  SplitAnswer out;
  for (const auto& events : {parser.feed(answer), parser.finish()}) {
    for (const ThinkEvent& event : events) {
      if (event.kind == ThinkKind::kReasoning) out.reasoning += event.text;
      if (event.kind == ThinkKind::kContent) out.content += event.text;
    }
  }
  out.is_cut = parser.is_inside();
  return out;
}

}  // namespace minke
