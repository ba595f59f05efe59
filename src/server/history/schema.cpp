#include "server/history/schema.h"

#include <fmt/format.h>

#include <array>
#include <string>
#include <vector>

namespace minke::history {
namespace {

// Keys are SQLite's row numbers, ids what the world sees.
//
// A message that runs grows by rows of `pieces` rather than in its own row, so that saving costs
// what was said since and not all that was said before; its end joins them.
//
// Parents are checked at commit: a tree is deleted in any order, and a cascade along a long chat
// would be deeper than SQLite goes.
constexpr const char* kVersion1 = R"sql(
CREATE TABLE folders(
  key INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  position INTEGER NOT NULL
) STRICT;

CREATE TABLE presets(
  key INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  settings TEXT NOT NULL,
  position INTEGER NOT NULL
) STRICT;

CREATE TABLE values_by_name(
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE conversations(
  key INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  source TEXT UNIQUE,
  title TEXT NOT NULL,
  title_is_own INTEGER NOT NULL,
  folder INTEGER REFERENCES folders(key) ON DELETE SET NULL,
  pinned INTEGER NOT NULL DEFAULT 0,
  archived INTEGER NOT NULL DEFAULT 0,
  settings TEXT NOT NULL,
  leaf INTEGER REFERENCES messages(key) ON DELETE SET NULL,
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL,
  message_count INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX conversations_by_time ON conversations(archived, pinned, updated_at_ms, key);
CREATE INDEX conversations_by_folder
  ON conversations(folder, archived, pinned, updated_at_ms, key);
CREATE INDEX conversations_by_leaf ON conversations(leaf);

CREATE TABLE messages(
  key INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  conversation INTEGER NOT NULL REFERENCES conversations(key) ON DELETE CASCADE,
  parent INTEGER REFERENCES messages(key) DEFERRABLE INITIALLY DEFERRED,
  role TEXT NOT NULL,
  status TEXT NOT NULL,
  kind TEXT NOT NULL,
  thinking_closed INTEGER NOT NULL DEFAULT 0,
  generation_id TEXT,
  error TEXT,
  model TEXT,
  settings TEXT NOT NULL,
  finish_reason TEXT,
  usage TEXT,
  created_at_ms INTEGER NOT NULL,
  finished_at_ms INTEGER,
  content TEXT NOT NULL
) STRICT;
CREATE INDEX messages_by_conversation ON messages(conversation);
CREATE INDEX messages_by_parent ON messages(parent);
CREATE INDEX messages_running ON messages(status) WHERE status = 'running';

CREATE TABLE thinking(
  message INTEGER NOT NULL REFERENCES messages(key) ON DELETE CASCADE,
  segment INTEGER NOT NULL,
  started_at_ms INTEGER NOT NULL,
  ms INTEGER,
  text TEXT NOT NULL,
  PRIMARY KEY(message, segment)
) STRICT, WITHOUT ROWID;

CREATE TABLE pieces(
  message INTEGER NOT NULL REFERENCES messages(key) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  segment INTEGER,
  saved_at_ms INTEGER NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY(message, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE attachments(
  key INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  media_type TEXT NOT NULL,
  kind TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  chars INTEGER NOT NULL,
  truncated INTEGER NOT NULL,
  was_used INTEGER NOT NULL DEFAULT 0,
  created_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE attachment_contents(
  attachment INTEGER PRIMARY KEY REFERENCES attachments(key) ON DELETE CASCADE,
  bytes BLOB NOT NULL,
  text TEXT NOT NULL
) STRICT;

CREATE TABLE message_attachments(
  message INTEGER NOT NULL REFERENCES messages(key) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  attachment INTEGER NOT NULL REFERENCES attachments(key),
  PRIMARY KEY(message, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX message_attachments_by_attachment ON message_attachments(attachment);

CREATE TRIGGER messages_counted AFTER INSERT ON messages BEGIN
  UPDATE conversations SET message_count = message_count + 1 WHERE key = new.conversation;
END;
CREATE TRIGGER messages_uncounted AFTER DELETE ON messages BEGIN
  UPDATE conversations SET message_count = message_count - 1 WHERE key = old.conversation;
END;

-- Texts are kept once, in their tables; these hold what searching needs. The index is of each three
-- characters that follow each other; two line ends behind a text make its last two begin three, so
-- that words of one and two characters are found as what terms begin with.
CREATE VIEW searchable_messages AS
  SELECT key, content || char(10, 10) AS content FROM messages;
CREATE VIRTUAL TABLE message_search USING fts5(
  content, content = 'searchable_messages', content_rowid = 'key', tokenize = 'trigram');
CREATE VIRTUAL TABLE message_terms USING fts5vocab('message_search', 'instance');
CREATE TRIGGER messages_searchable AFTER INSERT ON messages BEGIN
  INSERT INTO message_search(rowid, content) VALUES (new.key, new.content || char(10, 10));
END;
CREATE TRIGGER messages_researchable AFTER UPDATE OF content ON messages BEGIN
  INSERT INTO message_search(message_search, rowid, content)
    VALUES ('delete', old.key, old.content || char(10, 10));
  INSERT INTO message_search(rowid, content) VALUES (new.key, new.content || char(10, 10));
END;
CREATE TRIGGER messages_unsearchable AFTER DELETE ON messages BEGIN
  INSERT INTO message_search(message_search, rowid, content)
    VALUES ('delete', old.key, old.content || char(10, 10));
END;

CREATE VIRTUAL TABLE title_search USING fts5(
  title, content = 'conversations', content_rowid = 'key', tokenize = 'trigram');
CREATE TRIGGER titles_searchable AFTER INSERT ON conversations BEGIN
  INSERT INTO title_search(rowid, title) VALUES (new.key, new.title);
END;
CREATE TRIGGER titles_researchable AFTER UPDATE OF title ON conversations BEGIN
  INSERT INTO title_search(title_search, rowid, title) VALUES ('delete', old.key, old.title);
  INSERT INTO title_search(rowid, title) VALUES (new.key, new.title);
END;
CREATE TRIGGER titles_unsearchable AFTER DELETE ON conversations BEGIN
  INSERT INTO title_search(title_search, rowid, title) VALUES ('delete', old.key, old.title);
END;
)sql";

// Step N brings a file from version N to N + 1.
constexpr std::array<const char*, kSchemaVersion> kSteps = {kVersion1};

Status run_steps(Database& database, int64_t version) {
  for (auto step = static_cast<size_t>(version); step < kSteps.size(); ++step)
    MINKE_TRY(database.script(kSteps.at(step)));
  return {};
}

Result<std::vector<std::string>> definitions(Database& database) {
  std::vector<std::string> definitions;
  MINKE_ASSIGN(Statement rows,
               database.query("SELECT type || ' ' || name || ': ' || ifnull(sql, '') "
                              "FROM sqlite_schema ORDER BY type, name"));
  while (true) {
    MINKE_ASSIGN(const bool row, rows.step());
    if (!row) return definitions;
    definitions.push_back(rows.string(0));
  }
}

Error not_ours(const Database& database) {
  return {
      fmt::format("{} is an SQLite file, but no history of minke's: give the history another "
                  "name",
                  database.path().string())};
}

// As an SQLite file that anybody wrote may be anything at all.
Status trust(Database& database) {
  MINKE_ASSIGN(const auto model, Database::in_memory());
  MINKE_TRY(run_steps(*model, 0));
  MINKE_ASSIGN(const auto expected, definitions(*model));
  MINKE_ASSIGN(const auto found, definitions(database));
  if (found != expected) return std::unexpected(not_ours(database));
  return database.script("PRAGMA trusted_schema = ON");
}

}  // namespace

Status migrate(Database& database) {
  MINKE_ASSIGN(Transaction transaction, Transaction::begin(database));
  MINKE_ASSIGN(const auto version, database.number("PRAGMA user_version"));
  MINKE_ASSIGN(const auto application, database.number("PRAGMA application_id"));
  MINKE_ASSIGN(const auto tables, database.number("SELECT count(*) FROM sqlite_schema"));
  const bool is_new = tables == 0 && version == 0 && application == 0;
  if (!version || (!is_new && application != kApplicationId))
    return std::unexpected(not_ours(database));
  if (*version < 0 || *version > kSchemaVersion) {
    return fail(
        fmt::format("{} was written by a newer minke (version {} of the file, this minke "
                    "knows up to {}): update minke, or give the history another name",
                    database.path().string(), *version, kSchemaVersion));
  }
  if (*version == kSchemaVersion) return trust(database);
  MINKE_TRY(run_steps(database, *version));
  const std::string mark = fmt::format("PRAGMA user_version = {}; PRAGMA application_id = {}",
                                       kSchemaVersion, kApplicationId);
  MINKE_TRY(database.script(mark.c_str()));
  MINKE_TRY(trust(database));
  return transaction.commit();
}

}  // namespace minke::history
