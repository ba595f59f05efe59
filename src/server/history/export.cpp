#include "server/history/export.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "server/history/base64.h"

namespace minke::history {
namespace {

Result<Value::Array> files_of(Store& store, const std::vector<Message>& messages) {
  Value::Array files;
  std::set<std::string> seen;
  for (const Message& message : messages) {
    for (const Attachment& attachment : message.attachments) {
      if (!seen.insert(attachment.id).second) continue;
      MINKE_ASSIGN(auto content, store.attachment_content(attachment.id));
      if (!content) continue;
      Value file = to_value(content->attachment);
      file.as_object()->emplace_back("text", std::move(content->text));
      file.as_object()->emplace_back("data", to_base64(content->bytes));
      files.push_back(std::move(file));
    }
  }
  return files;
}

// Nothing where it is gone.
Result<std::optional<std::string>> conversation_json(Store& store, const std::string& id,
                                                     const std::vector<Folder>& folders) {
  MINKE_ASSIGN(const auto conversation, store.conversation(id));
  if (!conversation) return std::nullopt;
  MINKE_ASSIGN(const auto messages, store.messages(id));
  Value value = to_value(*conversation);
  Value::Object& members = *value.as_object();
  Value folder;
  for (const Folder& candidate : folders)
    if (candidate.id == conversation->folder_id) folder = Value(candidate.name);
  members.emplace_back("folder", std::move(folder));
  Value::Array all;
  for (const Message& message : messages) all.push_back(to_value(message));
  members.emplace_back("messages", std::move(all));
  MINKE_ASSIGN(Value::Array files, files_of(store, messages));
  members.emplace_back("files", std::move(files));
  return to_json(value);
}

}  // namespace

Result<Export> Export::begin(Store& store, std::optional<std::string> conversation_id) {
  Export made;
  Value::Object head{{"format", "minke-history"}, {"version", 1}};
  MINKE_ASSIGN(made.folders_, store.folders());
  if (conversation_id) {
    MINKE_ASSIGN(const auto conversation, store.conversation(*conversation_id));
    if (!conversation) return misuse("there is no conversation of this id");
    made.ids_.push_back(std::move(*conversation_id));
  } else {
    MINKE_ASSIGN(made.ids_, store.conversation_ids());
    Value::Array presets;
    MINKE_ASSIGN(const auto kept, store.presets());
    for (const Preset& preset : kept) presets.push_back(to_value(preset));
    head.emplace_back("presets", std::move(presets));
  }
  made.head_ = to_json(Value(std::move(head)));
  made.head_.pop_back();
  made.head_ += ",\"conversations\":[";
  return made;
}

Result<std::optional<std::string>> Export::next(Store& store) {
  if (!is_begun_) {
    is_begun_ = true;
    return std::move(head_);
  }
  while (at_ < ids_.size()) {
    MINKE_ASSIGN(auto json, conversation_json(store, ids_[at_++], folders_));
    if (!json) continue;
    const char* before = has_conversation_ ? ",\n" : "\n";
    has_conversation_ = true;
    return before + *json;
  }
  if (is_ended_) return std::nullopt;
  is_ended_ = true;
  return "\n]}\n";
}

}  // namespace minke::history
