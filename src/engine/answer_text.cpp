#include "engine/answer_text.h"

#include <algorithm>
#include <utility>

#include "core/check.h"

namespace minke {
namespace {

ThinkParser parser_for(const AnswerTextOptions& options) {
  auto parser = ThinkParser::create({.open = options.style.open,
                                     .close = options.style.close,
                                     .starts_inside = options.starts_inside,
                                     .only_first = options.thinks_first});
  CHECK(parser.has_value());
  return *std::move(parser);
}

// Nine letters and digits, which every template takes: by what the call is and where, so that an
// answer that comes again is the same.
std::string call_id(const ToolCall& call, int64_t position, size_t index) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  uint64_t hash = 1469598103934665603u ^ static_cast<uint64_t>(position) ^ (uint64_t{index} << 48);
  for (const std::string* text : {&call.name, &call.arguments}) {
    for (const char c : *text) hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211u;
  }
  std::string id;
  for (int i = 0; i < 9; ++i) {
    id += kLetters[hash % kLetters.size()];
    hash /= kLetters.size();
  }
  return id;
}

}  // namespace

AnswerText::AnswerText(const Tokenizer& tokenizer, AnswerTextOptions options, OnPiece on_piece)
    : tokenizer_(tokenizer),
      options_(std::move(options)),
      on_piece_(std::move(on_piece)),
      thinking_(parser_for(options_)),
      tools_(options_.tools, options_.bare_tools),
      stops_(options_.stop) {}

void AnswerText::give(PieceKind kind, std::string_view text) {
  if (text.empty()) return;
  (kind == PieceKind::kReasoning ? reasoning_ : content_) += text;
  if (on_piece_ && !cancelled_ && !on_piece_({.kind = kind, .text = text})) cancelled_ = true;
}

void AnswerText::give_call(ToolCall call) {
  call.id = call_id(call, position_, calls_.size());
  calls_.push_back(std::move(call));
  const ToolCall& given = calls_.back();
  if (!on_piece_ || cancelled_) return;
  cancelled_ = !on_piece_({.kind = PieceKind::kToolCall, .text = given.arguments, .call = &given});
}

void AnswerText::take_tool_events(const std::vector<ToolEvent>& events) {
  for (const ToolEvent& event : events) {
    if (stops_.stopped()) return;
    if (event.call) {
      give_call(*event.call);
      continue;
    }
    std::string out;
    stops_.feed(event.text, out);
    give(PieceKind::kContent, out);
  }
}

void AnswerText::take_content(std::string_view text) { take_tool_events(tools_.feed(text)); }

void AnswerText::take_events(const std::vector<ThinkEvent>& events) {
  for (const ThinkEvent& event : events) {
    if (stops_.stopped()) return;
    if (event.kind == ThinkKind::kReasoning) give(PieceKind::kReasoning, event.text);
    if (event.kind == ThinkKind::kContent) take_content(event.text);
  }
}

void AnswerText::take_text(const std::string& text) {
  if (text.empty()) return;
  if (options_.split_thinking) {
    take_events(thinking_.feed(text));
  } else {
    take_content(text);
  }
}

// Control tokens have no text, unless they are what the answer is taken apart at.
std::string_view AnswerText::text_of(int32_t token) const {
  const std::string_view name = tokenizer_.piece(token, true);
  const bool is_tag =
      options_.split_thinking && (name == options_.style.open || name == options_.style.close);
  const bool is_marker = std::ranges::any_of(tool_markers(options_.tools),
                                             [&](std::string_view one) { return one == name; });
  return is_tag || is_marker ? name : tokenizer_.piece(token);
}

TokenVerdict AnswerText::take(const TokenEvent& event) {
  if (is_thinking()) ++reasoning_tokens_;
  position_ = event.position;
  if (!event.ends_turn) take_text(characters_.push(text_of(event.token)));
  if (cancelled_) return TokenVerdict::kCancel;
  return stops_.stopped() ? TokenVerdict::kStopString : TokenVerdict::kContinue;
}

void AnswerText::finish() {
  if (stops_.stopped()) return;
  take_text(characters_.flush());
  if (options_.split_thinking) take_events(thinking_.finish());
  take_tool_events(tools_.finish());
  if (stops_.stopped()) return;
  std::string rest;
  stops_.finish(rest);
  give(PieceKind::kContent, rest);
}

}  // namespace minke
