// Conversations, folders, presets and preferences.
#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "server/history/store.h"

namespace minke::history {
namespace {

constexpr std::string_view kConversation =
    "SELECT c.key, c.id, c.title, c.title_is_own, f.id, c.pinned, c.archived, c.settings, l.id, "
    "c.created_at_ms, c.updated_at_ms, c.message_count FROM conversations c "
    "LEFT JOIN folders f ON f.key = c.folder LEFT JOIN messages l ON l.key = c.leaf "
    "WHERE c.id = ?1";
constexpr std::string_view kPage =
    "SELECT c.key, c.id, c.title, c.title_is_own, f.id, c.pinned, c.archived, c.settings, l.id, "
    "c.created_at_ms, c.updated_at_ms, c.message_count FROM conversations c "
    "LEFT JOIN folders f ON f.key = c.folder LEFT JOIN messages l ON l.key = c.leaf "
    "WHERE c.archived = ?1 AND (c.pinned, c.updated_at_ms, c.key) < (?2, ?3, ?4) "
    "ORDER BY c.pinned DESC, c.updated_at_ms DESC, c.key DESC LIMIT ?5";
constexpr std::string_view kPageOfFolder =
    "SELECT c.key, c.id, c.title, c.title_is_own, f.id, c.pinned, c.archived, c.settings, l.id, "
    "c.created_at_ms, c.updated_at_ms, c.message_count FROM conversations c "
    "LEFT JOIN folders f ON f.key = c.folder LEFT JOIN messages l ON l.key = c.leaf "
    "WHERE c.archived = ?1 AND (c.pinned, c.updated_at_ms, c.key) < (?2, ?3, ?4) "
    "AND c.folder = ?6 "
    "ORDER BY c.pinned DESC, c.updated_at_ms DESC, c.key DESC LIMIT ?5";

// Written by us, and yet read from a file: what is no object counts as an empty one.
Value object_of(std::string_view json) {
  auto value = parse_json(json);
  return value && value->as_object() != nullptr ? std::move(*value) : Value(Value::Object{});
}

Conversation read_conversation(const Statement& row) {
  return {.id = row.string(1),
          .title = row.string(2),
          .title_is_own = row.flag(3),
          .folder_id = row.string_or_none(4),
          .pinned = row.flag(5),
          .archived = row.flag(6),
          .settings = object_of(row.text(7)),
          .leaf_id = row.string_or_none(8),
          .created_at_ms = row.integer(9),
          .updated_at_ms = row.integer(10),
          .message_count = row.integer(11)};
}

// Where a page begins: behind this conversation. As text "pinned.time.key".
struct Cursor {
  int64_t pinned = 2;
  int64_t updated_at_ms = 0;
  int64_t key = 0;

