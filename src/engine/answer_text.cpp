#include "engine/answer_text.h"

#include <utility>

#include "core/check.h"

namespace minke {
namespace {

ThinkParser parser_for(const AnswerTextOptions& options) {
  auto parser = ThinkParser::create({.open = options.style.open,
                                     .close = options.style.close,
                                     .starts_inside = options.starts_inside});
  CHECK(parser.has_value());
  return *std::move(parser);
}

}  // namespace

AnswerText::AnswerText(const Tokenizer& tokenizer, AnswerTextOptions options, OnPiece on_piece)
    : tokenizer_(tokenizer),
      options_(std::move(options)),
      on_piece_(std::move(on_piece)),
      thinking_(parser_for(options_)),
      stops_(options_.stop) {}

void AnswerText::give(PieceKind kind, std::string_view text) {
  if (text.empty()) return;
  (kind == PieceKind::kReasoning ? reasoning_ : content_) += text;
  if (on_piece_ && !cancelled_ && !on_piece_({.kind = kind, .text = text})) cancelled_ = true;
}

void AnswerText::take_content(std::string_view text) {
  std::string out;
  stops_.feed(text, out);
  give(PieceKind::kContent, out);
}

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

// Control tokens have no text, unless they are the tags that the answer is taken apart at.
std::string_view AnswerText::text_of(int32_t token) const {
  const std::string_view name = tokenizer_.piece(token, true);
  const bool is_tag =
      options_.split_thinking && (name == options_.style.open || name == options_.style.close);
  return is_tag ? name : tokenizer_.piece(token);
}

TokenVerdict AnswerText::take(const TokenEvent& event) {
  if (options_.split_thinking && thinking_.is_inside()) ++reasoning_tokens_;
  if (!event.ends_turn) take_text(characters_.push(text_of(event.token)));
  if (cancelled_) return TokenVerdict::kCancel;
  return stops_.stopped() ? TokenVerdict::kStopString : TokenVerdict::kContinue;
}

void AnswerText::finish() {
  if (stops_.stopped()) return;
  take_text(characters_.flush());
  if (options_.split_thinking) take_events(thinking_.finish());
  if (stops_.stopped()) return;
  std::string rest;
  stops_.finish(rest);
  give(PieceKind::kContent, rest);
}

}  // namespace minke
