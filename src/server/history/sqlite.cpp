#include "server/history/sqlite.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/check.h"

namespace minke::history {

Statement::Statement(Database* database, sqlite3_stmt* handle, bool* lent)
    : database_(database), handle_(handle), lent_(lent) {}

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_),
      handle_(std::exchange(other.handle_, nullptr)),
      lent_(other.lent_),
      bind_fault_(other.bind_fault_) {}

Statement::~Statement() {
  if (handle_ == nullptr) return;
  if (lent_ == nullptr) {
    sqlite3_finalize(handle_);
    return;
  }
  sqlite3_reset(handle_);
  sqlite3_clear_bindings(handle_);
  *lent_ = false;
}

void Statement::bind(int parameter, std::nullptr_t) {
  const int code = sqlite3_bind_null(handle_, parameter);
  if (code != SQLITE_OK) bind_fault_ = code;
}

void Statement::bind(int parameter, int64_t value) {
  const int code = sqlite3_bind_int64(handle_, parameter, value);
  if (code != SQLITE_OK) bind_fault_ = code;
}

void Statement::bind(int parameter, std::string_view text) {
  // A view of nothing may have no address, which SQLite would take for NULL.
  const char* data = text.data() == nullptr ? "" : text.data();
  const int code =
      sqlite3_bind_text64(handle_, parameter, data, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (code != SQLITE_OK) bind_fault_ = code;
}

void Statement::bind(int parameter, std::span<const std::byte> bytes) {
  const int code = bytes.empty() ? sqlite3_bind_zeroblob(handle_, parameter, 0)
                                 : sqlite3_bind_blob64(handle_, parameter, bytes.data(),
                                                       bytes.size(), SQLITE_TRANSIENT);
  if (code != SQLITE_OK) bind_fault_ = code;
}

Result<bool> Statement::step() {
  if (bind_fault_ != SQLITE_OK) return std::unexpected(database_->error(bind_fault_));
  const int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return std::unexpected(database_->error(code));
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(handle_, column) == SQLITE_NULL;
}

int64_t Statement::integer(int column) const { return sqlite3_column_int64(handle_, column); }

std::string_view Statement::text(int column) const {
  const unsigned char* text = sqlite3_column_text(handle_, column);
  if (text == nullptr) return {};
  return {reinterpret_cast<const char*>(text),
          static_cast<size_t>(sqlite3_column_bytes(handle_, column))};
}

std::span<const std::byte> Statement::blob(int column) const {
  const void* data = sqlite3_column_blob(handle_, column);
  if (data == nullptr) return {};
  return {static_cast<const std::byte*>(data),
          static_cast<size_t>(sqlite3_column_bytes(handle_, column))};
}

std::optional<int64_t> Statement::integer_or_none(int column) const {
  return is_null(column) ? std::nullopt : std::optional(integer(column));
}

std::optional<std::string> Statement::string_or_none(int column) const {
  return is_null(column) ? std::nullopt : std::optional(string(column));
}

namespace {

// A new file is its owner's alone: it holds what somebody said in confidence. SQLite gives the
// files beside it the same permissions.
void create_private_file(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor >= 0) ::close(descriptor);
}

constexpr const char* kReadWriteSetup =
    "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
    "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA secure_delete = ON;"
    "PRAGMA journal_size_limit = 16777216; PRAGMA temp_store = MEMORY";
constexpr const char* kReadOnlySetup = "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON";

}  // namespace

