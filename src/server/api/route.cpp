#include "server/api/route.h"

#include <fmt/format.h>

#include <array>

namespace minke::server {
namespace {

Value text_or_null(const std::string& text) { return text.empty() ? Value() : Value(text); }

// Anthropic's names for what went wrong.
const char* anthropic_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

}  // namespace

ApiError bad_request(std::string message, std::string param) {
  return {.status = 400, .message = std::move(message), .param = std::move(param)};
}

ApiError not_found(std::string message, std::string code) {
  return {.status = 404, .message = std::move(message), .code = std::move(code)};
}

ApiError server_error(std::string message) {
  return {.status = 500, .message = std::move(message), .type = "server_error"};
}

std::string on_one_line(std::string_view json) {
  struct Escape {
    std::string_view bytes;
    std::string_view escaped;
  };
  static constexpr std::array<Escape, 3> kEscapes = {
      {{"\xC2\x85", "\\u0085"}, {"\xE2\x80\xA8", "\\u2028"}, {"\xE2\x80\xA9", "\\u2029"}}};
  std::string out(json);
  for (const Escape& one : kEscapes) {
    for (size_t at = out.find(one.bytes); at != std::string::npos; at = out.find(one.bytes, at)) {
      out.replace(at, one.bytes.size(), one.escaped);
    }
  }
  return out;
}

http::Response json_response(const Value& value, int status) {
  return http::text_response(status, "application/json", to_json(value));
}

Dialect dialect_of(std::string_view path) {
  constexpr std::string_view kMessages = "/v1/messages";
  if (path == kMessages || path.starts_with("/v1/messages/")) return Dialect::kAnthropic;
  return path.starts_with("/api/") ? Dialect::kOllama : Dialect::kOpenAi;
}

http::Response error_response(const ApiError& error, Dialect dialect) {
  Value body;
  switch (dialect) {
    case Dialect::kOpenAi:
      body = Value(Value::Object{{"error", Value(Value::Object{
                                               {"message", error.message},
                                               {"type", error.type},
                                               {"param", text_or_null(error.param)},
                                               {"code", text_or_null(error.code)},
                                           })}});
      break;
    case Dialect::kOllama:
      body = Value(Value::Object{{"error", error.message}});
      break;
    case Dialect::kAnthropic:
      body = Value(Value::Object{{"type", "error"},
                                 {"error", Value(Value::Object{
                                               {"type", anthropic_type(error.status)},
                                               {"message", error.message},
                                           })}});
      break;
  }
  http::Response response = json_response(body, error.status);
  if (error.retry_after_s > 0) {
    response.headers.emplace_back("Retry-After", fmt::format("{}", error.retry_after_s));
  }
  if (error.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

void Call::respond(const Value& value, int status) const { respond(json_response(value, status)); }

void Call::fail(const ApiError& error) const { respond(error_response(error, dialect)); }

}  // namespace minke::server
