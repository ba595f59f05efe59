#include "server/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace minke::server {
namespace {

constexpr size_t kLinesWaiting = 8192;

// "key=value", a value with spaces in quotes.
std::string text_of(const Value& value) {
  const std::string* text = value.as_string();
  if (text == nullptr) return to_json(value);
  const bool is_plain = text->find_first_of(" \t\"=\n") == std::string::npos && !text->empty();
  return is_plain ? *text : to_json(value);
}

void write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(STDERR_FILENO, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return;  // nobody reads it
    text.remove_prefix(static_cast<size_t>(put));
  }
}

}  // namespace

struct Log::Parts {
  LogOptions options;
  std::mutex mutex;
  std::condition_variable_any wake;
  std::deque<std::string> lines;
  std::jthread writer;  // last
};

Log::Log(LogOptions options) : parts_(std::make_unique<Parts>()) {
  parts_->options = options;
  if (options.form == LogForm::kNone) return;
  parts_->writer = std::jthread([&parts = *parts_](const std::stop_token& stop) {
    std::unique_lock lock(parts.mutex);
    // At the end what is there is still written.
    while (parts.wake.wait(lock, stop, [&] { return !parts.lines.empty(); }) ||
           !parts.lines.empty()) {
      std::deque<std::string> lines;
      lines.swap(parts.lines);
      lock.unlock();
      for (const std::string& line : lines) write_all(line);
      lock.lock();
    }
  });
}

Log::~Log() = default;

bool Log::tells_requests() const {
  return parts_->options.form != LogForm::kNone && parts_->options.requests;
}

void Log::info(const std::string& what, const Details& details) { write(false, what, details); }
void Log::warn(const std::string& what, const Details& details) { write(true, what, details); }

void Log::write(bool is_warning, const std::string& what, const Details& details) {
  if (parts_->options.form == LogForm::kNone) return;
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::string line;
  if (parts_->options.form == LogForm::kJson) {
    line = fmt::format(R"({{"time":"{:%Y-%m-%dT%H:%M:%S}.{:03}Z","level":"{}","event":{})",
                       fmt::gmtime(seconds), now.time_since_epoch().count() % 1000,
                       is_warning ? "warning" : "info", to_json(Value(what)));
    for (const auto& [name, value] : details) {
      line += fmt::format(",{}:{}", to_json(Value(name)), to_json(value));
    }
    line += "}\n";
  } else {
    line = fmt::format("{:%H:%M:%S} {}{}", fmt::localtime(seconds), is_warning ? "warning: " : "",
                       what);
    for (const auto& [name, value] : details) {
      line += fmt::format("  {}={}", name, text_of(value));
    }
    line += "\n";
  }
  {
    const std::lock_guard lock(parts_->mutex);
    if (parts_->lines.size() == kLinesWaiting) parts_->lines.pop_front();
    parts_->lines.push_back(std::move(line));
  }
  parts_->wake.notify_one();
}

}  // namespace minke::server
