// Messages and their attachments.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "server/history/store.h"
#include "text/unicode.h"

namespace minke::history {
namespace {

#define MINKE_MESSAGE_COLUMNS                                                                   \
  "SELECT m.key, m.id, c.id, p.id, m.role, m.status, m.kind, m.thinking_closed, "               \
  "m.generation_id, m.error, m.model, m.settings, m.finish_reason, m.usage, m.created_at_ms, "  \
  "m.finished_at_ms, m.content FROM messages m JOIN conversations c ON c.key = m.conversation " \
  "LEFT JOIN messages p ON p.key = m.parent "
// Keys grow, and a parent is there before its children.
constexpr std::string_view kOfConversation = MINKE_MESSAGE_COLUMNS
    "WHERE m.conversation = (SELECT key FROM conversations WHERE id = ?1) ORDER BY m.key";
constexpr std::string_view kById = MINKE_MESSAGE_COLUMNS "WHERE m.id = ?1";
constexpr std::string_view kBranch = MINKE_MESSAGE_COLUMNS
    "WHERE m.key IN (WITH RECURSIVE above(key, parent) AS ("
    "SELECT key, parent FROM messages WHERE id = ?1 UNION "
    "SELECT m2.key, m2.parent FROM messages m2 JOIN above ON m2.key = above.parent) "
    "SELECT key FROM above) ORDER BY m.key";
constexpr std::string_view kRunningBelow = MINKE_MESSAGE_COLUMNS
    "WHERE m.status = 'running' AND m.key IN (WITH RECURSIVE below(key) AS ("
    "SELECT key FROM messages WHERE id = ?1 UNION "
    "SELECT m2.key FROM messages m2 JOIN below ON m2.parent = below.key) "
    "SELECT key FROM below) ORDER BY m.key";
#undef MINKE_MESSAGE_COLUMNS

Value value_of(std::string_view json) {
  auto value = parse_json(json);
  return value ? std::move(*value) : Value();
}

Message read_row(const Statement& row) {
  Message message{
      .id = row.string(1),
      .conversation_id = row.string(2),
      .parent_id = row.string_or_none(3),
      .role = role_of(row.text(4)).value_or(Role::kUser),
      .status = status_of(row.text(5)).value_or(MessageStatus::kFailed),
      .kind = message_kind_of(row.text(6)).value_or(MessageKind::kMessage),
      .content = row.string(16),
      .thinking_closed = row.flag(7),
      .generation_id = row.string_or_none(8),
      .error = row.string_or_none(9),
      .model = row.string_or_none(10),
      .finish_reason = row.string_or_none(12),
      .created_at_ms = row.integer(14),
      .finished_at_ms = row.integer_or_none(15),
  };
  Value settings = value_of(row.text(11));
  if (settings.as_object() != nullptr) message.settings = std::move(settings);
  if (!row.is_null(13)) message.usage = usage_of(value_of(row.text(13)));
  return message;
}

Status read_thinking(Database& database, int64_t key, Message& message) {
  MINKE_ASSIGN(Statement rows, database.query("SELECT text, started_at_ms, ms FROM thinking "
                                              "WHERE message = ?1 ORDER BY segment",
                                              key));
  while (true) {
    MINKE_ASSIGN(const bool row, rows.step());
    if (!row) return {};
    message.thinking.push_back(
        {.text = rows.string(0), .started_at_ms = rows.integer(1), .ms = rows.integer_or_none(2)});
  }
}

Status read_pieces(Database& database, int64_t key, Message& message) {
  MINKE_ASSIGN(Statement rows, database.query("SELECT segment, text FROM pieces WHERE message = ?1 "
                                              "ORDER BY number",
                                              key));
  while (true) {
    MINKE_ASSIGN(const bool row, rows.step());
    if (!row) return {};
    if (rows.is_null(0)) {
      message.content += rows.text(1);
    } else if (const auto segment = static_cast<uint64_t>(rows.integer(0));
               segment < message.thinking.size()) {
      message.thinking[segment].text += rows.text(1);
    }
  }
}

Attachment read_attachment(const Statement& row) {
  return {.id = row.string(0),
          .name = row.string(1),
          .media_type = row.string(2),
          .bytes = row.integer(4),
          .kind = attachment_kind_of(row.text(3)).value_or(AttachmentKind::kText),
          .chars = row.integer(5),
          .truncated = row.flag(6)};
}

Status read_attachments(Database& database, int64_t key, Message& message) {
  MINKE_ASSIGN(Statement rows,
               database.query("SELECT a.id, a.name, a.media_type, a.kind, a.bytes, a.chars, "
                              "a.truncated FROM message_attachments ma "
                              "JOIN attachments a ON a.key = ma.attachment "
                              "WHERE ma.message = ?1 ORDER BY ma.position",
                              key));
  while (true) {
    MINKE_ASSIGN(const bool row, rows.step());
    if (!row) return {};
    message.attachments.push_back(read_attachment(rows));
  }
}

Status check_content(std::string_view content) {
  if (content.size() > kLimits.message_bytes_max) {
    return misuse(
        fmt::format("content must have at most {} bytes, got {}: attach long texts as "
                    "files",
                    kLimits.message_bytes_max, content.size()));
  }
  if (!is_valid_utf8(content)) return misuse("content must be UTF-8");
  return {};
}

// The first words of a text on one line, at most about 60 characters.
std::string title_of(std::string_view content) {
  constexpr int kGlyphsMax = 60;
  std::string title;
  int glyphs = 0;
  for (size_t at = 0; at < content.size();) {
    const Glyph glyph = glyph_at(content, at);
    const bool is_blank = (glyph.classes & char_class::kSpace) != 0 || glyph.code < 0x20;
    if (glyphs == kGlyphsMax) {
      if (!is_blank) title += "…";
      break;
    }
    if (!is_blank) {
      title += content.substr(at, glyph.length);
      ++glyphs;
    } else if (!title.empty() && title.back() != ' ') {
      title += ' ';
      ++glyphs;
    }
    at += glyph.length;
  }
  if (!title.empty() && title.back() == ' ') title.pop_back();
  return title;
}

}  // namespace

Result<std::vector<Message>> Store::read_messages(Statement rows) {
  std::vector<Message> messages;
  while (true) {
    MINKE_ASSIGN(const bool row, rows.step());
    if (!row) return messages;
    const int64_t key = rows.integer(0);
    Message message = read_row(rows);
    if (message.role == Role::kAssistant) MINKE_TRY(read_thinking(*database_, key, message));
    if (message.status == MessageStatus::kRunning) MINKE_TRY(read_pieces(*database_, key, message));
    if (message.role == Role::kUser) MINKE_TRY(read_attachments(*database_, key, message));
    messages.push_back(std::move(message));
  }
}

Result<std::vector<Message>> Store::messages(std::string_view conversation_id) {
  MINKE_ASSIGN(Statement rows, database_->query(kOfConversation, conversation_id));
  return read_messages(std::move(rows));
}

Result<std::optional<Message>> Store::message(std::string_view id) {
  MINKE_ASSIGN(Statement rows, database_->query(kById, id));
  MINKE_ASSIGN(auto messages, read_messages(std::move(rows)));
  return messages.empty() ? std::nullopt : std::optional(std::move(messages.front()));
}

Result<std::vector<Message>> Store::branch(std::string_view message_id) {
  MINKE_ASSIGN(Statement rows, database_->query(kBranch, message_id));
  return read_messages(std::move(rows));
}

Result<std::vector<Message>> Store::running_below(std::string_view message_id) {
  MINKE_ASSIGN(Statement rows, database_->query(kRunningBelow, message_id));
  return read_messages(std::move(rows));
}

Result<std::optional<int64_t>> Store::parent_key(const NewMessage& message, int64_t conversation) {
  if (!message.parent_id) return std::nullopt;
  MINKE_ASSIGN(const auto key, database_->number("SELECT key FROM messages WHERE id = ?1 AND "
                                                 "conversation = ?2",
                                                 *message.parent_id, conversation));
  if (!key) return misuse("parent_id must be a message of this conversation");
  return key;
}

Status Store::attach(int64_t message, const std::vector<std::string>& attachment_ids) {
  if (attachment_ids.size() > kLimits.attachments_per_message_max) {
    return misuse(fmt::format("attachments must be at most {}, got {}",
                              kLimits.attachments_per_message_max, attachment_ids.size()));
  }
  int64_t position = 0;
  for (const std::string& id : attachment_ids) {
    MINKE_ASSIGN(const auto key,
                 database_->number("SELECT key FROM attachments WHERE id = ?1", id));
    if (!key) return misuse("attachments must be ids of uploaded files, and one of them is not");
    MINKE_TRY(
        database_->run("INSERT INTO message_attachments(message, position, attachment) "
                       "VALUES (?1, ?2, ?3)",
                       message, position++, *key));
    MINKE_TRY(database_->run("UPDATE attachments SET was_used = 1 WHERE key = ?1", *key));
  }
  return {};
}

// A conversation without a title gets one from its first message: its words, or its file's name.
Status Store::entitle(int64_t conversation) {
  std::string title;
  {
    MINKE_ASSIGN(Statement rows,
                 database_->query("SELECT m.content, a.name FROM conversations c JOIN messages m "
                                  "ON m.conversation = c.key "
                                  "LEFT JOIN message_attachments ma ON ma.message = m.key "
                                  "LEFT JOIN attachments a ON a.key = ma.attachment "
                                  "WHERE c.key = ?1 AND c.title = '' AND m.role = 'user' "
                                  "ORDER BY m.key, ma.position LIMIT 1",
                                  conversation));
    MINKE_ASSIGN(const bool row, rows.step());
    if (row) title = title_of(rows.text(0));
    if (row && title.empty()) title = title_of(rows.text(1));
  }
  if (title.empty()) return {};
  return database_->run("UPDATE conversations SET title = ?2 WHERE key = ?1", conversation, title);
}

Result<Message> Store::add_message(const NewMessage& message) {
  MINKE_TRY(check_content(message.content));
  MINKE_TRY(check_settings(message.settings));
  MINKE_ASSIGN(Transaction transaction, Transaction::begin(*database_));
  MINKE_ASSIGN(const auto conversation, key_of_conversation(message.conversation_id));
  if (!conversation) return misuse("there is no conversation of this id");
  MINKE_ASSIGN(const auto count, database_->number("SELECT message_count FROM conversations "
                                                   "WHERE key = ?1",
                                                   *conversation));
  if (count >= kLimits.messages_max) {
    return misuse(
        fmt::format("the conversation has {} messages, the most there can be: begin "
                    "another",
                    *count));
  }
  MINKE_ASSIGN(const auto parent, parent_key(message, *conversation));
  const std::string id = new_id();
  const int64_t now = now_ms();
  const bool is_running = message.status == MessageStatus::kRunning;
  MINKE_TRY(database_->run(
      "INSERT INTO messages(id, conversation, parent, role, status, kind, generation_id, model, "
      "settings, created_at_ms, finished_at_ms, content) "
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
      id, *conversation, parent, name_of(message.role), name_of(message.status),
      name_of(message.kind), message.generation_id, message.model, to_json(message.settings), now,
      is_running ? std::nullopt : std::optional(now), message.content));
  const int64_t key = database_->last_key();
  MINKE_TRY(attach(key, message.attachment_ids));
  MINKE_TRY(database_->run("UPDATE conversations SET leaf = ?2, updated_at_ms = ?3 WHERE key = ?1",
                           *conversation, key, now));
  MINKE_TRY(entitle(*conversation));
  MINKE_TRY(transaction.commit());
  MINKE_ASSIGN(auto added, this->message(id));
  if (!added) return fail("a message that was just saved cannot be read again");
  return std::move(*added);
}

Result<bool> Store::delete_message(std::string_view id, bool keeps_below) {
  MINKE_ASSIGN(Transaction transaction, Transaction::begin(*database_));
  int64_t key = 0;
  int64_t conversation = 0;
  std::optional<int64_t> parent;
  {
    MINKE_ASSIGN(Statement rows, database_->query("SELECT key, conversation, parent FROM messages "
                                                  "WHERE id = ?1",
                                                  id));
    MINKE_ASSIGN(const bool row, rows.step());
    if (!row) return false;
    key = rows.integer(0);
    conversation = rows.integer(1);
    parent = rows.integer_or_none(2);
  }
  if (keeps_below) {
    MINKE_TRY(database_->run("UPDATE messages SET parent = ?2 WHERE parent = ?1", key, parent));
  }
  MINKE_TRY(
      database_->run("DELETE FROM messages WHERE key IN (WITH RECURSIVE below(key) AS ("
                     "VALUES (?1) UNION SELECT m.key FROM messages m "
                     "JOIN below ON m.parent = below.key) SELECT key FROM below)",
                     key));
  MINKE_TRY(database_->run("UPDATE conversations SET leaf = ifnull(leaf, ?2) WHERE key = ?1",
                           conversation, parent));
  MINKE_TRY(sweep_attachments());
  MINKE_TRY(transaction.commit());
  return true;
}

Status Store::grow(std::span<const Growth> growths) {
  MINKE_ASSIGN(Transaction transaction, Transaction::begin(*database_));
  const int64_t now = now_ms();
  const auto add_piece = [&](int64_t key, std::optional<int64_t> segment,
                             const std::string& text) -> Status {
    if (text.empty()) return {};
    return database_->run(
        "INSERT INTO pieces(message, number, segment, saved_at_ms, text) "
        "SELECT ?1, ifnull(max(number), -1) + 1, ?2, ?3, ?4 FROM pieces "
        "WHERE message = ?1",
        key, segment, now, text);
  };
  for (const Growth& growth : growths) {
    MINKE_ASSIGN(const auto key, database_->number("SELECT key FROM messages WHERE id = ?1 AND "
                                                   "status = 'running'",
                                                   growth.message_id));
    if (!key) continue;  // deleted meanwhile
    for (const ThinkingGrowth& thinking : growth.thinking) {
      MINKE_TRY(
          database_->run("INSERT INTO thinking(message, segment, started_at_ms, ms, text) "
                         "VALUES (?1, ?2, ?3, ?4, '') ON CONFLICT(message, segment) "
                         "DO UPDATE SET ms = excluded.ms",
                         *key, thinking.segment, thinking.started_at_ms, thinking.ms));
      MINKE_TRY(add_piece(*key, thinking.segment, thinking.text));
    }
    MINKE_TRY(add_piece(*key, std::nullopt, growth.text));
  }
  return transaction.commit();
}

Status Store::write_thinking(int64_t message, const std::vector<ThinkingSegment>& thinking) {
  MINKE_TRY(database_->run("DELETE FROM thinking WHERE message = ?1", message));
  int64_t number = 0;
  for (const ThinkingSegment& segment : thinking) {
    MINKE_TRY(
        database_->run("INSERT INTO thinking(message, segment, started_at_ms, ms, text) "
                       "VALUES (?1, ?2, ?3, ?4, ?5)",
                       message, number++, segment.started_at_ms, segment.ms, segment.text));
  }
  return {};
}

Result<std::optional<Message>> Store::finish(const FinishedAnswer& answer) {
  MINKE_ASSIGN(Transaction transaction, Transaction::begin(*database_));
  MINKE_ASSIGN(const auto key,
               database_->number("SELECT key FROM messages WHERE id = ?1", answer.message_id));
  if (!key) return std::nullopt;
  const int64_t now = now_ms();
  std::optional<std::string> usage;
  if (answer.usage) usage = to_json(to_value(*answer.usage));
  MINKE_TRY(write_thinking(*key, answer.thinking));
  MINKE_TRY(database_->run("DELETE FROM pieces WHERE message = ?1", *key));
  MINKE_TRY(database_->run(
      "UPDATE messages SET status = ?2, content = ?3, thinking_closed = ?4, finish_reason = ?5, "
      "error = ?6, usage = ?7, finished_at_ms = ?8, generation_id = NULL WHERE key = ?1",
      *key, name_of(answer.status), answer.content, answer.thinking_closed, answer.finish_reason,
      answer.error, usage, now));
  MINKE_TRY(
      database_->run("UPDATE conversations SET updated_at_ms = ?2 WHERE key = "
                     "(SELECT conversation FROM messages WHERE key = ?1)",
                     *key, now));
  MINKE_TRY(transaction.commit());
  return message(answer.message_id);
}

Result<std::optional<Message>> Store::resume(std::string_view message_id,
                                             std::string_view generation_id) {
  MINKE_TRY(
      database_->run("UPDATE messages SET status = 'running', generation_id = ?2, "
                     "finished_at_ms = NULL, finish_reason = NULL, error = NULL "
                     "WHERE id = ?1 AND role = 'assistant' AND status != 'running'",
                     message_id, generation_id));
  if (database_->changes() == 0) return std::nullopt;
  return message(message_id);
}

Result<int64_t> Store::insert_attachment(const NewAttachment& attachment, const std::string& id) {
  int64_t chars = 0;
  for (const char byte : attachment.text)
    if ((static_cast<unsigned char>(byte) & 0xC0U) != 0x80) ++chars;
  MINKE_TRY(database_->run(
      "INSERT INTO attachments(id, name, media_type, kind, bytes, chars, "
      "truncated, created_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
      id, attachment.name, attachment.media_type, name_of(attachment.kind),
      static_cast<int64_t>(attachment.bytes.size()), chars, attachment.truncated, now_ms()));
  const int64_t key = database_->last_key();
  MINKE_TRY(
      database_->run("INSERT INTO attachment_contents(attachment, bytes, text) "
                     "VALUES (?1, ?2, ?3)",
                     key, std::as_bytes(std::span(attachment.bytes)), attachment.text));
  return key;
}

Result<Attachment> Store::add_attachment(const NewAttachment& attachment) {
  if (attachment.bytes.size() > kLimits.attachment_bytes_max ||
      attachment.text.size() > kLimits.attachment_text_bytes_max) {
    return misuse(fmt::format("{} has {} bytes, and attachments may have at most {}",
                              attachment.name, attachment.bytes.size(),
                              kLimits.attachment_bytes_max));
  }
  if (attachment.name.size() > kLimits.name_bytes_max || !is_valid_utf8(attachment.name)) {
    return misuse(fmt::format("name must be UTF-8 of at most {} bytes", kLimits.name_bytes_max));
  }
  const std::string id = new_id();
  {
    MINKE_ASSIGN(Transaction transaction, Transaction::begin(*database_));
    MINKE_TRY(insert_attachment(attachment, id));
    MINKE_TRY(transaction.commit());
  }
  MINKE_ASSIGN(auto content, attachment_content(id));
  if (!content) return fail("an attachment that was just saved cannot be read again");
  return std::move(content->attachment);
}

Result<std::optional<AttachmentContent>> Store::attachment_content(std::string_view id) {
  MINKE_ASSIGN(Statement rows,
               database_->query("SELECT a.id, a.name, a.media_type, a.kind, a.bytes, a.chars, "
                                "a.truncated, ac.bytes, ac.text FROM attachments a "
                                "JOIN attachment_contents ac ON ac.attachment = a.key "
                                "WHERE a.id = ?1",
                                id));
  MINKE_ASSIGN(const bool row, rows.step());
  if (!row) return std::nullopt;
  AttachmentContent content{.attachment = read_attachment(rows), .text = rows.string(8)};
  const auto bytes = rows.blob(7);
  content.bytes.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return content;
}

// Files go with the last message that has them. One that no message ever had is kept for a day: it
// may be on its way into one.
Status Store::sweep_attachments() {
  constexpr int64_t kDayMs = int64_t{24} * 3600 * 1000;
  return database_->run(
      "DELETE FROM attachments WHERE (was_used OR created_at_ms < ?1) AND NOT "
      "EXISTS (SELECT 1 FROM message_attachments "
      "WHERE attachment = attachments.key)",
      now_ms() - kDayMs);
}

}  // namespace minke::history
