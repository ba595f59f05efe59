// SQLite, as far as the history needs it: a Database, prepared Statements, Transactions.
//
// Every fault of the world is an Error that names the file, what was found and the way out. A
// Database and all that came from it belong to one thread at a time; Statements and Transactions
// must end before it.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace minke::history {

class Database;

// One execution of a prepared statement. Columns and parameters count from 0 and from 1, as in
// SQLite. What text() and blob() return lives until the next step().
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();  // hands the prepared statement back, reset

  // Copies what it is given. A fault is told by the next step().
  void bind(int parameter, std::nullptr_t);
  void bind(int parameter, bool value) { bind(parameter, int64_t{value}); }
  void bind(int parameter, int value) { bind(parameter, int64_t{value}); }
  void bind(int parameter, int64_t value);
  void bind(int parameter, std::string_view text);
  void bind(int parameter, const std::string& text) { bind(parameter, std::string_view(text)); }
  void bind(int parameter, const char* text) { bind(parameter, std::string_view(text)); }
  void bind(int parameter, std::span<const std::byte> bytes);
  template <typename T>
  void bind(int parameter, const std::optional<T>& value) {
    if (value) {
      bind(parameter, *value);
    } else {
      bind(parameter, nullptr);
    }
  }

  // True when there is a row to read, false at the end.
  Result<bool> step();

  bool is_null(int column) const;
  int64_t integer(int column) const;
  std::string_view text(int column) const;  // empty for NULL
  std::span<const std::byte> blob(int column) const;
  std::string string(int column) const { return std::string(text(column)); }
  bool flag(int column) const { return integer(column) != 0; }
  std::optional<int64_t> integer_or_none(int column) const;
  std::optional<std::string> string_or_none(int column) const;

 private:
  friend class Database;
  Statement(Database* database, sqlite3_stmt* handle, bool* lent);

  Database* database_;
  sqlite3_stmt* handle_;
  bool* lent_;  // cleared when the statement is handed back; null: it is not kept
  int bind_fault_ = 0;
};

class Database {
 public:
  struct Options {
    bool create = true;  // where the file is missing
    bool read_only = false;
    int busy_timeout_ms = 5'000;
  };

  // Readable by its owner only where it is created. Reads nothing of the file yet: set_up() does.
  static Result<std::unique_ptr<Database>> open(const std::filesystem::path& path,
                                                const Options& options);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  // In memory alone.
  static Result<std::unique_ptr<Database>> in_memory();
  // Every commit is on the disk before it is acknowledged, foreign keys are checked, and the schema
  // of the file is trusted with nothing yet.
  Status set_up();
  // Readers and backups do not wait for the writer from here on. Changes the file.
  Status write_ahead();
  // Looks the whole file over for damage, which takes as long as reading it. Fails, and
  // is_damaged() from then on, where there is any.
  Status check();

  const std::filesystem::path& path() const { return path_; }
  sqlite3* handle() { return handle_; }

  // Prepared once for each text, which must be a literal: it is kept by its address.
  Result<Statement> statement(std::string_view sql);
  // Prepares, binds the arguments from 1 on.
  template <typename... Args>
  Result<Statement> query(std::string_view sql, const Args&... args) {
    MINKE_ASSIGN(Statement statement, this->statement(sql));
    [[maybe_unused]] int parameter = 0;
    (statement.bind(++parameter, args), ...);
    return statement;
  }
  // The same, run to its end.
  template <typename... Args>
  Status run(std::string_view sql, const Args&... args) {
    MINKE_ASSIGN(Statement statement, query(sql, args...));
    return finish(statement);
  }
  // The first column of the first row, or none where there is no row or it is NULL.
  template <typename... Args>
  Result<std::optional<int64_t>> number(std::string_view sql, const Args&... args) {
    MINKE_ASSIGN(Statement statement, query(sql, args...));
    MINKE_ASSIGN(const bool row, statement.step());
    return row ? statement.integer_or_none(0) : std::nullopt;
  }
  // Several statements, of ours, without parameters.
  Status script(const char* sql);

  int64_t last_key() const;  // of the latest INSERT
  int64_t changes() const;   // rows that the latest statement changed

  // The Error of the latest fault, with `code` of SQLite.
  Error error(int code);
  // Whether any statement so far found the file damaged.
  bool is_damaged() const { return is_damaged_; }

 private:
  Database(std::filesystem::path path, bool read_only)
      : path_(std::move(path)), is_read_only_(read_only) {}
  static Status finish(Statement& statement);

  struct Prepared {
    sqlite3_stmt* handle = nullptr;
    bool lent = false;
  };
  std::filesystem::path path_;
  bool is_read_only_;
  sqlite3* handle_ = nullptr;
  bool is_damaged_ = false;
  std::map<const char*, Prepared> prepared_;  // by the address of their literal
};

// Everything between begin() and commit() happens or none of it: what is not committed is undone.
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  // Once it returns without an error, the changes are on the disk.
  Status commit();

 private:
  explicit Transaction(Database* database) : database_(database) {}
  Database* database_;
};

}  // namespace minke::history