  std::string text() const { return fmt::format("{}.{}.{}", pinned, updated_at_ms, key); }
};

Result<Cursor> cursor_of(const std::optional<std::string>& text) {
  Cursor cursor;
  if (!text) return cursor;
  const char* at = text->data();
  const char* end = at + text->size();
  for (int64_t* part : {&cursor.pinned, &cursor.updated_at_ms, &cursor.key}) {
    const auto [next, error] = std::from_chars(at, end, *part);
    if (error != std::errc() || (part != &cursor.key && (next == end || *next != '.')))
      return misuse("before must be the `next` of an earlier page");
    at = part == &cursor.key ? next : next + 1;
  }
  if (at != end) return misuse("before must be the `next` of an earlier page");
  return cursor;
}

Status check_text(std::string_view name, std::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return {};
  return misuse(fmt::format("{} must have at most {} bytes, got {}", name, bytes_max, text.size()));
}

Status check_name(std::string_view name) {
  if (name.empty()) return misuse("name must not be empty");
  return check_text("name", name, kLimits.name_bytes_max);
}

}  // namespace

Result<ConversationPage> Store::conversations(const ConversationFilter& filter) {
  MINKE_ASSIGN(const Cursor cursor, cursor_of(filter.before));
  MINKE_ASSIGN(const auto folder, key_of_folder(filter.folder_id));
  const int64_t limit = std::clamp<int64_t>(filter.limit, 1, 1'000);
  // One row more tells whether there is another page.
  MINKE_ASSIGN(Statement rows,
               database_->query(folder ? kPageOfFolder : kPage, filter.archived, cursor.pinned,
                                cursor.updated_at_ms, cursor.key, limit + 1));
  if (folder) rows.bind(6, *folder);
  ConversationPage page;
  Cursor last;
  while (true) {
    MINKE_ASSIGN(const bool row, rows.step());
    if (!row) return page;
    if (std::ssize(page.conversations) == limit) {
      page.next = last.text();
      return page;
    }
    last = {.pinned = rows.integer(5), .updated_at_ms = rows.integer(10), .key = rows.integer(0)};
    page.conversations.push_back(read_conversation(rows));
  }
}

Result<std::optional<Conversation>> Store::conversation(std::string_view id) {
  MINKE_ASSIGN(Statement rows, database_->query(kConversation, id));
  MINKE_ASSIGN(const bool row, rows.step());
  return row ? std::optional(read_conversation(rows)) : std::nullopt;
}

Result<Conversation> Store::create_conversation(const NewConversation& conversation) {
  MINKE_TRY(check_text("title", conversation.title, kLimits.title_bytes_max));
  MINKE_TRY(check_settings(conversation.settings));
  MINKE_ASSIGN(const auto folder, key_of_folder(conversation.folder_id));
  const std::string id = new_id();
  const int64_t now = now_ms();
  MINKE_TRY(database_->run(
      "INSERT INTO conversations(id, title, title_is_own, folder, settings, created_at_ms, "
      "updated_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
      id, conversation.title, !conversation.title.empty(), folder, to_json(conversation.settings),
      now));
  return Conversation{.id = id,
                      .title = conversation.title,
                      .title_is_own = !conversation.title.empty(),
                      .folder_id = conversation.folder_id,
                      .settings = conversation.settings,
                      .created_at_ms = now,
                      .updated_at_ms = now};
}

Result<std::optional<Conversation>> Store::change_conversation(std::string_view id,
                                                               const ConversationChange& change) {
  if (change.title) MINKE_TRY(check_text("title", *change.title, kLimits.title_bytes_max));
  if (change.settings) MINKE_TRY(check_settings(*change.settings));
  MINKE_ASSIGN(Transaction transaction, Transaction::begin(*database_));
  MINKE_ASSIGN(const auto key, key_of_conversation(id));
  if (!key) return std::nullopt;
  if (change.title) {
    MINKE_TRY(
        database_->run("UPDATE conversations SET title = ?2, title_is_own = ?3 "
                       "WHERE key = ?1",
                       *key, *change.title, !change.title->empty()));
    MINKE_TRY(entitle(*key));
  }
  if (change.folder_id) {
    MINKE_ASSIGN(const auto folder, key_of_folder(*change.folder_id));
    MINKE_TRY(database_->run("UPDATE conversations SET folder = ?2 WHERE key = ?1", *key, folder));
  }
  if (change.leaf_id) {
    std::optional<int64_t> leaf;
    if (*change.leaf_id) {
      MINKE_ASSIGN(leaf, database_->number("SELECT key FROM messages WHERE id = ?1 AND "
                                           "conversation = ?2",
                                           **change.leaf_id, *key));
      if (!leaf) return misuse("leaf_id must be a message of this conversation");
    }
    MINKE_TRY(database_->run("UPDATE conversations SET leaf = ?2 WHERE key = ?1", *key, leaf));
  }
  std::optional<std::string> settings;
  if (change.settings) settings = to_json(*change.settings);
  MINKE_TRY(
      database_->run("UPDATE conversations SET pinned = ifnull(?2, pinned), "
                     "archived = ifnull(?3, archived), settings = ifnull(?4, settings) "
                     "WHERE key = ?1",
                     *key, change.pinned, change.archived, settings));
  MINKE_TRY(transaction.commit());
  return conversation(id);
}

Result<bool> Store::delete_conversation(std::string_view id) {
  MINKE_ASSIGN(Transaction transaction, Transaction::begin(*database_));
  MINKE_TRY(database_->run("DELETE FROM conversations WHERE id = ?1", id));
  const bool found = database_->changes() > 0;
  MINKE_TRY(sweep_attachments());
  MINKE_TRY(transaction.commit());
  return found;
}

Result<std::vector<std::string>> Store::conversation_ids() {
  std::vector<std::string> ids;
  MINKE_ASSIGN(Statement rows, database_->query("SELECT id FROM conversations ORDER BY key"));
  while (true) {
    MINKE_ASSIGN(const bool row, rows.step());
    if (!row) return ids;
    ids.push_back(rows.string(0));
  }
}

Result<std::optional<int64_t>> Store::key_of_conversation(std::string_view id) {
  return database_->number("SELECT key FROM conversations WHERE id = ?1", id);
}

Result<std::optional<int64_t>> Store::key_of_folder(const std::optional<std::string>& id) {
  if (!id) return std::nullopt;
  MINKE_ASSIGN(const auto key, database_->number("SELECT key FROM folders WHERE id = ?1", *id));
  if (!key) return misuse("folder_id must be a folder's, and there is none of that id");
  return key;
}

Result<std::vector<Folder>> Store::folders() {
  std::vector<Folder> folders;
  MINKE_ASSIGN(Statement rows, database_->query("SELECT id, name, position FROM folders "
                                                "ORDER BY position, key"));
  while (true) {
    MINKE_ASSIGN(const bool row, rows.step());
    if (!row) return folders;
    folders.push_back({.id = rows.string(0), .name = rows.string(1), .position = rows.integer(2)});
  }
}

Result<Folder> Store::create_folder(std::string_view name) {
  MINKE_TRY(check_name(name));
  MINKE_ASSIGN(const auto count, database_->number("SELECT count(*) FROM folders"));
  if (count >= kLimits.shelves_max)
    return misuse(fmt::format("there are {} folders already, the most there can be", *count));
  MINKE_ASSIGN(const auto position,
               database_->number("SELECT ifnull(max(position), -1) + 1 FROM folders"));
  Folder folder{.id = new_id(), .name = std::string(name), .position = position.value_or(0)};
  MINKE_TRY(database_->run("INSERT INTO folders(id, name, position) VALUES (?1, ?2, ?3)", folder.id,
                           folder.name, folder.position));
  return folder;
}

Result<std::optional<Folder>> Store::change_folder(std::string_view id,
                                                   const std::optional<std::string>& name,
                                                   std::optional<int64_t> position) {
  if (name) MINKE_TRY(check_name(*name));
  MINKE_TRY(
      database_->run("UPDATE folders SET name = ifnull(?2, name), "
                     "position = ifnull(?3, position) WHERE id = ?1",
                     id, name, position));
  MINKE_ASSIGN(Statement rows,
               database_->query("SELECT id, name, position FROM folders WHERE id = ?1", id));
  MINKE_ASSIGN(const bool row, rows.step());
  if (!row) return std::nullopt;
  return Folder{.id = rows.string(0), .name = rows.string(1), .position = rows.integer(2)};
}

Result<bool> Store::delete_folder(std::string_view id) {
  MINKE_TRY(database_->run("DELETE FROM folders WHERE id = ?1", id));
  return database_->changes() > 0;
}

namespace {

Preset read_preset(const Statement& row) {
  return {.id = row.string(0),
          .name = row.string(1),
          .settings = object_of(row.text(2)),
          .position = row.integer(3)};
}

}  // namespace

Result<std::vector<Preset>> Store::presets() {
  std::vector<Preset> presets;
  MINKE_ASSIGN(Statement rows, database_->query("SELECT id, name, settings, position FROM presets "
                                                "ORDER BY position, key"));
  while (true) {
    MINKE_ASSIGN(const bool row, rows.step());
    if (!row) return presets;
    presets.push_back(read_preset(rows));
  }
}

Result<Preset> Store::create_preset(std::string_view name, const Value& settings) {
  MINKE_TRY(check_name(name));
  MINKE_TRY(check_settings(settings));
  MINKE_ASSIGN(const auto count, database_->number("SELECT count(*) FROM presets"));
  if (count >= kLimits.shelves_max)
    return misuse(fmt::format("there are {} presets already, the most there can be", *count));
  MINKE_ASSIGN(const auto position,
               database_->number("SELECT ifnull(max(position), -1) + 1 FROM presets"));
  Preset preset{.id = new_id(),
                .name = std::string(name),
                .settings = settings,
                .position = position.value_or(0)};
  MINKE_TRY(
      database_->run("INSERT INTO presets(id, name, settings, position) "
                     "VALUES (?1, ?2, ?3, ?4)",
                     preset.id, preset.name, to_json(settings), preset.position));
  return preset;
}

Result<std::optional<Preset>> Store::change_preset(std::string_view id,
                                                   const std::optional<std::string>& name,
                                                   const std::optional<Value>& settings,
                                                   std::optional<int64_t> position) {
  if (name) MINKE_TRY(check_name(*name));
  std::optional<std::string> json;
  if (settings) {
    MINKE_TRY(check_settings(*settings));
    json = to_json(*settings);
  }
  MINKE_TRY(
      database_->run("UPDATE presets SET name = ifnull(?2, name), "
                     "settings = ifnull(?3, settings), position = ifnull(?4, position) "
                     "WHERE id = ?1",
                     id, name, json, position));
  MINKE_ASSIGN(Statement rows, database_->query("SELECT id, name, settings, position FROM presets "
                                                "WHERE id = ?1",
                                                id));
  MINKE_ASSIGN(const bool row, rows.step());
  return row ? std::optional(read_preset(rows)) : std::nullopt;
}

Result<bool> Store::delete_preset(std::string_view id) {
  MINKE_TRY(database_->run("DELETE FROM presets WHERE id = ?1", id));
  return database_->changes() > 0;
}

Result<Value> Store::preferences() {
  MINKE_ASSIGN(Statement rows, database_->query("SELECT value FROM values_by_name "
                                                "WHERE name = 'preferences'"));
  MINKE_ASSIGN(const bool row, rows.step());
  return object_of(row ? rows.text(0) : "{}");
}

Status Store::set_preferences(const Value& preferences) {
  if (preferences.as_object() == nullptr) return misuse("preferences must be an object");
  const std::string json = to_json(preferences);
  MINKE_TRY(check_text("preferences", json, kLimits.preferences_bytes_max));
  return database_->run(
      "INSERT INTO values_by_name(name, value) VALUES ('preferences', ?1) "
      "ON CONFLICT(name) DO UPDATE SET value = excluded.value",
      json);
}

}  // namespace minke::history
