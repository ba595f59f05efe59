#include "engine/answer_form.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "core/check.h"
#include "text/grammar_json.h"
#include "text/grammar_regex.h"
#include "text/grammar_schema.h"

namespace minke {
namespace {

constexpr size_t kFormsMax = 8;
constexpr int kNewlinesMax = 4;

// The text that a token stands for in an answer: none for control tokens, unless they are tags, or
// markers of the calls that the answer has to be.
std::string_view text_of(const Tokenizer& tokenizer, const ThinkingStyle& style, int32_t token,
                         bool takes_markers) {
  const std::string_view name = tokenizer.piece(token, true);
  if (name == style.open || name == style.close) return name;
  const std::string_view text = tokenizer.piece(token);
  if (!takes_markers || !text.empty()) return text;
  const std::span<const std::string_view> markers = tool_markers(ToolFormat::kDeepSeek);
  return std::ranges::find(markers, name) != markers.end() ? name : text;
}

// The arguments of a tool: as its schema has them, or, where the schema says what grammars cannot,
// any object: that there is a call was asked for, and the schema is the tool's own affair.
Result<Grammar> arguments_grammar(const Value& parameters) {
  Result<Grammar> grammar = json_schema_grammar(to_json(parameters));
  return grammar ? std::move(grammar) : json_object_grammar();
}

// One call, or some, of tools as tool_call_form() writes them down. Where there is but one tool to
// choose, it is called once: who names a tool waits for that call.
Result<Grammar> tool_call_grammar(const std::string& text) {
  MINKE_ASSIGN(const Value form, parse_json(text));
  const auto format = static_cast<ToolFormat>(*form.find("format")->as_int());
  const std::span<const std::string_view> markers = tool_markers(format);
  Grammar grammar;
  const Grammar::Rule content = grammar.add_rule("calls of tools");
  std::vector<Grammar::Expr> calls;
  for (const Value& tool : *form.find("tools")->as_array()) {
    const std::string& name = *tool.find("name")->as_string();
    MINKE_ASSIGN(const Grammar schema, arguments_grammar(*tool.find("parameters")));
    const Grammar::Expr arguments = grammar.reference(grammar.add_grammar(schema));
    const auto call = [&](const std::string& before, std::string_view behind) {
      calls.push_back(
          grammar.sequence({grammar.literal(before), arguments, grammar.literal(behind)}));
    };
    if (format == ToolFormat::kHermes) {
      call(fmt::format("{}\n{{\"name\": {}, \"arguments\": ", markers[0], to_json(Value(name))),
           fmt::format("}}\n{}", markers[1]));
    } else if (format == ToolFormat::kDeepSeek) {
      call(fmt::format("{}function{}{}\n```json\n", markers[0], markers[4], name),
           fmt::format("\n```{}", markers[1]));
    } else {
      call(fmt::format("{}{}{}", markers[0], name, markers[4]), markers[1]);
    }
  }
  const int calls_max = calls.size() == 1 ? 1 : 16;
  const Grammar::Expr one = grammar.choice(calls);
  if (format == ToolFormat::kHermes) {
    const Grammar::Expr more = grammar.sequence({grammar.literal("\n"), one});
    grammar.define(content, grammar.sequence({one, grammar.repeat(more, 0, calls_max - 1)}));
  } else {
    grammar.define(content,
                   grammar.sequence({grammar.literal(markers[2]), grammar.repeat(one, 1, calls_max),
                                     grammar.literal(markers[3])}));
  }
  return grammar;
}

Result<Grammar> grammar_of(const AnswerForm& form) {
  switch (form.kind) {
    case AnswerForm::Kind::kJsonObject:
      return json_object_grammar();
    case AnswerForm::Kind::kJsonSchema:
      return json_schema_grammar(form.text);
    case AnswerForm::Kind::kRegex:
      return regex_grammar(form.text);
    case AnswerForm::Kind::kToolCall:
      return tool_call_grammar(form.text);
    case AnswerForm::Kind::kAny:
      break;
  }
  CHECK(false);
  return Grammar();
}

}  // namespace

Result<AnswerForm> tool_call_form(ToolFormat format, const std::vector<Tool>& tools,
                                  std::string_view names) {
  Value::Array chosen;
  while (!names.empty()) {
    const std::string_view name = names.substr(0, names.find(','));
    names.remove_prefix(std::min(names.size(), name.size() + 1));
    const auto tool = std::ranges::find(tools, name, &Tool::name);
    if (tool == tools.end()) {
      return misuse(
          fmt::format("the tool '{}', which has to be called, is not among those given", name));
    }
    MINKE_ASSIGN(Value parameters,
                 parse_json(tool->parameters.empty() ? std::string_view("{\"type\":\"object\"}")
                                                     : std::string_view(tool->parameters)));
    chosen.emplace_back(Value::Object{{"name", tool->name}, {"parameters", std::move(parameters)}});
  }
  if (chosen.empty()) return misuse("a tool has to be called, and none is given");
  return AnswerForm{.kind = AnswerForm::Kind::kToolCall,
                    .text = to_json(Value(Value::Object{{"format", static_cast<int>(format)},
                                                        {"tools", Value(std::move(chosen))}}))};
}

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
  const bool is_call = form.kind == AnswerForm::Kind::kToolCall;
  std::shared_ptr<const TokenTrie>& trie = is_call ? call_trie_ : trie_;
  if (trie == nullptr) {
    std::vector<std::string_view> pieces;
    for (int32_t id = 0; id < tokenizer_.vocab_size(); ++id) {
      // A tag is no text of an answer, though the same characters in other tokens are.
      const std::string_view text = text_of(tokenizer_, style_, id, is_call);
      const bool is_tag = text == style_.open || text == style_.close;
      pieces.push_back(is_tag ? std::string_view() : text);
    }
    trie = std::make_shared<const TokenTrie>(pieces);
  }
  auto compiled =
      std::make_shared<CompiledForm>(std::move(automaton), trie, kContent, behind_thinking);
  compiled->is_call = is_call;
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
  const std::string_view text = text_of(tokenizer_, style_, token, form_->is_call);
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
