// A route as one object: where it is, what it takes and gives, and what it does. The router, the
// checks of requests and the OpenAPI file are made of these and of nothing else.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/api/shape.h"
#include "server/http/message.h"
#include "text/value.h"

namespace minke::server {

// A refusal or a fault, as clients are told of it. `type`, `param` and `code` are OpenAI's.
struct ApiError {
  int status = 400;
  std::string message;
  std::string type = "invalid_request_error";
  std::string param = {};  // of the request; empty: none
  std::string code = {};   // "model_not_found"; empty: none
  int retry_after_s = 0;   // 0: not said
};

ApiError bad_request(std::string message, std::string param = {});
ApiError not_found(std::string message, std::string code = {});
ApiError server_error(std::string message);

// Whose clients speak here: it decides how an error is written.
enum class Dialect : uint8_t { kOpenAi, kOllama, kAnthropic };
// By the path, whether there is such a route or not.
Dialect dialect_of(std::string_view path);
http::Response error_response(const ApiError& error, Dialect dialect);
http::Response json_response(const Value& value, int status = 200);
// JSON on one line for every client: some cut streams at Unicode's own ends of lines (U+0085,
// U+2028, U+2029), which JSON may have as they are. Escaped here, they mean the same.
std::string on_one_line(std::string_view json);

struct Route;

// One request on one route. Any thread.
struct Call {
  std::shared_ptr<const http::Request> request;
  std::shared_ptr<http::Responder> responder;
  const Route* route = nullptr;
  std::vector<std::string> path;       // the parts of the path that the route leaves open, decoded
  Value body;                          // checked against the route's shape
  std::string client;                  // tells clients apart, for fair turns
  std::string key;                     // that it came with; empty: none
  Dialect dialect = Dialect::kOpenAi;  // in which its client is told of errors

  void respond(http::Response response) const { responder->respond(std::move(response)); }
  void respond(const Value& value, int status = 200) const;
  void fail(const ApiError& error) const;
};

// Where a handler runs: on the server's own thread, which must never wait, or on a worker.
enum class RunsOn : uint8_t { kServerThread, kWorker };
enum class Access : uint8_t { kOpen, kKey };

struct QueryParameter {
  std::string name;
  Shape shape;  // of a string's contents: numbers and booleans are read
  std::string description;
  bool is_required = false;
};

struct RouteAnswer {
  int status = 200;
  std::string description;
  std::string media_type = "application/json";
  Shape shape = Shape::any();
};

inline constexpr size_t kSmallBody = size_t{1} << 20;
inline constexpr size_t kChatBody = size_t{32} << 20;

struct Route {
  std::string method;
  std::string path;     // "/v1/models/{model}"; "{model...}" takes the rest, slashes included
  std::string id;       // operationId; empty: a file, which is not part of the API
  std::string summary;  // one line
  std::string description = {};
  std::string tag;
  Access access = Access::kKey;
  RunsOn runs_on = RunsOn::kWorker;
  std::vector<QueryParameter> query = {};
  std::optional<Shape> body = {};  // JSON; none: the route takes none
  bool is_body_optional = false;
  bool takes_bytes = false;  // the body is a file, not JSON
  size_t body_bytes_max = kSmallBody;
  std::vector<RouteAnswer> answers = {};
  std::function<void(const std::shared_ptr<Call>&)> handle = {};
};

using Routes = std::vector<Route>;

}  // namespace minke::server
