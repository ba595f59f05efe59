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

bool is_whole_summary(const history::Message& message) {
  return message.kind == MessageKind::kSummary &&
         message.status == history::MessageStatus::kComplete && !message.content.empty();
}

Result<Told> read_branch(history::Store& store, const std::vector<history::Message>& branch) {
  Told told;
  auto first = branch.begin();
  for (auto at = branch.begin(); at != branch.end(); ++at) {
    if (!is_whole_summary(*at)) continue;
    first = at + 1;
    told.summary = at->content;
  }
  for (auto message = first; message != branch.end(); ++message) {
    if (message->role == Role::kUser) {
      MINKE_ASSIGN(std::string content, content_with_files(store, *message));
      told.turns.push_back({.role = "user", .content = std::move(content), .reasoning = {}});
      continue;
    }
    // An answer that failed before it said anything is nothing to a model.
    if (message->content.empty() || message->kind == MessageKind::kSummary) continue;
    std::string reasoning;
    for (const history::ThinkingSegment& segment : message->thinking) reasoning += segment.text;
    told.turns.push_back(
        {.role = "assistant", .content = message->content, .reasoning = std::move(reasoning)});
  }
  return told;
}

Ask make_ask(Told told, const Value& settings) {
  Ask ask{.turns = std::move(told.turns), .sampling = wish_of(settings)};
  std::string system = text_member(settings, "system");
  if (!told.summary.empty()) {
    system += (system.empty() ? "" : "\n\n") +
              ("What was said in this conversation so far, in short:\n" + told.summary);
  }
  if (!system.empty()) {
    ask.turns.insert(ask.turns.begin(),
                     ChatTurn{.role = "system", .content = std::move(system), .reasoning = {}});
  }
  return ask;
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
