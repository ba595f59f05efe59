#include <fmt/chrono.h>
#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <ctime>

#include "core/check.h"
#include "server/http/connection.h"

namespace minke::http {
namespace {

bool is_plain_value(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

// A status that has no body by definition.
bool has_no_body(int status) { return status == 204 || status == 304; }

}  // namespace

Exchange::Exchange(std::shared_ptr<ConnectionHost> host, std::weak_ptr<Connection> connection,
                   Request head, Fields headers, bool wants_head_only, bool keeps_alive,
                   bool takes_chunks)
    : host_(std::move(host)),
      connection_(std::move(connection)),
      head_(std::move(head)),
      headers_(std::move(headers)),
      wants_head_only_(wants_head_only),
      takes_chunks_(takes_chunks),
      keeps_alive_(keeps_alive) {
  ++host_->open_exchanges;
}

Exchange::~Exchange() { --host_->open_exchanges; }

std::string Exchange::head_text(const Response& response, std::optional<uint64_t> length) {
  status_ = response.status;
  std::string text =
      fmt::format("HTTP/1.1 {} {}\r\n", response.status, status_text(response.status));
  for (const Fields* fields : {&response.headers, &headers_}) {
    for (const auto& [name, value] : *fields) {
      CHECK(is_plain_value(name) && is_plain_value(value));
      text += fmt::format("{}: {}\r\n", name, value);
    }
  }
  text += fmt::format("Date: {:%a, %d %b %Y %H:%M:%S GMT}\r\n", fmt::gmtime(std::time(nullptr)));
  if (!head_.id.empty()) text += fmt::format("X-Request-Id: {}\r\n", head_.id);
  if (length && !has_no_body(response.status)) {
    text += fmt::format("Content-Length: {}\r\n", *length);
  } else if (!length && takes_chunks_) {
    text += "Transfer-Encoding: chunked\r\n";
  }
  if (!length && !takes_chunks_) keeps_alive_ = false;
  text += keeps_alive_ ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return text;
}

void Exchange::push(Piece piece) {
  backlog_bytes_ += piece.text.size();
  queue_.push_back(std::move(piece));
}

void Exchange::schedule() {
  if (is_scheduled_) return;
  is_scheduled_ = true;
  boost::asio::post(host_->io, [self = shared_from_this()] {
    if (const std::shared_ptr<Connection> connection = self->connection_.lock()) {
      connection->drain();
    }
  });
}

void Exchange::respond(Response response) {
  const std::lock_guard lock(mutex_);
  if (is_gone_) return;
  CHECK(phase_ == Phase::kOpen);
  phase_ = Phase::kEnded;
  uint64_t length = response.body.size();
  if (response.file) length = response.file->bytes();
  const bool whole = !wants_head_only_ && !has_no_body(response.status);
  std::string head = head_text(response, length);
  if (whole && !response.file) head += response.body;
  push({.text = std::move(head), .file = nullptr});
  if (whole && response.file) {
    push({.text = {}, .file = std::move(response.file)});
  }
  schedule();
}

void Exchange::push_chunk(std::string piece) {
  if (piece.empty() || wants_head_only_) return;
  if (takes_chunks_) piece = fmt::format("{:x}\r\n{}\r\n", piece.size(), piece);
  push({.text = std::move(piece), .file = nullptr});
}

void Exchange::begin(Response head) {
  const std::lock_guard lock(mutex_);
  if (is_gone_) return;
  CHECK(phase_ == Phase::kOpen);
  phase_ = Phase::kBegun;
  push({.text = head_text(head, std::nullopt), .file = nullptr});
  push_chunk(std::move(head.body));
  schedule();
}

bool Exchange::write(std::string piece) {
  std::unique_lock lock(mutex_);
  if (is_gone_) return false;
  CHECK(phase_ == Phase::kBegun);
  if (backlog_bytes_ + piece.size() > host_->options.backlog_bytes_max) {
    lock.unlock();
    boost::asio::post(host_->io, [self = shared_from_this()] {
      if (const auto connection = self->connection_.lock()) connection->abort();
    });
    return false;
  }
  push_chunk(std::move(piece));
  schedule();
  return true;
}

void Exchange::end() {
  const std::lock_guard lock(mutex_);
  if (is_gone_) return;
  CHECK(phase_ == Phase::kBegun);
  phase_ = Phase::kEnded;
  if (takes_chunks_ && !wants_head_only_) {
    push({.text = "0\r\n\r\n", .file = nullptr});
  }
  schedule();
}

void Exchange::keep_alive(std::string piece, std::chrono::milliseconds silence) {
  const std::lock_guard lock(mutex_);
  keep_alive_text_ = std::move(piece);
  keep_alive_silence_ = silence;
}

void Exchange::on_gone(std::function<void()> callback) {
  std::unique_lock lock(mutex_);
  if (!is_gone_) {
    gone_callback_ = std::move(callback);
    return;
  }
  lock.unlock();
  callback();
}

void Exchange::abandon() {
  bool is_open = false;
  {
    const std::lock_guard lock(mutex_);
    if (is_gone_ || phase_ == Phase::kEnded) return;
    is_open = phase_ == Phase::kOpen;
  }
  if (is_open) {
    respond(host_->handler.fault(head_, 500, "the request was dropped without an answer"));
    return;
  }
  // What was begun and has no end must not look whole.
  boost::asio::post(host_->io, [self = shared_from_this()] {
    if (const auto connection = self->connection_.lock()) connection->abort();
  });
}

void Exchange::lose() {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    if (is_gone_) return;
    is_gone_ = true;
    queue_.clear();
    callback.swap(gone_callback_);
  }
  if (callback) callback();
}

}  // namespace minke::http
