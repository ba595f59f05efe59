#include "text/tool_calls.h"

#include <algorithm>
#include <array>
#include <utility>

#include "text/value.h"

namespace minke {

namespace {

constexpr std::string_view kSeparator = "<｜tool▁sep｜>";
constexpr std::array<std::string_view, 5> kDeepSeekMarkers = {
    "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁calls▁begin｜>",
    "<｜tool▁calls▁end｜>", kSeparator};
constexpr std::array<std::string_view, 2> kHermesMarkers = {"<tool_call>", "</tool_call>"};

constexpr std::string_view kSpace = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

// Bytes at the end of `text` that begin one of the markers without completing it.
size_t begun_at_end(std::string_view text, std::span<const std::string_view> markers) {
  size_t longest = 0;
  for (const std::string_view marker : markers) {
    for (size_t size = std::min(marker.size() - 1, text.size()); size > longest; --size) {
      if (text.ends_with(marker.substr(0, size))) longest = size;
    }
  }
  return longest;
}

bool is_object(std::string_view json) {
  const auto value = parse_json(json);
  return value && value->as_object() != nullptr;
}

std::optional<ToolCall> made(std::string_view name, std::string_view arguments) {
  name = trimmed(name);
  arguments = trimmed(arguments);
  if (arguments.empty()) arguments = "{}";  // of a function that takes none
  if (name.empty() || name.find_first_of(kSpace) != std::string_view::npos) return std::nullopt;
  if (!is_object(arguments)) return std::nullopt;
  return ToolCall{.name = std::string(name), .arguments = std::string(arguments)};
}

std::optional<ToolCall> parse_deepseek(std::string_view body) {
  const size_t separator = body.find(kSeparator);
  if (separator == std::string_view::npos) return std::nullopt;
  const std::string_view rest = body.substr(separator + kSeparator.size());
  const size_t fence = rest.find("```");
  // V3.1 writes the name in front of the separator and bare arguments behind it; a fence further in
  // is inside of those.
  if (fence == std::string_view::npos || rest.substr(0, fence).find('{') != std::string_view::npos)
    return made(body.substr(0, separator), rest);
  std::string_view arguments = rest.substr(fence + 3);
  if (arguments.starts_with("json")) arguments.remove_prefix(4);
  arguments = arguments.substr(0, std::min(arguments.rfind("```"), arguments.size()));
  return made(rest.substr(0, fence), arguments);
}

const Value* arguments_of(const Value& call) {
  const Value* arguments = call.find("arguments");
  return arguments != nullptr ? arguments : call.find("parameters");
}

std::optional<ToolCall> parse_hermes(std::string_view body) {
  const auto value = parse_json(trimmed(body));
  if (!value) return std::nullopt;
  const Value* name = value->find("name");
  const Value* arguments = arguments_of(*value);
  if (name == nullptr || name->as_string() == nullptr) return std::nullopt;
  if (arguments == nullptr) return made(*name->as_string(), "");
  // Some write the object as the text that it is in OpenAI's interface.
  const std::string* text = arguments->as_string();
  return made(*name->as_string(), text != nullptr ? *text : to_json(*arguments));
}

// Without markers nothing else may be there.
std::optional<ToolCall> parse_bare(std::string_view object) {
  const auto value = parse_json(object);
  if (!value || value->as_object() == nullptr || value->as_object()->size() != 2 ||
      arguments_of(*value) == nullptr) {
    return std::nullopt;
  }
  return parse_hermes(object);
}

bool is_space(char c) { return kSpace.find(c) != std::string_view::npos; }

}  // namespace

BareCalls::BareCalls(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    heads_.push_back("{\"name\":" + to_json(Value(name)));
  }
}

bool BareCalls::take(std::string_view text) {
  return std::ranges::all_of(text, [this](char c) { return take(c); });
}

