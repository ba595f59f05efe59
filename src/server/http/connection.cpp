#include "server/http/connection.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>

#include "core/check.h"

namespace minke::http {
namespace {

namespace asio = boost::asio;
namespace beast_http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr size_t kPipelinedBytesMax = size_t{64} << 10;
constexpr size_t kFileBlock = size_t{64} << 10;
constexpr size_t kBuffersAtOnce = 32;
constexpr std::chrono::seconds kBodyGrace{30};
constexpr std::chrono::seconds kLingerTime{2};

// Splits and decodes a target; false when it is no path of ours.
bool read_target(std::string_view target, Request& request) {
  request.target = target;
  const size_t mark = target.find('?');
  request.path = target.substr(0, mark);
  if (!request.path.starts_with('/')) return false;
  if (mark == std::string_view::npos) return true;
  std::string_view rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    if (item.empty()) continue;
    const size_t equals = item.find('=');
    std::string name, value;
    if (!percent_decode(item.substr(0, equals), true, name)) return false;
    if (equals != std::string_view::npos && !percent_decode(item.substr(equals + 1), true, value)) {
      return false;
    }
    request.query.emplace_back(std::move(name), std::move(value));
  }
  return true;
}

// Whether nothing says where the body ends (RFC 9112, 6.1 and 6.3): what is taken for the next
// request would be what its sender, or a proxy before it, holds to be the body.
bool has_unknown_end(const Request& head, unsigned version) {
  const auto count =
      std::ranges::count(head.headers, "transfer-encoding", &Fields::value_type::first);
  if (count == 0) return false;
  return count > 1 || version < 11 || lower_case(*head.header("transfer-encoding")) != "chunked";
}

}  // namespace

Connection::Connection(ConnectionHost& host)
    : host_(host), deadline_(Clock::now() + host.options.header_time) {
  ++host_.open_connections;
}

Connection::~Connection() {
  give_body_back();
  --host_.open_connections;
}

asio::awaitable<void> Connection::run() {
  if (co_await open()) {
    deadline_ = Clock::now() + host_.options.idle_time;
    while (!is_closed_) {
      const std::string_view bytes = co_await read_some();
      if (bytes.empty() || is_closed_) break;
      if (is_lingering_) continue;
      pending_ += bytes;
      advance();
      if (exchange_ && pending_.size() > kPipelinedBytesMax) co_await exchange_end();
    }
  }
  abort();
}

// So much has come for later that no more is read before the answer under way has gone out.
asio::awaitable<void> Connection::exchange_end() {
  asio::steady_timer timer(host_.io, asio::steady_timer::time_point::max());
  exchange_end_ = &timer;
  error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  exchange_end_ = nullptr;
}

// Parses what there is, as long as no answer is under way.
void Connection::advance() {
  while (!exchange_ && !is_closed_ && !pending_.empty()) {
    if (!parse()) return;
  }
}

// True when a request or a fault came of it, so that there may be more to parse.
bool Connection::parse() {
  if (!parser_) start_request();
  error_code error;
  size_t parsed = 0;
  while (parsed < pending_.size() && !parser_->is_done()) {
    const size_t some =
        parser_->put(asio::buffer(pending_.data() + parsed, pending_.size() - parsed), error);
    parsed += some;
    if (error == beast_http::error::need_more) error = {};
    if (error) break;
    if (parser_->is_header_done() && !head_ && !read_head()) {
      pending_.erase(0, parsed);
      return false;
    }
    if (some == 0) break;
  }
  pending_.erase(0, parsed);
  if (error == beast_http::error::header_limit) {
    fault(431, fmt::format("the request's headers are larger than {} bytes",
                           host_.options.header_bytes_max));
    return false;
  }
  if (error) {
    fault(400, fmt::format("the request is malformed: {}", error.message()));
    return false;
  }
  if (!head_) return false;
  const std::string& body = parser_->get().body();
  if (body.size() > body_bytes_max_) {
    fault(413, fmt::format("the request's body is larger than {} bytes, the most that is taken "
                           "here",
                           body_bytes_max_));
    return false;
  }
  host_.bodies_bytes += body.size() - body_bytes_counted_;
  body_bytes_counted_ = body.size();
  if (host_.bodies_bytes > host_.options.bodies_bytes_max) {
    fault(503, "too many large requests are being received at once: try again");
    return false;
  }
  if (!parser_->is_done()) {
    const auto seconds = static_cast<int64_t>(body.size() / host_.options.body_bytes_per_s_min);
    deadline_ = request_began_ + kBodyGrace + std::chrono::seconds(seconds);
    return false;
  }
  dispatch();
  return true;
}

