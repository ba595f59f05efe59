// Holds an answer to a form (minke/engine.h: AnswerForm): says which tokens may come next, from the
// end of the thinking on.
//
// While the model thinks every token may come but those that end the turn, so that an answer always
// comes. Behind the thinking a few newlines may stand, as models write them; they are no content. A
// model that thinks of its own accord may begin with its opening tag. From the first content on
// tags are text (ThinkOptions::only_first). What may come next is a function of the form and of the
// answer's tokens so far, and of nothing else.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/result.h"
#include "engine/logit_mask.h"
#include "minke/engine.h"
#include "minke/tool.h"
#include "text/chat_template.h"
#include "text/grammar.h"
#include "text/token_masks.h"
#include "text/token_trie.h"
#include "text/tokenizer.h"
#include "text/tool_calls.h"

namespace minke {

// Whether the form can be read: an error says what is wrong with it.
Status check_form(const AnswerForm& form);

// The form of an answer that has to call one of the tools named (with commas between), written as
// the model writes calls: kToolCall with all in its text that compiling it takes.
Result<AnswerForm> tool_call_form(ToolFormat format, const std::vector<Tool>& tools,
                                  std::string_view names);

// A form that was read: a grammar with what was found out about it. Made on any thread, used by one
// (the loop's) from then on.
struct CompiledForm {
  CompiledForm(GrammarAutomaton automaton, std::shared_ptr<const TokenTrie> trie,
               Grammar::Rule content_rule, Grammar::Rule behind_thinking_rule)
      : masks(std::move(automaton), std::move(trie)),
        content(content_rule),
        behind_thinking(behind_thinking_rule) {}
  TokenMasks masks;
  Grammar::Rule content;
  Grammar::Rule behind_thinking;  // the same, with newlines before it
  bool is_call = false;           // markers of calls, which are control tokens, are its text
};

// The forms that an engine was asked for last, and the vocabulary's tree. Any thread.
class FormCache {
 public:
  // Both outlive the cache.
  FormCache(const Tokenizer& tokenizer, const ThinkingStyle& style)
      : tokenizer_(tokenizer), style_(style) {}

  Result<std::shared_ptr<CompiledForm>> compile(const AnswerForm& form);

 private:
  const Tokenizer& tokenizer_;
  const ThinkingStyle style_;
  std::mutex mutex_;
  std::shared_ptr<const TokenTrie> trie_;       // made when it is first needed
  std::shared_ptr<const TokenTrie> call_trie_;  // likewise, of forms that are calls of tools
  std::list<std::pair<AnswerForm, std::shared_ptr<CompiledForm>>> forms_;  // latest first
};

// One answer, one object; the loop's thread.
class FormedAnswer {
 public:
  enum class Start : uint8_t { kContent, kMayThink, kThinking };
  // `tokenizer` outlives the object.
  FormedAnswer(const Tokenizer& tokenizer, std::shared_ptr<CompiledForm> form, ThinkingStyle style,
               Start start);

  // Valid until the next call of any function.
  Result<TokenSet> allowed();
  // The answer's tokens in order.
  void take(int32_t token);

 private:
  Result<TokenSet> allowed_before_thinking();
  TokenSet allowed_in_thinking();
  void think(std::string_view text);
  void begin_content(Grammar::Rule rule, std::string_view text);

  const Tokenizer& tokenizer_;
  std::shared_ptr<CompiledForm> form_;
  const ThinkingStyle style_;
  Start phase_;
  std::string held_;  // kMayThink: all so far; kThinking: what may be the closing tag's beginning
  std::optional<GrammarMatcher> matcher_;  // kContent
  Status status_;
  std::vector<int32_t> tokens_;  // of what allowed() said last
};

}  // namespace minke