Result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& path,
                                                 const Options& options) {
  if (options.create && !options.read_only) create_private_file(path);
  std::unique_ptr<Database> database(new Database(path, options.read_only));
  const int flags = (options.read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) |
                    SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int code = sqlite3_open_v2(path.c_str(), &database->handle_, flags, nullptr);
  if (code != SQLITE_OK) return std::unexpected(database->error(code));
  sqlite3_busy_timeout(database->handle_, options.busy_timeout_ms);
  // The file may be anybody's: its schema runs no function with effects and hides no columns.
  sqlite3_db_config(database->handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(database->handle_, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  sqlite3_db_config(database->handle_, SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
  return database;
}

Result<std::unique_ptr<Database>> Database::in_memory() {
  return open(":memory:", {.create = false});
}

Status Database::set_up() { return script(is_read_only_ ? kReadOnlySetup : kReadWriteSetup); }

Status Database::write_ahead() {
  MINKE_ASSIGN(Statement mode, query("PRAGMA journal_mode = WAL"));
  MINKE_ASSIGN(const bool row, mode.step());
  if (row && mode.text(0) == "wal") return {};
  return fail(
      fmt::format("{} lies on a disk that cannot keep a history safely (no shared memory "
                  "for SQLite's write-ahead log): choose a local disk for it",
                  path_.string()));
}

Status Database::check() {
  MINKE_ASSIGN(Statement found, query("PRAGMA quick_check(1)"));
  MINKE_ASSIGN(const bool row, found.step());
  if (!row || found.text(0) == "ok") return {};
  is_damaged_ = true;
  return fail(fmt::format("the history {} is damaged: {}", path_.string(), found.text(0)));
}

Database::~Database() {
  for (const auto& [sql, prepared] : prepared_) {
    CHECK(!prepared.lent);
    sqlite3_finalize(prepared.handle);
  }
  sqlite3_close(handle_);
}

Result<Statement> Database::statement(std::string_view sql) {
  Prepared& kept = prepared_[sql.data()];
  if (kept.handle != nullptr && !kept.lent) {
    kept.lent = true;
    return Statement(this, kept.handle, &kept.lent);
  }
  sqlite3_stmt* handle = nullptr;
  const unsigned flags = kept.handle == nullptr ? SQLITE_PREPARE_PERSISTENT : 0;
  const int code = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()), flags,
                                      &handle, nullptr);
  if (code != SQLITE_OK) return std::unexpected(error(code));
  if (kept.handle != nullptr) return Statement(this, handle, nullptr);
  kept = {.handle = handle, .lent = true};
  return Statement(this, handle, &kept.lent);
}

Status Database::finish(Statement& statement) {
  while (true) {
    MINKE_ASSIGN(const bool row, statement.step());
    if (!row) return {};
  }
}

Status Database::script(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return std::unexpected(error(code));
  return {};
}

int64_t Database::last_key() const { return sqlite3_last_insert_rowid(handle_); }
int64_t Database::changes() const { return sqlite3_changes64(handle_); }

Error Database::error(int code) {
  const std::string file = path_.string();
  const int system = handle_ == nullptr ? 0 : sqlite3_system_errno(handle_);
  const std::string said = handle_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(handle_);
  switch (code & 0xFF) {
    case SQLITE_FULL:
      return {
          fmt::format("cannot save to {}: the disk is full; make room and try again (what was "
                      "saved before is safe)",
                      file)};
    case SQLITE_READONLY:
      return {
          fmt::format("cannot save to {}: the file, its folder or its disk is read-only; make "
                      "it writable, or choose another place for the history",
                      file)};
    case SQLITE_CANTOPEN:
      return {fmt::format("cannot open the history {}: {}; is its folder there and writable?", file,
                          system != 0 ? std::strerror(system) : said)};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      is_damaged_ = true;
      return {
          fmt::format("the history {} is damaged ({}): stop minke and start it again, which "
                      "sets the file aside under another name and begins a new one",
                      file, said)};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {
          fmt::format("the history {} is in use by another program: close it and try again", file)};
    case SQLITE_IOERR:
      if (system == ENOSPC || system == EDQUOT || system == EFBIG) {
        return {
            fmt::format("cannot save to {}: {}; make room and try again (what was saved before "
                        "is safe)",
                        file, std::strerror(system))};
      }
      return {
          fmt::format("the disk refuses {}: {}", file, system != 0 ? std::strerror(system) : said)};
    case SQLITE_TOOBIG:
      return {fmt::format("too large for the history {}: one text or file may have at most 1 GB",
                          file)};
    default:
      return {fmt::format("history {}: {} (SQLite's code {})", file, said, code)};
  }
}

Result<Transaction> Transaction::begin(Database& database) {
  MINKE_TRY(database.run("BEGIN IMMEDIATE"));
  return Transaction(&database);
}

Transaction::Transaction(Transaction&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)) {}

Transaction::~Transaction() {
  // Some faults (a full disk) have already undone it.
  if (database_ != nullptr && sqlite3_get_autocommit(database_->handle()) == 0)
    sqlite3_exec(database_->handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

Status Transaction::commit() {
  CHECK(database_ != nullptr);
  MINKE_TRY(database_->run("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace minke::history