void Connection::start_request() {
  parser_ = std::make_unique<Parser>();
  parser_->header_limit(static_cast<uint32_t>(host_.options.header_bytes_max));
  // Ours depends on the route. Not eager: a body has room made for it as its length is stated,
  // which nobody has looked at before the head is read.
  parser_->body_limit(boost::none);
  parser_->eager(false);
  head_.reset();
  request_began_ = Clock::now();
  deadline_ = request_began_ + host_.options.header_time;
}

// A request of which nothing is known but whence and when it came.
Request Connection::new_head() const {
  Request head;
  head.id = fmt::format("{}-{}", host_.id_prefix, ++host_.last_request);
  head.remote = remote();
  head.is_secure = is_secure();
  head.received = request_began_;
  return head;
}

// The headers are complete. False when the request ends with them.
bool Connection::read_head() {
  const auto& message = parser_->get();
  Request head = new_head();
  head.method = std::string(message.method_string());
  for (const auto& field : message) {
    head.headers.emplace_back(lower_case(field.name_string()), field.value());
  }
  const bool has_path = read_target(message.target(), head);
  if (has_unknown_end(head, message.version())) {
    head_ = std::move(head);
    ends_after_this_ = true;
    fault(501, "the only Transfer-Encoding that is taken is 'chunked', once and on HTTP/1.1");
    return false;
  }
  const auto hosts = std::ranges::count(head.headers, "host", &Fields::value_type::first);
  const bool lacks_host = hosts == 0 && message.version() >= 11;  // RFC 9112, 3.2
  if (!has_path || hosts > 1 || lacks_host) {
    head_ = std::move(head);
    fault(400, !has_path    ? "the request's target must be a path, percent-encoded UTF-8"
               : lacks_host ? "the request has no Host header: HTTP/1.1 asks for one"
                            : "the request has several Host headers: it must have one");
    return false;
  }
  Handler::Admission admission = host_.handler.admit(head);
  head_ = std::move(head);
  headers_ = std::move(admission.headers);
  if (admission.refusal) {
    refuse(*std::move(admission.refusal), true);
    return false;
  }
  body_bytes_max_ = admission.body_bytes_max;
  const auto stated = parser_->content_length();
  if (stated && *stated > body_bytes_max_) {
    fault(413, fmt::format("the request's body has {} bytes, and at most {} are taken here",
                           *stated, body_bytes_max_));
    return false;
  }
  const std::string* expects = head_->header("expect");
  if (expects != nullptr && lower_case(*expects) == "100-continue" && !parser_->is_done()) {
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    out_.push_back({.text = std::string(kContinue), .file = nullptr});
    write_next();
  }
  return true;
}

// What answers `head_`, made before anybody could want to answer.
void Connection::refuse(Response response, bool with_head) {
  // What is left of the request's body is not read: the connection cannot go on.
  const bool has_rest = !parser_->is_done();
  const bool keeps =
      parser_->is_header_done() && !has_rest && parser_->keep_alive() && !ends_after_this_;
  const bool is_head = head_ && head_->method == "HEAD";
  Request head = head_ ? *std::move(head_) : new_head();
  head_.reset();
  exchange_ =
      std::make_shared<Exchange>(host_.shared_from_this(), weak_from_this(), std::move(head),
                                 std::exchange(headers_, {}), with_head && is_head, keeps, true);
  give_body_back();
  parser_.reset();
  if (!keeps) {
    has_unread_ = true;
    ends_after_this_ = true;
  }
  bytes_sent_ = 0;
  ++host_.requests;
  exchange_->respond(std::move(response));
}

void Connection::fault(int status, const std::string& message) {
  if (!head_) head_ = new_head();
  refuse(host_.handler.fault(*head_, status, message));
}

void Connection::dispatch() {
  const bool is_new = parser_->get().version() >= 11;
  const bool keeps = parser_->keep_alive() && !host_.is_stopping;
  auto request = std::make_shared<Request>(*head_);
  request->body = std::move(parser_->get().body());
  exchange_ = std::make_shared<Exchange>(host_.shared_from_this(), weak_from_this(),
                                         *std::move(head_), std::exchange(headers_, {}),
                                         request->method == "HEAD", keeps, is_new);
  head_.reset();
  parser_.reset();
  give_body_back();
  if (pending_.empty()) pending_ = std::string();  // an idle connection holds nothing
  bytes_sent_ = 0;
  deadline_ = Clock::time_point::max();
  ++host_.requests;
  // The connection keeps the exchange, too: only whoever answers lets go of this one.
  const std::shared_ptr<Responder> responder(
      exchange_.get(), [exchange = exchange_](Responder*) { exchange->abandon(); });
  host_.handler.handle(std::move(request), responder);
}

