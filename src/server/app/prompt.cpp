#include "server/app/prompt.h"

#include <fmt/format.h>

#include <algorithm>

namespace minke::server {
namespace {

using history::MessageKind;
using history::Role;

SamplingWish wish_of(const Value& settings) {
  SamplingWish wish = SamplingWish::read(settings);
  wish.tokens_max = maybe_integer(settings, "tokens_max");
  wish.think_budget = maybe_integer(settings, "think_budget");
  wish.think = maybe_bool(settings, "think");
  return wish;
}

Result<std::string> content_with_files(history::Store& store, const history::Message& message) {
  std::string content;
  for (const history::Attachment& attachment : message.attachments) {
    MINKE_ASSIGN(const auto file, store.attachment_content(attachment.id));
    if (!file || file->text.empty()) continue;
    content += fmt::format("[File: {}]\n{}\n[End of the file{}]\n\n", attachment.name, file->text,
                           attachment.truncated ? "; it goes on, but was cut off here" : "");
  }
  return content + message.content;
}

}  // namespace

Result<Ask> make_ask(history::Store& store, const std::vector<history::Message>& branch,
                     const Value& settings) {
  Ask ask{.sampling = wish_of(settings)};
  std::string system = text_member(settings, "system");
  auto first = branch.begin();
  for (auto at = branch.begin(); at != branch.end(); ++at) {
    if (at->kind != MessageKind::kSummary || at->content.empty()) continue;
    first = at + 1;
    const std::string before = text_member(settings, "system");
    system = before + (before.empty() ? "" : "\n\n") +
             "What was said in this conversation so far, in short:\n" + at->content;
  }
  if (!system.empty()) ask.turns.push_back({.role = "system", .content = system, .reasoning = {}});
  for (auto message = first; message != branch.end(); ++message) {
    if (message->role == Role::kUser) {
      MINKE_ASSIGN(std::string content, content_with_files(store, *message));
      ask.turns.push_back({.role = "user", .content = std::move(content), .reasoning = {}});
      continue;
    }
    // An answer that failed before it said anything is nothing to a model.
    if (message->content.empty()) continue;
    std::string reasoning;
    for (const history::ThinkingSegment& segment : message->thinking) reasoning += segment.text;
    ask.turns.push_back(
        {.role = "assistant", .content = message->content, .reasoning = std::move(reasoning)});
  }
  return ask;
}

void ask_for_summary(Ask& ask) {
  ask.turns.push_back(
      {.role = "user",
       .content =
           "Summarise our conversation so far, so that it can go on from your summary alone. "
           "Keep names, figures, decisions, open questions, and code that is still needed. "
           "Write the summary and nothing else, in the language that we spoke.",
       .reasoning = {}});
  if (!ask.sampling.tokens_max) ask.sampling.tokens_max = 2'000;
}

BegunAnswer begun_answer(const history::Message& message) {
  BegunAnswer begun{.content = message.content};
  for (const history::ThinkingSegment& segment : message.thinking) begun.reasoning += segment.text;
  return begun;
}

Value without_system(const Value& settings) {
  Value::Object kept;
  if (settings.as_object() != nullptr)
    for (const auto& [name, value] : *settings.as_object())
      if (name != "system" && name != "model") kept.emplace_back(name, value);
  return Value(std::move(kept));
}

}  // namespace minke::server
