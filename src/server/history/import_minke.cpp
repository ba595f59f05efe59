// minke's own export (export.h), read again: what is no history of minke's is refused by name.
#include <fmt/format.h>

#include <unordered_map>
#include <utility>

#include "server/history/base64.h"
#include "server/history/import_tree.h"

namespace minke::history {
namespace {

class MinkeConversation {
 public:
  explicit MinkeConversation(const Value& from) : from_(from) {}

  Result<Converted> convert() {
    MINKE_TRY(read_files());
    const Value::Array* messages = array_at(from_, "messages");
    if (messages == nullptr) return fail("it has no messages");
    for (const Value& message : *messages) {
      const std::string_view id = text_at(message, "id");
      if (id.empty()) return fail("a message has no id");
      if (!places_.emplace(id, places_.size()).second)
        return fail(fmt::format("two messages have the id {}", shortened(id, 40)));
      MINKE_TRY(read_message(message));
    }
    MINKE_TRY(describe());
    return Converted{.conversation = std::move(to_)};
  }

 private:
  Status read_files() {
    const Value::Array* files = array_at(from_, "files");
    if (files == nullptr) return {};
    for (const Value& file : *files) {
      auto bytes = from_base64(text_at(file, "data"));
      const auto kind = attachment_kind_of(text_at(file, "kind"));
      const std::string_view text = text_at(file, "text");
      if (!bytes || !kind || bytes->size() > kLimits.attachment_bytes_max ||
          text.size() > kLimits.attachment_text_bytes_max) {
        return fail(fmt::format("the file {} in it is malformed or too large",
                                shortened(text_at(file, "name"), 100)));
      }
      files_.emplace(text_at(file, "id"), to_.attachments.size());
      to_.attachments.push_back(
          {.id = std::string(text_at(file, "id")),
           .name = shortened(text_at(file, "name"), kLimits.name_bytes_max),
           .media_type = shortened(text_at(file, "media_type"), kLimits.name_bytes_max),
           .kind = *kind,
           .bytes = std::move(*bytes),
           .text = std::string(text),
           .truncated = flag_at(file, "truncated")});
    }
    return {};
  }

  Status read_parent(const Value& message, ImportedMessage& added) {
    const Value* parent = message.find("parent_id");
    if (parent == nullptr || parent->is_null()) return {};
    const std::string* id = parent->as_string();
    const auto place = id == nullptr ? places_.end() : places_.find(*id);
    // Itself, too, is not above it.
    if (place == places_.end() || place->second >= to_.messages.size())
      return fail("a message comes before the one that it answers");
    added.parent = place->second;
    return {};
  }

  Status read_message(const Value& from) {
    ImportedMessage added;
    MINKE_TRY(read_parent(from, added));
    Message& to = added.message;
    const auto role = role_of(text_at(from, "role"));
    const auto status = status_of(text_at(from, "status"));
    const auto kind = message_kind_of(text_at(from, "kind"));
    if (!role || !status || !kind) return fail("a message has an unknown role, status or kind");
    to.role = *role;
    to.status = *status == MessageStatus::kRunning ? MessageStatus::kInterrupted : *status;
    to.kind = *kind;
    to.content = text_at(from, "content");
    to.thinking_closed = flag_at(from, "thinking_closed");
    to.created_at_ms = time_at(from, "created_at_ms");
    to.finished_at_ms = time_at(from, "finished_at_ms");
    if (const Value* settings = from.find("settings"); settings != nullptr) {
      MINKE_TRY(check_settings(*settings));
      to.settings = *settings;
    }
    if (const Value* usage = from.find("usage"); usage != nullptr && !usage->is_null())
      to.usage = usage_of(*usage);
    for (const auto& [key, member] : {std::pair{"error", &to.error}, std::pair{"model", &to.model},
                                      std::pair{"finish_reason", &to.finish_reason}}) {
      const std::string_view text = text_at(from, key);
      if (!text.empty()) *member = shortened(text, 4096);
    }
    read_thinking(from, to);
    read_attachments(from, added);
    MINKE_TRY(check_message_size(to));
    to_.messages.push_back(std::move(added));
    return {};
  }

  static void read_thinking(const Value& from, Message& to) {
    const Value::Array* thinking = array_at(from, "thinking");
    if (thinking == nullptr) return;
    for (const Value& segment : *thinking) {
      const Value* ms = segment.find("ms");
      const int64_t* duration = ms == nullptr ? nullptr : ms->as_int();
      to.thinking.push_back({.text = std::string(text_at(segment, "text")),
                             .started_at_ms = time_at(segment, "started_at_ms"),
                             .ms = duration == nullptr ? 0 : std::max<int64_t>(*duration, 0)});
    }
  }

  void read_attachments(const Value& from, ImportedMessage& added) const {
    const Value::Array* attachments = array_at(from, "attachments");
    if (attachments == nullptr || added.message.role != Role::kUser) return;
    for (const Value& attachment : *attachments) {
      const auto file = files_.find(text_at(attachment, "id"));
      if (file != files_.end() && added.attachments.size() < kLimits.attachments_per_message_max)
        added.attachments.push_back(file->second);
    }
  }

  Status describe() {
    Conversation& to = to_.conversation;
    to.title = shortened(text_at(from_, "title"), kLimits.title_bytes_max);
    to.title_is_own = flag_at(from_, "title_is_own");
    to.pinned = flag_at(from_, "pinned");
    to.archived = flag_at(from_, "archived");
    to.created_at_ms = time_at(from_, "created_at_ms");
    to.updated_at_ms = time_at(from_, "updated_at_ms");
    to_.folder = text_at(from_, "folder");
    if (const Value* settings = from_.find("settings"); settings != nullptr) {
      MINKE_TRY(check_settings(*settings));
      to.settings = *settings;
    }
    const std::string_view id = text_at(from_, "id");
    if (!id.empty()) to_.source = "minke:" + shortened(id, 100);
    const auto leaf = places_.find(text_at(from_, "leaf_id"));
    if (leaf != places_.end()) to_.leaf = leaf->second;
    return {};
  }

  const Value& from_;
  std::unordered_map<std::string_view, size_t> places_;  // of messages, by their id in the file
  std::unordered_map<std::string_view, size_t> files_;
  ImportedConversation to_;
};

}  // namespace

Result<Converted> from_minke(const Value& conversation) {
  return MinkeConversation(conversation).convert();
}

}  // namespace minke::history