void Connection::give_body_back() { host_.bodies_bytes -= std::exchange(body_bytes_counted_, 0); }

void Connection::drain() {
  if (!exchange_ || is_closed_) return;
  {
    const std::lock_guard lock(exchange_->mutex_);
    exchange_->is_scheduled_ = false;
    std::ranges::move(exchange_->queue_, std::back_inserter(out_));
    exchange_->queue_.clear();
  }
  write_next();
}

void Connection::write_next() {
  if (is_writing_ || is_closed_) return;
  if (out_.empty()) {
    finish_exchange();
    return;
  }
  Buffers buffers;
  if (const std::shared_ptr<SentFile>& file = out_.front().file) {
    const uint64_t left = file->bytes() - std::min(file->bytes(), file_offset_);
    if (left == 0) {
      next_piece();
      return write_next();
    }
    file_block_.resize(std::min<uint64_t>(left, kFileBlock));
    const ssize_t got = ::pread(file->descriptor(), file_block_.data(), file_block_.size(),
                                static_cast<off_t>(file_offset_));
    if (got <= 0) return abort();  // shorter than was stated
    file_offset_ += static_cast<uint64_t>(got);
    buffers.emplace_back(file_block_.data(), static_cast<size_t>(got));
  } else {
    for (const Exchange::Piece& piece : out_) {
      if (piece.file || buffers.size() == kBuffersAtOnce) break;
      buffers.push_back(asio::buffer(piece.text));
    }
  }
  is_writing_ = true;
  last_written_ = Clock::now();
  write(buffers, [self = shared_from_this()](error_code error, size_t bytes) {
    self->written(error, bytes);
  });
}

void Connection::written(error_code error, size_t bytes) {
  is_writing_ = false;
  if (is_closed_) return;
  if (error) return abort();
  last_written_ = Clock::now();
  bytes_sent_ += bytes;
  if (out_.front().file) {
    file_block_ = std::string();
  } else {
    while (bytes > 0) {
      const Exchange::Piece& piece = out_.front();
      const size_t size = piece.text.size();
      bytes -= std::min(bytes, size);
      next_piece();
    }
  }
  write_next();
}

// Writes are whole, so the first piece is done with.
void Connection::next_piece() {
  const size_t size = out_.front().text.size();
  out_.pop_front();
  file_offset_ = 0;
  if (!exchange_) return;
  const std::lock_guard lock(exchange_->mutex_);
  exchange_->backlog_bytes_ -= std::min(exchange_->backlog_bytes_, size);
}

// Everything that was given is written: is that the whole answer?
void Connection::finish_exchange() {
  if (!exchange_) return;
  int status = 0;
  {
    const std::lock_guard lock(exchange_->mutex_);
    if (exchange_->phase_ != Exchange::Phase::kEnded || !exchange_->queue_.empty()) return;
    exchange_->is_gone_ = true;  // to whoever goes on writing
    exchange_->gone_callback_ = nullptr;
    status = exchange_->status_;
    ends_after_this_ |= !exchange_->keeps_alive_;
  }
  const std::shared_ptr<Exchange> done = std::move(exchange_);
  exchange_.reset();
  host_.handler.done(done->head_, status, bytes_sent_);
  if (exchange_end_ != nullptr) exchange_end_->cancel();
  if (ends_after_this_ || host_.is_stopping) return linger();
  deadline_ = Clock::now() + host_.options.idle_time;
  // From the loop, not from here: answers that come at once must not pile up calls.
  if (!pending_.empty()) {
    asio::post(host_.io, [self = shared_from_this()] { self->advance(); });
  }
}

// Closing with unread bytes in the socket would have the system throw away what the client has not
// read of the answer: it is told the end, and what it still sends is passed over for a while.
void Connection::linger() {
  if (pending_.empty() && !has_unread_) return abort();
  is_lingering_ = true;
  pending_ = std::string();
  deadline_ = Clock::now() + kLingerTime;
  shut_down_sending();
}

void Connection::lose_exchange() {
  if (!exchange_) return;
  const std::shared_ptr<Exchange> lost = std::move(exchange_);
  exchange_.reset();
  lost->lose();
  host_.handler.done(lost->head_, 499, bytes_sent_);
}