bool BareCalls::take(char c) {
  constexpr int kFenceMarks = 3;
  switch (place_) {
    case Place::kBetween:
      return take_between(c);
    case Place::kFenceMark:
      if (c != '`') return false;
      if (++marks_ < kFenceMarks) return true;
      is_in_fence_ = !is_in_fence_;
      place_ = is_in_fence_ ? Place::kFenceWord : Place::kBetween;
      return true;
    case Place::kFenceWord:
      // Of the language: "json", most often.
      if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_') return true;
      place_ = Place::kBetween;
      return take_between(c);
    case Place::kObject:
      return take_inside(c);
  }
  return false;
}

bool BareCalls::take_between(char c) {
  if (is_space(c)) return true;
  switch (c) {
    case '`':
      place_ = Place::kFenceMark;
      marks_ = 1;
      return !is_in_array_;
    case '[':
      return !std::exchange(is_in_array_, true);
    case ']':
      return std::exchange(is_in_array_, false);
    case ',':
      return is_in_array_;
    case '{':
      place_ = Place::kObject;
      object_.clear();
      head_.clear();
      is_known_ = false;
      return take_inside(c);
    default:
      return false;
  }
}

bool BareCalls::fits_head() const {
  return std::ranges::any_of(heads_,
                             [this](const std::string& one) { return one.starts_with(head_); });
}

bool BareCalls::take_inside(char c) {
  object_ += c;
  if (!is_known_ && (is_in_string_ || !is_space(c))) {
    head_ += c;
    if (!fits_head()) return false;
    is_known_ = std::ranges::find(heads_, head_) != heads_.end();
  }
  if (is_in_string_) {
    if (!std::exchange(is_escaped_, false)) {
      is_escaped_ = c == '\\';
      is_in_string_ = c != '"';
    }
    return true;
  }
  if (c == '"') is_in_string_ = true;
  if (c == '{' || c == '[') ++depth_;
  if ((c != '}' && c != ']') || --depth_ > 0) return true;
  place_ = Place::kBetween;
  std::optional<ToolCall> call = parse_bare(object_);
  if (call) calls_.push_back(*std::move(call));
  return call.has_value();
}

// A fence that was not closed is one all the same.
std::vector<ToolCall> BareCalls::calls() const {
  const bool is_whole = place_ == Place::kBetween && !is_in_array_;
  return is_whole ? calls_ : std::vector<ToolCall>();
}

std::span<const std::string_view> tool_markers(ToolFormat format) {
  switch (format) {
    case ToolFormat::kNone:
      return {};
    case ToolFormat::kDeepSeek:
    case ToolFormat::kDeepSeekBare:
      return kDeepSeekMarkers;
    case ToolFormat::kHermes:
      return kHermesMarkers;
  }
  return {};
}

ToolCallParser::ToolCallParser(ToolFormat format, const std::vector<std::string>& names)
    : format_(format) {
  if (!names.empty()) bare_.emplace(names);
  const auto markers = tool_markers(format);
  if (markers.empty()) return;
  markers_ = {.call_open = markers[0], .call_close = markers[1]};
  if (format != ToolFormat::kHermes) {
    markers_.all_open = markers[2];
    markers_.all_close = markers[3];
  }
}

void ToolCallParser::emit_text(std::vector<ToolEvent>& events, std::string_view text) {
  if (text.empty()) return;
  if (events.empty() || events.back().call) events.emplace_back();
  events.back().text += text;
}

std::optional<ToolCall> ToolCallParser::parse_call(std::string_view body) const {
  return format_ == ToolFormat::kHermes ? parse_hermes(body) : parse_deepseek(body);
}

// `body` stood between a call's markers, `closing` ended it.
void ToolCallParser::end_call(std::vector<ToolEvent>& events, std::string_view body,
                              std::string_view closing) {
  is_inside_ = false;
  if (std::optional<ToolCall> call = parse_call(body)) {
    skipped_.clear();
    is_behind_call_ = true;
    events.push_back({.text = {}, .call = std::move(call)});
    return;
  }
  is_behind_call_ = false;
  emit_text(events, std::exchange(skipped_, {}));
  emit_text(events, body);
  emit_text(events, closing);
}

