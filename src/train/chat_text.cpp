#include "train/chat_text.h"

#include <fmt/format.h>

#include <utility>

#include "engine/chat_prompt.h"
#include "models/gguf_tokenizer.h"
#include "text/think_parser.h"
#include "text/thinking_template.h"

namespace minke {

Result<ChatText> ChatText::load(const GgufFile& file, bool thinks) {
  MINKE_ASSIGN(std::unique_ptr<Tokenizer> tokenizer, load_tokenizer(file));
  MINKE_ASSIGN(const std::string_view source,
               file.text_or("tokenizer.chat_template", std::string_view()));
  Result<ChatTemplate> parsed =
      source.empty() ? ChatTemplate::builtin_chatml() : ChatTemplate::parse(std::string(source));
  if (parsed && thinks) parsed = ChatTemplate::parse(thinking_template(*parsed));
  if (!parsed) {
    return fail(fmt::format("{}: its chat template cannot be used: {}", file.path(),
                            parsed.error().message));
  }
  ChatText text(std::move(tokenizer), *std::move(parsed));
  // What ends a turn as the template writes it; else what the tokenizer names as the end.
  for (int32_t id = 0; id < text.tokenizer_->vocab_size(); ++id) {
    if (text.tokenizer_->is_end_of_generation(id)) text.end_token_ = id;
  }
  if (text.tokenizer_->eos()) text.end_token_ = *text.tokenizer_->eos();
  if (text.end_token_ < 0) {
    return fail(
        fmt::format("{}: its tokenizer has no token that ends an answer, which training "
                    "has to teach; tokenizer.ggml.eos_token_id names it",
                    file.path()));
  }
  return text;
}

Result<ChatPrompt> ChatText::prompt(std::string_view system, std::string_view user) const {
  ChatRequest request;
  if (!system.empty()) {
    request.messages.push_back({.role = "system", .content = std::string(system)});
  }
  request.messages.push_back({.role = "user", .content = std::string(user)});
  const auto text_of = [&](std::optional<int32_t> token) {
    return token ? std::string(tokenizer_->piece(*token, /*show_control=*/true)) : std::string();
  };
  request.bos_token = text_of(tokenizer_->bos());
  request.eos_token = text_of(tokenizer_->eos());
  MINKE_ASSIGN(const RenderedChat chat, template_.render_for_answer(request));
  return ChatPrompt{.tokens = chat_timeline(*tokenizer_, chat, {}).tokens,
                    .starts_inside = chat.ends_inside_thinking};
}

std::vector<int32_t> ChatText::answer_tokens(const ChatPrompt& prompt, std::string_view thinking,
                                             std::string_view answer) const {
  const ThinkingStyle& style = template_.traits().thinking;
  std::string text;
  if (!thinking.empty() || prompt.starts_inside) {
    if (!prompt.starts_inside) text += style.opening();
    text += thinking;
    text += style.closing();
  }
  text += answer;
  // Tags are user-defined tokens or plain text: both are found without kParse.
  std::vector<int32_t> tokens = tokenizer_->encode(text, SpecialText::kAsText);
  tokens.push_back(end_token_);
  return tokens;
}

ChatAnswer ChatText::read(const ChatPrompt& prompt, std::span<const int32_t> tokens) const {
  if (!tokens.empty() && tokenizer_->is_end_of_generation(tokens.back())) {
    tokens = tokens.first(tokens.size() - 1);
  }
  const std::string text = tokenizer_->decode(tokens);
  SplitAnswer split = split_thinking(text, prompt.starts_inside);
  const bool thought = prompt.starts_inside || !split.reasoning.empty();
  return {.thinking = std::move(split.reasoning),
          .answer = std::move(split.content),
          .thinking_closed = thought && !split.is_cut};
}

std::string ChatText::shown(std::span<const int32_t> tokens) const {
  return tokenizer_->decode(tokens);
}

std::vector<int32_t> ChatText::end_tokens() const {
  std::vector<int32_t> tokens;
  for (int32_t id = 0; id < tokenizer_->vocab_size(); ++id) {
    if (tokenizer_->is_end_of_generation(id)) tokens.push_back(id);
  }
  return tokens;
}

}  // namespace minke
