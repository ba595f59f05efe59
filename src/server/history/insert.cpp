// Conversations from elsewhere become the history's own.
#include <fmt/format.h>

#include <utility>

#include "core/check.h"
#include "server/history/store.h"

namespace minke::history {

Result<std::vector<bool>> Store::insert(std::span<const ImportedConversation> conversations) {
  MINKE_ASSIGN(Transaction transaction, Transaction::begin(*database_));
  std::vector<bool> taken;
  for (const ImportedConversation& conversation : conversations) {
    MINKE_ASSIGN(const bool is_new, insert_one(conversation));
    taken.push_back(is_new);
  }
  MINKE_TRY(transaction.commit());
  return taken;
}

// The folder of that name, made where there is none and room for one; 0: no folder.
Result<int64_t> Store::folder_named(const std::string& name) {
  if (name.empty() || name.size() > kLimits.name_bytes_max) return 0;
  MINKE_ASSIGN(auto key, database_->number("SELECT key FROM folders WHERE name = ?1", name));
  if (key) return *key;
  MINKE_ASSIGN(const auto count, database_->number("SELECT count(*) FROM folders"));
  if (count >= kLimits.shelves_max) return 0;
  MINKE_TRY(
      database_->run("INSERT INTO folders(id, name, position) SELECT ?1, ?2, "
                     "ifnull(max(position), -1) + 1 FROM folders",
                     new_id(), name));
  return database_->last_key();
}

Result<bool> Store::insert_one(const ImportedConversation& from) {
  constexpr std::string_view kOurs = "minke:";
  std::optional<std::string> source;
  if (!from.source.empty()) source = from.source;
  const std::string_view id = source && source->starts_with(kOurs)
                                  ? std::string_view(*source).substr(kOurs.size())
                                  : std::string_view();
  MINKE_ASSIGN(
      const auto here,
      database_->number("SELECT key FROM conversations WHERE source = ?1 OR id = ?2", source, id));
  if (here) return false;
  MINKE_ASSIGN(const int64_t folder, folder_named(from.folder));
  const Conversation& conversation = from.conversation;
  MINKE_TRY(database_->run(
      "INSERT INTO conversations(id, source, title, title_is_own, folder, pinned, archived, "
      "settings, created_at_ms, updated_at_ms) "
      "VALUES (?1, ?2, ?3, ?4, nullif(?5, 0), ?6, ?7, ?8, ?9, ?10)",
      new_id(), source, conversation.title, conversation.title_is_own, folder, conversation.pinned,
      conversation.archived, to_json(conversation.settings), conversation.created_at_ms,
      conversation.updated_at_ms));
  const int64_t conversation_key = database_->last_key();
  std::vector<int64_t> attachment_keys;
  for (const ImportedAttachment& attachment : from.attachments) {
    MINKE_ASSIGN(const int64_t key, insert_attachment({.name = attachment.name,
                                                       .media_type = attachment.media_type,
                                                       .kind = attachment.kind,
                                                       .bytes = attachment.bytes,
                                                       .text = attachment.text,
                                                       .truncated = attachment.truncated},
                                                      new_id()));
    attachment_keys.push_back(key);
  }
  std::vector<int64_t> keys;
  for (const ImportedMessage& message : from.messages) {
    std::optional<int64_t> parent;
    if (message.parent) {
      CHECK_LT(*message.parent, keys.size());
      parent = keys[*message.parent];
    }
    MINKE_ASSIGN(const int64_t key, insert_message(message, conversation_key, parent));
    keys.push_back(key);
    int64_t position = 0;
    for (const size_t attachment : message.attachments) {
      CHECK_LT(attachment, attachment_keys.size());
      MINKE_TRY(
          database_->run("INSERT INTO message_attachments(message, position, attachment) "
                         "VALUES (?1, ?2, ?3)",
                         key, position++, attachment_keys[attachment]));
    }
  }
  MINKE_TRY(
      database_->run("UPDATE attachments SET was_used = 1 WHERE key IN (SELECT attachment "
                     "FROM message_attachments ma JOIN messages m ON m.key = ma.message "
                     "WHERE m.conversation = ?1)",
                     conversation_key));
  if (from.leaf) CHECK_LT(*from.leaf, keys.size());
  const std::optional<int64_t> leaf =
      from.leaf ? std::optional(keys[*from.leaf])
                : (keys.empty() ? std::nullopt : std::optional(keys.back()));
  MINKE_TRY(
      database_->run("UPDATE conversations SET leaf = ?2 WHERE key = ?1", conversation_key, leaf));
  MINKE_TRY(entitle(conversation_key));
  return true;
}

Result<int64_t> Store::insert_message(const ImportedMessage& from, int64_t conversation,
                                      std::optional<int64_t> parent) {
  const Message& message = from.message;
  std::optional<std::string> usage;
  if (message.usage) usage = to_json(to_value(*message.usage));
  MINKE_TRY(database_->run(
      "INSERT INTO messages(id, conversation, parent, role, status, kind, thinking_closed, error, "
      "model, settings, finish_reason, usage, created_at_ms, finished_at_ms, content) "
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
      new_id(), conversation, parent, name_of(message.role), name_of(message.status),
      name_of(message.kind), message.thinking_closed, message.error, message.model,
      to_json(message.settings), message.finish_reason, usage, message.created_at_ms,
      message.finished_at_ms, message.content));
  const int64_t key = database_->last_key();
  if (!message.thinking.empty()) MINKE_TRY(write_thinking(key, message.thinking));
  return key;
}

}  // namespace minke::history
