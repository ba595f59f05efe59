// The text side of training: questions as the model will be asked them when it is served, and its
// answers as they will be read.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "io/gguf.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace minke {

struct ChatPrompt {
  std::vector<int32_t> tokens;
  bool starts_inside = false;  // the answer begins inside the thinking
};

struct ChatAnswer {
  std::string thinking;
  std::string answer;
  bool thinking_closed = false;  // there was thinking, and an end of it
};

// Immutable: any thread.
class ChatText {
 public:
  // The tokenizer and template of a model's file; where `thinks`, as thinking_template() has it.
  static Result<ChatText> load(const GgufFile& file, bool thinks = false);

  // A user's message, behind a system's where that is not empty, ready for the model to think.
  Result<ChatPrompt> prompt(std::string_view system, std::string_view user) const;
  // The tokens of a whole answer, with the one that ends it, as they follow such a prompt.
  std::vector<int32_t> answer_tokens(const ChatPrompt& prompt, std::string_view thinking,
                                     std::string_view answer) const;
  // The other way round; the token that ends the answer may be there or not.
  ChatAnswer read(const ChatPrompt& prompt, std::span<const int32_t> tokens) const;
  // What a person would see of it, tags included.
  std::string shown(std::span<const int32_t> tokens) const;

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const ChatTemplate& chat_template() const { return template_; }
  std::vector<int32_t> end_tokens() const;

 private:
  ChatText(std::shared_ptr<const Tokenizer> tokenizer, ChatTemplate chat_template)
      : tokenizer_(std::move(tokenizer)), template_(std::move(chat_template)) {}

  std::shared_ptr<const Tokenizer> tokenizer_;
  ChatTemplate template_;
  int32_t end_token_ = -1;
};

}  // namespace minke
