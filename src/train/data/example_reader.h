// From a record of a data set to tokens.
//
//   {"text": "..."}                          all of it is learnt, and the end of the sequence
//   {"prompt": "...", "completion": "..."}   the completion is learnt, and the end of the sequence
//   {"messages": [{"role", "content"}]}      what the assistant says is learnt, and the end of its
//                                            turns, each behind the very prompt that it would have
//                                            when the model is used; its thinking is "reasoning" or
//                                            "reasoning_content", or in <think> tags in the content
//
// Immutable; safe from any thread. Tokenizer and template outlive it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "text/value.h"
#include "train/data/example.h"

namespace minke {

struct ExampleForm {
  std::string text_key = "text";
  std::string prompt_key = "prompt";
  std::string completion_key = "completion";
  // Prompt and completion are a user's message and the answer, in the model's template.
  bool prompts_are_chat = false;
};

class ExampleReader {
 public:
  // `chat_template` may be null, for data without conversations.
  ExampleReader(const Tokenizer& tokenizer, const ChatTemplate* chat_template, ExampleForm form);

  // Errors say what is wrong with the record and what is expected, but not where it is.
  Result<Example> read_json(std::string_view line) const;
  Example read_text(std::string_view text) const;

 private:
  Result<Example> read_completion(const std::string& prompt, const std::string& completion) const;
  Result<Example> read_messages(const Value& list, const Value& tools) const;
  Result<Example> read_chat(const std::vector<ChatMessage>& messages, const Value& tools) const;
  Result<ChatMessage> read_message(const Value& value, size_t index) const;
  std::vector<int32_t> answer_tokens(const ChatMessage& answer, bool inside_thinking) const;

  const Tokenizer& tokenizer_;
  const ChatTemplate* template_;
  ExampleForm form_;
  int32_t end_of_turn_ = -1;  // -1: the model has none
};

}  // namespace minke
