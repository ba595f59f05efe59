// Requests and answers of HTTP as the rest of the server sees them: plain values, and a Responder
// through which any thread answers. Nothing of the network library shows.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace minke::http {

using Fields = std::vector<std::pair<std::string, std::string>>;

// Names compare without case. Null where there is none; the first where there are several.
const std::string* find_field(const Fields& fields, std::string_view name);

struct Request {
  std::string method;
  std::string target;  // as it was sent: path and query
  std::string path;    // of it, still percent-encoded
  Fields query;        // decoded
  Fields headers;      // names in lower case
  std::string body;
  std::string remote;      // address of the peer, without a port
  bool is_secure = false;  // over TLS
  std::string id;          // of this request, for logs and X-Request-Id
  std::chrono::steady_clock::time_point received;

  const std::string* header(std::string_view name) const { return find_field(headers, name); }
  const std::string* parameter(std::string_view name) const;
};

// A file that is sent in pieces as the client takes them. Owns the descriptor.
class SentFile {
 public:
  SentFile(int descriptor, uint64_t bytes) : descriptor_(descriptor), bytes_(bytes) {}
  ~SentFile();
  SentFile(const SentFile&) = delete;
  SentFile& operator=(const SentFile&) = delete;
  int descriptor() const { return descriptor_; }
  uint64_t bytes() const { return bytes_; }

 private:
  int descriptor_;
  uint64_t bytes_;
};

struct Response {
  int status = 200;
  Fields headers;  // Content-Length and Connection are the server's
  std::string body = {};
  std::shared_ptr<SentFile> file = nullptr;  // instead of `body`
};

Response text_response(int status, std::string_view media_type, std::string body);

// The answer to one request, given whole (respond) or in pieces (begin, write..., end). Any thread;
// nothing waits. A request whose Responder goes without an answer is answered with status 500.
class Responder {
 public:
  virtual ~Responder() = default;
  virtual void respond(Response response) = 0;
  // Headers of an answer that comes in pieces; the response's body is its first piece.
  virtual void begin(Response head) = 0;
  // False when nobody takes it any more: the client has gone, or has taken nothing for so long that
  // its backlog reached the limit.
  virtual bool write(std::string piece) = 0;
  virtual void end() = 0;
  // Sent by the server whenever a begun answer has been silent for so long: clients and proxies
  // hang up on silence.
  virtual void keep_alive(std::string piece, std::chrono::milliseconds silence) = 0;
  // Called once when the client goes before the answer has ended, on the server's thread (at once
  // if it has gone). It must not block.
  virtual void on_gone(std::function<void()> callback) = 0;
};

// "%41" and, in queries, "+" as what they stand for; false when malformed, or not UTF-8.
bool percent_decode(std::string_view text, bool is_query, std::string& out);
const char* status_text(int status);
// Of ASCII letters: names of fields, hosts, methods.
std::string lower_case(std::string_view text);

}  // namespace minke::http
