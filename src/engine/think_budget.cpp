#include "engine/think_budget.h"

#include <algorithm>
#include <utility>

#include "core/check.h"

namespace minke {
namespace {

constexpr int64_t kGraceTokensMax = 32;
constexpr size_t kTailBytesLeast = 8;

ThinkParser parser_for(const ThinkingStyle& style, bool starts_inside, bool thinks_first) {
  auto parser = ThinkParser::create({.open = style.open,
                                     .close = style.close,
                                     .starts_inside = starts_inside,
                                     .only_first = thinks_first});
  CHECK(parser.has_value());
  return *std::move(parser);
}

}  // namespace

ThinkBudget::ThinkBudget(const Tokenizer& tokenizer, int64_t tokens_max, ThinkingStyle style,
                         bool starts_inside, bool thinks_first)
    : tokenizer_(tokenizer),
      tokens_max_(tokens_max),
      style_(std::move(style)),
      parser_(parser_for(style_, starts_inside, thinks_first)) {
  close_if_spent();
}

// Behind a line, or behind a sentence: a full stop that is no number's.
bool ThinkBudget::is_graceful() const {
  if (tail_.ends_with('\n')) return true;
  for (const std::string_view end : {".", "!", "?", "。", "！", "？"}) {
    if (!tail_.ends_with(end)) continue;
    const std::string_view before = std::string_view(tail_).substr(0, tail_.size() - end.size());
    return !before.empty() && (before.back() < '0' || before.back() > '9');
  }
  return false;
}

// What has to follow for the thinking to be closed as the model closes it.
std::string ThinkBudget::closing_text() const {
  // Of a tag that is one token, the first character alone is none of it.
  const bool is_token = tokenizer_.encode(style_.close, SpecialText::kParse).size() == 1;
  for (size_t begun = style_.close.size() - 1; begun > (is_token ? 1u : 0u); --begun) {
    if (tail_.ends_with(std::string_view(style_.close).substr(0, begun))) {
      return style_.close.substr(begun) + style_.after_close;
    }
  }
  return tail_.ends_with('\n') ? style_.close + style_.after_close : style_.closing();
}

void ThinkBudget::close_if_spent() {
  if (tokens_max_ < 0 || !parser_.is_inside()) return;
  const int64_t grace = std::min(tokens_max_ / 8, kGraceTokensMax);
  if (spent_ < tokens_max_ && (spent_ < tokens_max_ - grace || !is_graceful())) return;
  closing_ = tokenizer_.encode(closing_text(), SpecialText::kParse);
  next_ = 0;
  has_closed_ = true;
}

void ThinkBudget::take(int32_t token) {
  const bool was_inside = parser_.is_inside();
  const std::string_view piece = tokenizer_.piece(token, true);
  parser_.feed(piece);
  if (!closing_.empty()) {
    if (++next_ == closing_.size()) closing_.clear();
    return;
  }
  if (was_inside) {
    ++spent_;
    tail_ += piece;
    const size_t kept = std::max(kTailBytesLeast, style_.close.size());
    if (tail_.size() > kept) tail_.erase(0, tail_.size() - kept);
  } else {
    tail_.clear();
  }
  close_if_spent();
}

std::optional<int32_t> ThinkBudget::forced() const {
  if (closing_.empty()) return std::nullopt;
  return closing_[next_];
}

bool ends_inside_thinking(std::string_view text, const ThinkingStyle& style) {
  const size_t open = text.rfind(style.open);
  if (open == std::string_view::npos) return false;
  return text.find(style.close, open) == std::string_view::npos;
}

}  // namespace minke
