// An HTTP/1.1 server on one thread: keep-alive, pipelining, answers whole or in pieces, TLS by
// option. What a request means is the caller's affair (Handler).
//
// An idle connection costs a socket and some 2 KiB: nothing is buffered until bytes come. All that
// a client could hold is bounded: connections, headers, bodies (each and together), what it has not
// taken of an answer, and the time for each of these.
//
// Threads: run() is called by one thread, which calls Handler; everything else from any.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/result.h"
#include "server/http/message.h"

namespace minke::http {

struct ServerOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 0;             // 0: any that is free
  std::string certificate = {};  // PEM files; both empty: no TLS
  std::string private_key = {};
  size_t connections_max = 16384;
  size_t header_bytes_max = size_t{32} << 10;
  size_t bodies_bytes_max = size_t{512} << 20;  // of all requests being received, together
  size_t backlog_bytes_max = size_t{1} << 20;   // pieces that a client has not taken
  std::chrono::milliseconds header_time = std::chrono::seconds(20);
  std::chrono::milliseconds idle_time = std::chrono::minutes(10);
  std::chrono::milliseconds write_time = std::chrono::seconds(30);  // without any progress
  size_t body_bytes_per_s_min = size_t{4} << 10;                    // behind the first 30 seconds
};

struct ServerStats {
  uint64_t connections_accepted = 0;
  uint64_t connections_refused = 0;  // too many
  uint64_t requests = 0;
  int64_t connections = 0;
  int64_t exchanges = 0;  // requests that have no whole answer yet
};

class Handler {
 public:
  virtual ~Handler() = default;
  // The headers are here: how large may the body be, or the answer that ends it here. On the
  // server's thread.
  struct Admission {
    size_t body_bytes_max = 0;
    std::optional<Response> refusal = {};
    Fields headers = {};  // of whatever the answer will be
  };
  virtual Admission admit(const Request& head) = 0;
  virtual void handle(std::shared_ptr<Request> request, std::shared_ptr<Responder> responder) = 0;
  // What a fault of the protocol looks like: a malformed request, a body that is too large. Of a
  // request that was not read to its head, `head` has what could be read: an id and a time always.
  virtual Response fault(const Request& head, int status, const std::string& message) = 0;
  // The answer to a request has been written, or its client has gone (status 499).
  virtual void done(const Request& request, int status, uint64_t bytes_sent) = 0;
};

class Server {
 public:
  // Binds at once. `handler` outlives the server.
  static Result<std::unique_ptr<Server>> listen(const ServerOptions& options, Handler& handler);
  virtual ~Server() = default;

  virtual uint16_t port() const = 0;
  // Serves until stop(). Connections without a request end then; others have `grace` to finish.
  virtual void run() = 0;
  virtual void stop(std::chrono::milliseconds grace) = 0;
  virtual ServerStats stats() const = 0;
};

}  // namespace minke::http
