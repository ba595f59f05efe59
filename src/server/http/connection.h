// One connection: requests are read one after the other while their answers go out. All of it runs
// on the server's thread but Exchange's Responder side, which any thread calls.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "server/http/server.h"

namespace minke::http {

class Connection;

// What all connections of a server share. The server's thread, but for the counters.
struct ConnectionHost : std::enable_shared_from_this<ConnectionHost> {
  using Clock = std::chrono::steady_clock;
  ConnectionHost(const ServerOptions& server_options, Handler& request_handler)
      : options(server_options), handler(request_handler), io(1) {}

  ServerOptions options;
  Handler& handler;
  boost::asio::io_context io;
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections;
  std::vector<char> scratch = std::vector<char>(size_t{64} << 10);
  size_t bodies_bytes = 0;
  bool is_stopping = false;
  uint64_t last_request = 0;
  std::string id_prefix;  // of request ids, drawn at the start
  std::atomic<uint64_t> requests = 0;
  std::atomic<int64_t> open_connections = 0;
  std::atomic<int64_t> open_exchanges = 0;
};

// A request and its answer on the way out. Pieces gather in a queue of its own, which the
// connection empties on its thread.
class Exchange final : public Responder, public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(std::shared_ptr<ConnectionHost> host, std::weak_ptr<Connection> connection, Request head,
           Fields headers, bool wants_head_only, bool keeps_alive, bool takes_chunks);
  ~Exchange() override;

  void respond(Response response) override;
  void begin(Response head) override;
  bool write(std::string piece) override;
  void end() override;
  void keep_alive(std::string piece, std::chrono::milliseconds silence) override;
  void on_gone(std::function<void()> callback) override;
  // Whoever was to answer has let go of it: says so, where no whole answer was given.
  void abandon();

 private:
  friend class Connection;
  enum class Phase : uint8_t { kOpen, kBegun, kEnded };
  // Of what goes out: text, or a file.
  struct Piece {
    std::string text;
    std::shared_ptr<SentFile> file;
  };

  std::string head_text(const Response& response, std::optional<uint64_t> length);
  void push(Piece piece);  // mutex_ is held
  void schedule();         // mutex_ is held
  void push_chunk(std::string piece);
  void lose();  // the client has gone

  // Whoever answers may do so when the server has gone.
  const std::shared_ptr<ConnectionHost> host_;
  const std::weak_ptr<Connection> connection_;
  const Request head_;    // without its body
  const Fields headers_;  // of every answer
  const bool wants_head_only_;
  const bool takes_chunks_;  // HTTP/1.1: else the end of the connection ends the answer

  mutable std::mutex mutex_;  // for what follows
  Phase phase_ = Phase::kOpen;
  bool is_gone_ = false;
  bool is_scheduled_ = false;
  bool keeps_alive_;
  int status_ = 0;
  std::deque<Piece> queue_;
  size_t backlog_bytes_ = 0;  // pieces in the queue and on the way
  std::function<void()> gone_callback_;
  std::string keep_alive_text_;
  std::chrono::milliseconds keep_alive_silence_{0};
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Clock = ConnectionHost::Clock;
  explicit Connection(ConnectionHost& host);
  virtual ~Connection();

  // Reads until the connection ends.
  boost::asio::awaitable<void> run();
  // Called every second: closes what has outlived its time, breaks silences.
  void sweep(Clock::time_point now);
  // Ends it when nothing is being answered, else when that is done.
  void retire();
  void abort();
  void drain();  // the exchange has something in its queue

 protected:
  using Buffers = std::vector<boost::asio::const_buffer>;
  using Written = std::function<void(boost::system::error_code, size_t)>;
  virtual boost::asio::awaitable<bool> open() = 0;  // the handshake
  // Some bytes, in a buffer that is valid until the next call; none at the end.
  virtual boost::asio::awaitable<std::string_view> read_some() = 0;
  virtual void write(const Buffers& buffers, Written done) = 0;
  virtual void shut_down_sending() = 0;
  virtual void close() = 0;  // the socket, at once
  virtual std::string remote() const = 0;
  virtual bool is_secure() const = 0;

  ConnectionHost& host_;

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  void advance();
  bool parse();
  void start_request();
  Request new_head() const;
  bool read_head();
  void dispatch();
  void refuse(Response response, bool with_head = false);
  void fault(int status, const std::string& message);
  void write_next();
  void written(boost::system::error_code error, size_t bytes);
  void next_piece();
  void finish_exchange();
  boost::asio::awaitable<void> exchange_end();
  void linger();
  void lose_exchange();
  void give_body_back();

  std::unique_ptr<Parser> parser_;  // while a request is being read
  std::optional<Request> head_;     // once its headers are here
  Fields headers_;                  // of its answer
  size_t body_bytes_max_ = 0;
  size_t body_bytes_counted_ = 0;  // in host_.bodies_bytes
  std::string pending_;            // bytes that were read and not parsed
  std::shared_ptr<Exchange> exchange_;

  std::deque<Exchange::Piece> out_;  // on its way; the first is being written
  uint64_t file_offset_ = 0;
  std::string file_block_;
  bool is_writing_ = false;
  bool is_closed_ = false;
  bool ends_after_this_ = false;
  bool has_unread_ = false;                            // of a request that was refused half-way
  bool is_lingering_ = false;                          // only for the client to read the end
  boost::asio::steady_timer* exchange_end_ = nullptr;  // while run() waits for it
  uint64_t bytes_sent_ = 0;                            // of this exchange
  Clock::time_point deadline_;
  Clock::time_point request_began_;
  Clock::time_point last_written_;
};

std::shared_ptr<Connection> make_plain_connection(ConnectionHost& host,
                                                  boost::asio::ip::tcp::socket socket);
std::shared_ptr<Connection> make_secure_connection(ConnectionHost& host,
                                                   boost::asio::ssl::context& context,
                                                   boost::asio::ip::tcp::socket socket);

}  // namespace minke::http
