// What the server says while it runs: a line for each request, with its id and never with what was
// asked or answered. Lines are written by a thread of their own; when the reader of the log is too
// slow the oldest that wait are dropped, and the requests are not held up. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/value.h"

namespace minke::server {

enum class LogForm : uint8_t { kNone, kText, kJson };

struct LogOptions {
  LogForm form = LogForm::kText;
  bool requests = true;  // else only what happens to the server and its models
};

class Log {
 public:
  explicit Log(LogOptions options);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  using Details = std::vector<std::pair<std::string, Value>>;
  void info(const std::string& what, const Details& details = {});
  void warn(const std::string& what, const Details& details = {});
  bool tells_requests() const;

 private:
  struct Parts;
  void write(bool is_warning, const std::string& what, const Details& details);
  std::unique_ptr<Parts> parts_;
};

}  // namespace minke::server
