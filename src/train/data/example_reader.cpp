#include "train/data/example_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "engine/chat_prompt.h"

namespace minke {
namespace {

// The same on every day: a template that writes the date must not change the data.
std::tm fixed_day() {
  std::tm day = {};
  day.tm_year = 125;
  day.tm_mday = 1;
  day.tm_wday = 3;
  return day;
}

ChatRequest request_of(const Tokenizer& tokenizer) {
  ChatRequest request;
  const auto named = [&](std::optional<int32_t> token) {
    return token ? std::string(tokenizer.piece(*token, true)) : std::string();
  };
  request.bos_token = named(tokenizer.bos());
  request.eos_token = named(tokenizer.eos());
  request.now = fixed_day();
  return request;
}

// What the template writes behind an answer in history, where that ends an answer; else the end of
// the sequence; else -1.
int32_t find_end_of_turn(const Tokenizer& tokenizer, const ChatTemplate& chat_template) {
  const int32_t otherwise = tokenizer.eos().value_or(-1);
  constexpr std::string_view kAnswer = "an answer to find again";
  ChatRequest request = request_of(tokenizer);
  request.messages = {{.role = "user", .content = "a question"},
                      {.role = "assistant", .content = std::string(kAnswer)}};
  request.add_generation_prompt = false;
  const auto chat = chat_template.render(request);
  if (!chat) return otherwise;
  const std::string text = chat->text();
  const size_t at = text.rfind(kAnswer);
  if (at == std::string::npos) return otherwise;
  const auto behind = tokenizer.find_control(std::string_view(text).substr(at + kAnswer.size()));
  const bool ends =
      !behind.empty() && behind[0].begin == 0 && tokenizer.is_end_of_generation(behind[0].token);
  return ends ? behind[0].token : otherwise;
}

std::string kind_of(const Value& value) {
  if (value.is_null()) return "null";
  if (value.as_array() != nullptr) return "a list";
  if (value.as_object() != nullptr) return "an object";
  if (value.as_string() != nullptr) return "a text";
  return value.as_bool() != nullptr ? "true or false" : "a number";
}

// The text under `key`; `where` names the object.
Result<std::string> text_in(const Value& object, std::string_view key, std::string_view where) {
  const Value* found = object.find(key);
  if (found == nullptr) return fail(fmt::format("{}has no \"{}\"", where, key));
  if (const std::string* text = found->as_string()) return *text;
  return fail(fmt::format("{}\"{}\" is {}, expected a text", where, key, kind_of(*found)));
}

bool starts_with(std::span<const int32_t> tokens, std::span<const int32_t> beginning) {
  return tokens.size() >= beginning.size() &&
         std::ranges::equal(tokens.first(beginning.size()), beginning);
}

void append(TokenSequence& sequence, std::span<const int32_t> tokens, bool is_target) {
  sequence.tokens.insert(sequence.tokens.end(), tokens.begin(), tokens.end());
  sequence.is_target.resize(sequence.tokens.size(), is_target);
}

}  // namespace

ExampleReader::ExampleReader(const Tokenizer& tokenizer, const ChatTemplate* chat_template,
                             ExampleForm form)
    : tokenizer_(tokenizer),
      template_(chat_template),
      form_(std::move(form)),
      end_of_turn_(chat_template == nullptr ? tokenizer.eos().value_or(-1)
                                            : find_end_of_turn(tokenizer, *chat_template)) {}

Example ExampleReader::read_text(std::string_view text) const {
  TokenSequence sequence;
  append(sequence, tokenizer_.encode_with_bos(text, SpecialText::kAsText), true);
  if (const auto eos = tokenizer_.eos()) append(sequence, std::span(&*eos, 1), true);
  if (!sequence.is_target.empty()) sequence.is_target[0] = false;
  Example example = {.is_text = true};
  example.sequences.push_back(std::move(sequence));
  return example;
}

Result<Example> ExampleReader::read_json(std::string_view line) const {
  auto parsed = parse_json(line);
  if (!parsed) return fail(fmt::format("is no JSON: {}", parsed.error().message));
  const Value& record = *parsed;
  if (record.as_object() == nullptr) {
    return fail(fmt::format("is {}, expected an object", kind_of(record)));
  }
  if (const Value* messages = record.find("messages")) {
    const Value* tools = record.find("tools");
    return read_messages(*messages, tools == nullptr ? Value() : *tools);
  }
  if (record.find(form_.prompt_key) != nullptr) {
    MINKE_ASSIGN(const std::string prompt, text_in(record, form_.prompt_key, ""));
    MINKE_ASSIGN(const std::string completion, text_in(record, form_.completion_key, ""));
    return read_completion(prompt, completion);
  }
  if (record.find(form_.text_key) != nullptr) {
    MINKE_ASSIGN(const std::string text, text_in(record, form_.text_key, ""));
    return read_text(text);
  }
  return fail(fmt::format("has none of \"messages\", \"{}\" with \"{}\", and \"{}\"",
                          form_.prompt_key, form_.completion_key, form_.text_key));
}

Result<Example> ExampleReader::read_completion(const std::string& prompt,
                                               const std::string& completion) const {
  if (form_.prompts_are_chat) {
    return read_chat(
        {{.role = "user", .content = prompt}, {.role = "assistant", .content = completion}},
        Value());
  }
  // Apart, as when the model is used: a token never reaches over the border.
  TokenSequence sequence;
  append(sequence, tokenizer_.encode_with_bos(prompt, SpecialText::kAsText), false);
  append(sequence, tokenizer_.encode(completion, SpecialText::kAsText), true);
  if (const auto eos = tokenizer_.eos()) append(sequence, std::span(&*eos, 1), true);
  if (!sequence.is_target.empty()) sequence.is_target[0] = false;
  Example example;
  example.sequences.push_back(std::move(sequence));
  return example;
}

Result<ChatMessage> ExampleReader::read_message(const Value& value, size_t index) const {
  const std::string where = fmt::format("messages[{}]: ", index);
  if (value.as_object() == nullptr) {
    return fail(fmt::format("messages[{}] is {}, expected an object", index, kind_of(value)));
  }
  ChatMessage message;
  MINKE_ASSIGN(message.role, text_in(value, "role", where));
  MINKE_ASSIGN(message.content, text_in(value, "content", where));
  if (message.role != "assistant") return message;
  if (const Value* calls = value.find("tool_calls"); calls != nullptr && !calls->is_null()) {
    return fail(where + "\"tool_calls\" of an assistant cannot be learnt yet");
  }
  for (const char* key : {"reasoning", "reasoning_content"}) {
    const Value* found = value.find(key);
    if (found == nullptr || found->is_null()) continue;
    MINKE_ASSIGN(message.reasoning, text_in(value, key, where));
  }
  const ThinkingStyle style = template_ == nullptr ? ThinkingStyle() : template_->traits().thinking;
  const size_t close = message.content.find(style.close);
  if (message.content.starts_with(style.open) && close != std::string::npos) {
    const auto trimmed = [](std::string text) {
      text.erase(0, text.find_first_not_of('\n'));
      text.erase(text.find_last_not_of('\n') + 1);
      return text;
    };
    message.reasoning =
        trimmed(message.content.substr(style.open.size(), close - style.open.size()));
    const size_t answer = message.content.find_first_not_of('\n', close + style.close.size());
    message.content.erase(0, answer);
  }
  return message;
}

Result<Example> ExampleReader::read_messages(const Value& list, const Value& tools) const {
  const Value::Array* array = list.as_array();
  if (array == nullptr) {
    return fail(fmt::format("\"messages\" is {}, expected a list", kind_of(list)));
  }
  std::vector<ChatMessage> messages;
  for (size_t i = 0; i < array->size(); ++i) {
    MINKE_ASSIGN(ChatMessage message, read_message((*array)[i], i));
    messages.push_back(std::move(message));
  }
  return read_chat(messages, tools);
}

// The answer as the model is to write it. Tags count as tokens where the template's style has them,
// never where the data says them.
std::vector<int32_t> ExampleReader::answer_tokens(const ChatMessage& answer,
                                                  bool inside_thinking) const {
  const ThinkingStyle& style = template_->traits().thinking;
  RenderedChat chat;
  const auto add = [&](std::string text, bool from_user_data) {
    if (!text.empty()) chat.segments.push_back({std::move(text), from_user_data});
  };
  if (!answer.reasoning.empty() || inside_thinking) {
    if (!inside_thinking) add(style.opening(), false);
    add(answer.reasoning, true);
    add(style.closing(), false);
  }
  add(answer.content, true);
  std::vector<int32_t> tokens = chat_timeline(tokenizer_, chat, {}).tokens;
  // An answer is no beginning.
  if (tokenizer_.adds_bos() && tokenizer_.bos()) tokens.erase(tokens.begin());
  if (end_of_turn_ >= 0) tokens.push_back(end_of_turn_);
  return tokens;
}

Result<Example> ExampleReader::read_chat(const std::vector<ChatMessage>& messages,
                                         const Value& tools) const {
  if (template_ == nullptr) {
    return fail("is a conversation, and the model has no chat template");
  }
  const ThinkingStyle& style = template_->traits().thinking;
  const std::string_view markers[] = {style.open, style.close};
  Example example;
  ChatTimeline timeline;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role != "assistant") continue;
    if (i == 0) return fail("messages[0] is the assistant's, expected what it answers");
    ChatRequest request = request_of(tokenizer_);
    request.messages.assign(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(i));
    request.tools = tools;
    if (template_->traits().knows_thinking) {
      request.enable_thinking = !messages[i].reasoning.empty();
    }
    const auto chat = template_->render_for_answer(request);
    if (!chat) return fail("the chat template refuses it: " + chat.error().message);
    timeline = chat_timeline(tokenizer_, *chat, timeline);
    const std::vector<int32_t> answer = answer_tokens(messages[i], chat->ends_inside_thinking);
    // What was read and said so far goes on, or reads otherwise now.
    std::span<const int32_t> prompt = timeline.tokens;
    if (!example.sequences.empty() && starts_with(prompt, example.sequences.back().tokens)) {
      prompt = prompt.subspan(example.sequences.back().tokens.size());
    } else {
      example.sequences.emplace_back();
    }
    append(example.sequences.back(), prompt, false);
    append(example.sequences.back(), answer, true);
    add_answer(tokenizer_, answer, markers, timeline);
  }
  if (example.sequences.empty()) return fail("has no message of the assistant's to learn");
  return example;
}

}  // namespace minke