void Connection::sweep(Clock::time_point now) {
  if (is_closed_) return;
  if (is_writing_) {
    if (now - last_written_ > host_.options.write_time) abort();
    return;
  }
  if (exchange_) {
    const std::lock_guard lock(exchange_->mutex_);
    if (exchange_->phase_ == Exchange::Phase::kBegun &&
        exchange_->keep_alive_silence_.count() > 0 &&
        now - last_written_ >= exchange_->keep_alive_silence_) {
      exchange_->push_chunk(exchange_->keep_alive_text_);
      exchange_->schedule();
    }
    return;
  }
  if (now < deadline_) return;
  if (parser_ && parser_->is_header_done() && head_) {
    fault(408, "the request's body came too slowly");
  } else {
    abort();
  }
}

void Connection::retire() {
  if (exchange_ || is_writing_) {
    ends_after_this_ = true;
  } else {
    abort();
  }
}

void Connection::abort() {
  if (is_closed_) return;
  is_closed_ = true;
  if (exchange_end_ != nullptr) exchange_end_->cancel();
  const std::shared_ptr<Connection> self = shared_from_this();
  close();
  lose_exchange();
  give_body_back();
  host_.connections.erase(this);
}

namespace {

class PlainConnection final : public Connection {
 public:
  PlainConnection(ConnectionHost& host, tcp::socket socket)
      : Connection(host), socket_(std::move(socket)) {
    error_code ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
    socket_.non_blocking(true, ignored);
    remote_ = socket_.remote_endpoint(ignored).address().to_string();
  }

 private:
  asio::awaitable<bool> open() override { co_return true; }

  // The buffer is everybody's: one that waits has none.
  asio::awaitable<std::string_view> read_some() override {
    for (;;) {
      error_code error;
      co_await socket_.async_wait(tcp::socket::wait_read,
                                  asio::redirect_error(asio::use_awaitable, error));
      if (error) co_return std::string_view();
      const size_t bytes = socket_.read_some(asio::buffer(host_.scratch), error);
      if (error == asio::error::would_block) continue;
      if (error) co_return std::string_view();
      co_return std::string_view(host_.scratch.data(), bytes);
    }
  }

  void write(const Buffers& buffers, Written done) override {
    asio::async_write(socket_, buffers, std::move(done));
  }
  void shut_down_sending() override {
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
  }
  void close() override {
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_both, ignored);
    socket_.close(ignored);
  }
  std::string remote() const override { return remote_; }
  bool is_secure() const override { return false; }

  tcp::socket socket_;
  std::string remote_;
};

class SecureConnection final : public Connection {
 public:
  SecureConnection(ConnectionHost& host, asio::ssl::context& context, tcp::socket socket)
      : Connection(host), stream_(std::move(socket), context) {
    error_code ignored;
    stream_.next_layer().set_option(tcp::no_delay(true), ignored);
    remote_ = stream_.next_layer().remote_endpoint(ignored).address().to_string();
  }

 private:
  asio::awaitable<bool> open() override {
    error_code error;
    co_await stream_.async_handshake(asio::ssl::stream_base::server,
                                     asio::redirect_error(asio::use_awaitable, error));
    co_return !error;
  }

  asio::awaitable<std::string_view> read_some() override {
    error_code error;
    const size_t bytes = co_await stream_.async_read_some(
        asio::buffer(buffer_), asio::redirect_error(asio::use_awaitable, error));
    co_return error ? std::string_view() : std::string_view(buffer_.data(), bytes);
  }

  void write(const Buffers& buffers, Written done) override {
    asio::async_write(stream_, buffers, std::move(done));
  }
  void shut_down_sending() override {
    error_code ignored;
    stream_.next_layer().shutdown(tcp::socket::shutdown_send, ignored);
  }
  void close() override {
    error_code ignored;
    stream_.next_layer().shutdown(tcp::socket::shutdown_both, ignored);
    stream_.next_layer().close(ignored);
  }
  std::string remote() const override { return remote_; }
  bool is_secure() const override { return true; }

  asio::ssl::stream<tcp::socket> stream_;
  std::array<char, 4096> buffer_{};
  std::string remote_;
};

}  // namespace

std::shared_ptr<Connection> make_plain_connection(ConnectionHost& host, tcp::socket socket) {
  return std::make_shared<PlainConnection>(host, std::move(socket));
}

std::shared_ptr<Connection> make_secure_connection(ConnectionHost& host,
                                                   asio::ssl::context& context,
                                                   tcp::socket socket) {
  return std::make_shared<SecureConnection>(host, context, std::move(socket));
}

}  // namespace minke::http
