#include "server/log.h"

#include <fmt/format.h>
#include <spdlog/async.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <memory>

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

}  // namespace

struct Log::Parts {
  LogOptions options;
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<spdlog::async_logger> logger;
};

Log::Log(LogOptions options) : parts_(std::make_unique<Parts>()) {
  parts_->options = options;
  if (options.form == LogForm::kNone) return;
  parts_->pool = std::make_shared<spdlog::details::thread_pool>(kLinesWaiting, 1);
  parts_->logger = std::make_shared<spdlog::async_logger>(
      "minke", std::make_shared<spdlog::sinks::stderr_sink_mt>(), parts_->pool,
      spdlog::async_overflow_policy::overrun_oldest);
  parts_->logger->set_pattern(options.form == LogForm::kJson
                                  ? R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v})"
                                  : "%H:%M:%S %v");
  parts_->logger->flush_on(spdlog::level::info);
}

Log::~Log() = default;

bool Log::tells_requests() const { return parts_->logger != nullptr && parts_->options.requests; }

void Log::info(const std::string& what, const Details& details) { write(false, what, details); }
void Log::warn(const std::string& what, const Details& details) { write(true, what, details); }

void Log::write(bool is_warning, const std::string& what, const Details& details) {
  if (!parts_->logger) return;
  std::string line;
  if (parts_->options.form == LogForm::kJson) {
    line = fmt::format("\"event\":{}", to_json(Value(what)));
    for (const auto& [name, value] : details) {
      line += fmt::format(",{}:{}", to_json(Value(name)), to_json(value));
    }
  } else {
    line = is_warning ? "warning: " + what : what;
    for (const auto& [name, value] : details) {
      line += fmt::format("  {}={}", name, text_of(value));
    }
  }
  // As an argument: the text may have braces.
  parts_->logger->log(is_warning ? spdlog::level::warn : spdlog::level::info, "{}", line);
}

}  // namespace minke::server