// True when there is more to do with what is held.
bool ToolCallParser::step_outside(std::vector<ToolEvent>& events) {
  const std::array<std::string_view, 3> openers = {markers_.call_open, markers_.all_open,
                                                   markers_.all_close};
  const std::span<const std::string_view> all(openers.data(), markers_.all_open.empty() ? 1 : 3);
  size_t first = std::string::npos;
  std::string_view marker;
  for (const std::string_view one : all) {
    const size_t place = held_.find(one);
    if (place >= first) continue;
    first = place;
    marker = one;
  }
  const bool found = first != std::string::npos;
  const size_t before = found ? first : held_.size() - begun_at_end(held_, all);
  const std::string_view text = std::string_view(held_).substr(0, before);
  // Space around calls and the marker behind them are gone with them.
  const bool is_space = text.find_first_not_of(kSpace) == std::string_view::npos;
  if (!is_space || (skipped_.empty() && !is_behind_call_)) {
    const bool follows_call = is_behind_call_ && skipped_.empty();
    emit_text(events, std::exchange(skipped_, {}));
    emit_text(events, follows_call ? text.substr(text.find_first_not_of(kSpace)) : text);
    if (!is_space) is_behind_call_ = false;
  } else if (!skipped_.empty()) {
    skipped_ += text;
  }
  const bool ends_calls = is_behind_call_ && skipped_.empty() && marker == markers_.all_close;
  if (!ends_calls) skipped_ += marker;
  is_inside_ = found && marker == markers_.call_open;
  held_.erase(0, before + marker.size());
  return found;
}

bool ToolCallParser::step_inside(std::vector<ToolEvent>& events) {
  // Another call, or the end of all of them, ends one whose own end was left out.
  size_t end = held_.find(markers_.call_close);
  std::string_view closing = end == std::string::npos ? std::string_view() : markers_.call_close;
  for (const std::string_view other : {markers_.call_open, markers_.all_close}) {
    const size_t place = other.empty() ? std::string::npos : held_.find(other);
    if (place >= end) continue;
    end = place;
    closing = {};
  }
  if (end == std::string::npos) return false;
  const std::string body = held_.substr(0, end);
  held_.erase(0, end + closing.size());
  end_call(events, body, closing);
  return true;
}

std::vector<ToolEvent> ToolCallParser::feed(std::string_view chunk) {
  if (!bare_) return feed_marked(chunk);
  bare_text_ += chunk;
  if (bare_->take(chunk)) return {};
  bare_.reset();
  return feed_marked(std::exchange(bare_text_, {}));
}

std::vector<ToolEvent> ToolCallParser::feed_marked(std::string_view chunk) {
  std::vector<ToolEvent> events;
  if (format_ == ToolFormat::kNone) {
    emit_text(events, chunk);
    return events;
  }
  held_ += chunk;
  while (is_inside_ ? step_inside(events) : step_outside(events)) {
  }
  return events;
}

std::vector<ToolEvent> ToolCallParser::finish() {
  std::vector<ToolEvent> events;
  if (bare_) {
    for (ToolCall& call : bare_->calls()) events.push_back({.text = {}, .call = std::move(call)});
    bare_.reset();
    const std::string text = std::exchange(bare_text_, {});
    if (!events.empty()) return events;
    events = feed_marked(text);
  }
  if (is_inside_) {
    end_call(events, std::exchange(held_, {}), {});
  } else {
    // Markers around calls that were found are gone; those around nothing are text.
    emit_text(events, std::exchange(skipped_, {}));
    emit_text(events, std::exchange(held_, {}));
  }
  return events;
}

}  // namespace minke
