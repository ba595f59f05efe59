#include "server/history/store.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <system_error>
#include <utility>

#include "server/history/schema.h"

namespace minke::history {
namespace fs = std::filesystem;
namespace {

int64_t system_now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

fs::path beside(const fs::path& path, std::string_view suffix) {
  return path.string() + std::string(suffix);
}

fs::path lock_file(const fs::path& path) { return beside(path, ".lock"); }

// Tells the next start that a statement found damage, so that it looks everything over.
fs::path damage_mark(const fs::path& path) { return beside(path, ".check"); }

void leave_damage_mark(const fs::path& path) {
  const int descriptor = ::open(damage_mark(path).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor >= 0) ::close(descriptor);
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

// A file that is no SQLite file and beside which no lock of ours lies was never a history, and is
// somebody's: it is not touched. Empty, it is one that begins.
Status refuse_strange_file(const fs::path& path) {
  if (is_there(lock_file(path))) return {};
  constexpr std::string_view kMagic("SQLite format 3\0", 16);
  std::ifstream file(path, std::ios::binary);
  std::string begin(kMagic.size(), '\0');
  file.read(begin.data(), static_cast<std::streamsize>(begin.size()));
  begin.resize(static_cast<size_t>(file.gcount()));
  if (begin.empty() || begin == kMagic) return {};
  return fail(
      fmt::format("{} is no history of minke's, nor any SQLite file: give the history "
                  "another name",
                  path.string()));
}

// A name that nothing has yet.
fs::path name_aside(const fs::path& path) {
  const auto time = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  const std::string stem = (path.parent_path() / path.stem()).string();
  const std::string stamp = fmt::format("{:%Y%m%d-%H%M%S}", fmt::gmtime(time));
  for (int i = 0;; ++i) {
    const std::string number = i == 0 ? "" : fmt::format("-{}", i);
    fs::path name =
        fmt::format("{}-damaged-{}{}{}", stem, stamp, number, path.extension().string());
    if (!is_there(name)) return name;
  }
}

}  // namespace

Result<std::unique_ptr<Store>> Store::open(Options options) {
  if (!options.now_ms) options.now_ms = system_now_ms;
  std::unique_ptr<Store> store(new Store(std::move(options)));
  const fs::path& path = store->options_.path;
  std::error_code error;
  if (!path.parent_path().empty()) fs::create_directories(path.parent_path(), error);
  if (error) {
    return fail(fmt::format("cannot make the folder {} for the history: {}",
                            path.parent_path().string(), error.message()));
  }
  MINKE_TRY(refuse_strange_file(path));
  MINKE_TRY(store->lock());
  Status opened = store->open_database();
  if (!opened && store->database_ != nullptr && store->database_->is_damaged()) {
    MINKE_TRY(store->set_aside(opened.error().message));
    opened = store->open_database();
  }
  MINKE_TRY(std::move(opened));
  return store;
}

Store::~Store() {
  if (database_ != nullptr && database_->is_damaged()) leave_damage_mark(database_->path());
  database_.reset();
  if (lock_ >= 0) ::close(lock_);
}

// Two servers would take each other's running answers for interrupted ones.
Status Store::lock() {
  const fs::path path = lock_file(options_.path);
  lock_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock_ < 0) {
    return fail(
        fmt::format("cannot write {}: {}; choose a place for the history that this user "
                    "may write to",
                    path.string(), std::strerror(errno)));
  }
  if (flock(lock_, LOCK_EX | LOCK_NB) == 0) return {};
  return fail(
      fmt::format("the history {} is in use by another minke: stop that one, or give this "
                  "one another file",
                  options_.path.string()));
}

Status Store::open_database() {
  MINKE_ASSIGN(database_, Database::open(options_.path, {}));
  const bool was_damaged = is_there(damage_mark(options_.path));
  std::error_code unknown_size;
  const uint64_t bytes = fs::file_size(options_.path, unknown_size);
  MINKE_TRY(database_->set_up());
  if (was_damaged || bytes <= options_.check_bytes_max) MINKE_TRY(database_->check());
  MINKE_TRY(migrate(*database_));
  MINKE_TRY(database_->write_ahead());
  if (was_damaged) {
    // Not the tables, then: what searching needs is made of them again.
    MINKE_TRY(
        database_->script("INSERT INTO message_search(message_search) VALUES ('rebuild');"
                          "INSERT INTO title_search(title_search) VALUES ('rebuild')"));
    std::error_code error;
    fs::remove(damage_mark(options_.path), error);
  }
  MINKE_TRY(interrupt_running());
  return sweep_attachments();
}

// The damaged file keeps every byte, under a name that says what it is.
Status Store::set_aside(const std::string& why) {
  database_.reset();
  const fs::path& path = options_.path;
  const fs::path aside = name_aside(path);
  for (const std::string_view suffix : {"", "-wal", "-shm"}) {
    if (!is_there(beside(path, suffix))) continue;
    std::error_code error;
    fs::rename(beside(path, suffix), beside(aside, suffix), error);
    if (error) {
      return fail(fmt::format("{}; and it could not be set aside as {}: {}", why, aside.string(),
                              error.message()));
    }
  }
  std::error_code error;
  fs::remove(damage_mark(path), error);
  notices_.push_back(
      fmt::format("The history {} was damaged. It has been set aside, unchanged, as {}, and a new "
                  "one begun. `sqlite3 {} .recover` shows what can still be read of it.",
                  path.string(), aside.filename().string(), aside.string()));
  return {};
}

namespace {

struct RunningMessage {
  int64_t key = 0;
  std::string content;
  std::vector<std::pair<int64_t, std::string>> segments;  // number, text
};

// Texts that were saved on the way are joined to what their message had.
Status join_pieces(Database& database, RunningMessage& message) {
  MINKE_ASSIGN(Statement pieces,
               database.query("SELECT segment, text, saved_at_ms FROM pieces WHERE message = ?1 "
                              "ORDER BY number",
                              message.key));
  while (true) {
    MINKE_ASSIGN(const bool row, pieces.step());
    if (!row) return {};
    const auto segment = pieces.integer_or_none(0);
    if (!segment) {
      message.content += pieces.text(1);
      continue;
    }
    if (message.segments.empty() || message.segments.back().first != *segment)
      message.segments.emplace_back(*segment, std::string());
    message.segments.back().second += pieces.text(1);
  }
}

Status interrupt(Database& database, RunningMessage& message, int64_t now_ms) {
  MINKE_TRY(join_pieces(database, message));
  MINKE_ASSIGN(
      const auto saved_at_ms,
      database.number("SELECT max(saved_at_ms) FROM pieces WHERE message = ?1", message.key));
  for (const auto& [segment, text] : message.segments) {
    MINKE_TRY(
        database.run("UPDATE thinking SET text = text || ?3 "
                     "WHERE message = ?1 AND segment = ?2",
                     message.key, segment, text));
  }
  // Thinking that the end found open lasted until it was last heard of.
  MINKE_TRY(
      database.run("UPDATE thinking SET ms = max(0, ?2 - started_at_ms) "
                   "WHERE message = ?1 AND ms IS NULL",
                   message.key, saved_at_ms.value_or(now_ms)));
  MINKE_TRY(
      database.run("UPDATE messages SET status = 'interrupted', generation_id = NULL, "
                   "finished_at_ms = ?2, content = ?3 WHERE key = ?1",
                   message.key, saved_at_ms.value_or(now_ms), message.content));
  return database.run("DELETE FROM pieces WHERE message = ?1", message.key);
}

}  // namespace

Status Store::interrupt_running() {
  std::vector<RunningMessage> running;
  {
    MINKE_ASSIGN(Statement rows,
                 database_->query("SELECT key, content FROM messages WHERE status = 'running'"));
    while (true) {
      MINKE_ASSIGN(const bool row, rows.step());
      if (!row) break;
      running.push_back({.key = rows.integer(0), .content = rows.string(1)});
    }
  }
  if (running.empty()) return {};
  MINKE_ASSIGN(Transaction transaction, Transaction::begin(*database_));
  for (RunningMessage& message : running) MINKE_TRY(interrupt(*database_, message, now_ms()));
  return transaction.commit();
}

}  // namespace minke::history
