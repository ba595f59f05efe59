#include "engine/answer_form.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "text/grammar_json.h"
#include "text/grammar_regex.h"
#include "text/grammar_schema.h"

namespace minke {
namespace {

constexpr size_t kFormsMax = 8;
constexpr int kNewlinesMax = 4;

// The text that a token stands for in an answer: none for control tokens, unless they are tags.
std::string_view text_of(const Tokenizer& tokenizer, const ThinkingStyle& style, int32_t token) {
  const std::string_view name = tokenizer.piece(token, true);
  return name == style.open || name == style.close ? name : tokenizer.piece(token);
}

Result<Grammar> grammar_of(const AnswerForm& form) {
  switch (form.kind) {
    case AnswerForm::Kind::kJsonObject:
      return json_object_grammar();
    case AnswerForm::Kind::kJsonSchema:
      return json_schema_grammar(form.text);
    case AnswerForm::Kind::kRegex:
      return regex_grammar(form.text);
    case AnswerForm::Kind::kAny:
      break;
  }
  CHECK(false);
  return Grammar();
}

}  // namespace

Status check_form(const AnswerForm& form) {
  if (form.kind == AnswerForm::Kind::kAny) return {};
  MINKE_ASSIGN(const Grammar grammar, grammar_of(form));
  const Result<GrammarAutomaton> automaton = GrammarAutomaton::create(grammar, 0);
  return automaton ? Status() : std::unexpected(automaton.error());
}

// The compiling is done under the lock: who asks for the same form at the same time waits for it.
Result<std::shared_ptr<CompiledForm>> FormCache::compile(const AnswerForm& form) {
  const std::lock_guard lock(mutex_);
  const auto known = std::ranges::find(forms_, form, [](const auto& one) { return one.first; });
  if (known != forms_.end()) {
    forms_.splice(forms_.begin(), forms_, known);
    return forms_.front().second;
  }
  MINKE_ASSIGN(Grammar grammar, grammar_of(form));
  constexpr Grammar::Rule kContent = 0;
  const Grammar::Expr newlines =
      grammar.repeat(grammar.characters({{'\n', '\n'}, {'\r', '\r'}}), 0, kNewlinesMax);
  const Grammar::Rule behind_thinking =
      grammar.add_rule("the answer", grammar.sequence({newlines, grammar.reference(kContent)}));
  MINKE_ASSIGN(GrammarAutomaton automaton, GrammarAutomaton::create(grammar, kContent));
  if (trie_ == nullptr) {
    std::vector<std::string_view> pieces;
    for (int32_t id = 0; id < tokenizer_.vocab_size(); ++id) {
      // A tag is no text of an answer, though the same characters in other tokens are.
      const bool is_tag = text_of(tokenizer_, style_, id) == style_.open ||
                          text_of(tokenizer_, style_, id) == style_.close;
      pieces.push_back(is_tag ? std::string_view() : tokenizer_.piece(id));
    }
    trie_ = std::make_shared<const TokenTrie>(pieces);
  }
  auto compiled =
      std::make_shared<CompiledForm>(std::move(automaton), trie_, kContent, behind_thinking);
  forms_.emplace_front(form, compiled);
  if (forms_.size() > kFormsMax) forms_.pop_back();
  return compiled;
}

FormedAnswer::FormedAnswer(const Tokenizer& tokenizer, std::shared_ptr<CompiledForm> form,
                           ThinkingStyle style, Start start)
    : tokenizer_(tokenizer), form_(std::move(form)), style_(std::move(style)), phase_(start) {}

Result<TokenSet> FormedAnswer::allowed() {
  MINKE_TRY(status_);
  if (phase_ == Start::kThinking) return allowed_in_thinking();
  if (phase_ == Start::kMayThink) return allowed_before_thinking();
  if (!matcher_) matcher_.emplace(form_->masks, form_->content);
  MINKE_ASSIGN(const TokenMask* mask, matcher_->mask());
  return TokenSet{.bits = mask->base, .tokens = mask->tokens, .may_end = mask->may_end};
}

// What goes on with the opening tag, and what the form allows.
Result<TokenSet> FormedAnswer::allowed_before_thinking() {
  TokenSet set;
  GrammarMatcher matcher(form_->masks, form_->content);
  tokens_.clear();
  if (matcher.take(held_)) {
    MINKE_ASSIGN(const TokenMask* mask, matcher.mask());
    set.bits = mask->base;
    set.may_end = mask->may_end;
    tokens_ = mask->tokens;
  }
  const std::string_view rest = std::string_view(style_.open).substr(held_.size());
  for (const int32_t token : form_->masks.trie().along(rest)) {
    const std::string_view text = tokenizer_.piece(token);
    if (text.find(style_.close) == std::string_view::npos) tokens_.push_back(token);
  }
  if (const std::optional<int32_t> tag = tokenizer_.find(style_.open); tag && held_.empty()) {
    tokens_.push_back(*tag);
  }
  std::ranges::sort(tokens_);
  tokens_.erase(std::ranges::unique(tokens_).begin(), tokens_.end());
  set.tokens = tokens_;
  return set;
}

// All but tokens that close the thinking and go on with what the form does not allow.
TokenSet FormedAnswer::allowed_in_thinking() {
  tokens_.clear();
  const std::string_view rest = std::string_view(style_.close).substr(held_.size());
  GrammarMatcher behind(form_->masks, form_->behind_thinking);
  for (const int32_t token : form_->masks.trie().along(rest)) {
    const std::string_view text = tokenizer_.piece(token);
    if (text.size() > rest.size() && !behind.allows(text.substr(rest.size()))) {
      tokens_.push_back(token);
    }
  }
  return {.is_all = true, .barred = tokens_};
}

void FormedAnswer::take(int32_t token) {
  if (!status_ || tokenizer_.is_end_of_generation(token)) return;
  const std::string_view text = text_of(tokenizer_, style_, token);
  if (phase_ == Start::kThinking) {
    think(text);
  } else if (phase_ == Start::kMayThink) {
    const std::string all = held_ + std::string(text);
    if (all.starts_with(style_.open)) {
      held_.clear();
      phase_ = Start::kThinking;
      think(std::string_view(all).substr(style_.open.size()));
    } else if (style_.open.starts_with(all)) {
      held_ = all;
    } else {
      begin_content(form_->content, all);
    }
  } else {
    if (!matcher_) matcher_.emplace(form_->masks, form_->content);
    if (matcher_->take(text)) return;
    status_ = fail(
        fmt::format("the token '{}' was forced, which the answer's form does not allow", text));
  }
}

void FormedAnswer::think(std::string_view text) {
  held_ += text;
  const size_t close = held_.find(style_.close);
  if (close != std::string::npos) {
    const std::string behind = held_.substr(close + style_.close.size());
    held_.clear();
    begin_content(form_->behind_thinking, behind);
    return;
  }
  // What may still become the tag.
  size_t kept = std::min(style_.close.size() - 1, held_.size());
  while (!held_.ends_with(std::string_view(style_.close).substr(0, kept))) --kept;
  held_.erase(0, held_.size() - kept);
}

void FormedAnswer::begin_content(Grammar::Rule rule, std::string_view text) {
  phase_ = Start::kContent;
  matcher_.emplace(form_->masks, rule);
  if (matcher_->take(text)) return;
  status_ = fail(fmt::format(
      "the thinking was closed by a token that goes on with '{}', which the answer's form "
      "does not allow",
      text));
}

}  // namespace minke
