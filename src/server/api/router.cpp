#include "server/api/router.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <charconv>

namespace minke::server {
namespace {

using http::lower_case;

constexpr int kJsonDepthMax = 64;

// The name of a Host header: "localhost:11434" and "[::1]:80" without their ports.
std::string host_name(std::string_view host) {
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    return lower_case(host.substr(0, end == std::string_view::npos ? host.size() : end + 1));
  }
  return lower_case(host.substr(0, host.find(':')));
}

// Takes as long for a key that is nearly right as for one that is not.
bool equal_in_constant_time(std::string_view a, std::string_view b) {
  size_t difference = a.size() ^ b.size();
  for (size_t i = 0; i < a.size(); ++i) {
    difference |=
        static_cast<uint8_t>(a[i]) ^ static_cast<uint8_t>(b[b.empty() ? 0 : i % b.size()]);
  }
  return difference == 0 && !b.empty();
}

// The key that a request brings: "Authorization: Bearer KEY", or Anthropic's "x-api-key".
std::string_view key_of(const http::Request& head) {
  if (const std::string* authorization = head.header("authorization")) {
    constexpr std::string_view kScheme = "bearer ";
    if (lower_case(authorization->substr(0, kScheme.size())) == kScheme) {
      return std::string_view(*authorization).substr(kScheme.size());
    }
  }
  const std::string* key = head.header("x-api-key");
  return key == nullptr ? std::string_view() : *key;
}

std::vector<std::string_view> parts_of(std::string_view path) {
  std::vector<std::string_view> parts;
  path.remove_prefix(1);
  for (;;) {
    const size_t slash = path.find('/');
    parts.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return parts;
    path.remove_prefix(slash + 1);
  }
}

// Whether a path is the route's; what it leaves open comes decoded.
bool matches(const std::vector<std::string>& wanted, const std::vector<std::string_view>& given,
             std::vector<std::string>& open) {
  open.clear();
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (i >= given.size()) return false;
    if (!wanted[i].starts_with('{')) {
      if (wanted[i] != given[i]) return false;
      continue;
    }
    const bool takes_rest = wanted[i].ends_with("...}");
    const std::string_view text =
        takes_rest ? std::string_view(given[i].begin(), given.back().end()) : given[i];
    std::string decoded;
    if (text.empty() || !http::percent_decode(text, false, decoded)) return false;
    open.push_back(std::move(decoded));
    if (takes_rest) return true;
  }
  return wanted.size() == given.size();
}

// OpenAI's and Anthropic's clients ask for models at the same place.
Dialect dialect_for(const http::Request& head) {
  const bool is_shared = head.path == "/v1/models" || head.path.starts_with("/v1/models/");
  if (is_shared && head.header("anthropic-version") != nullptr) return Dialect::kAnthropic;
  return dialect_of(head.path);
}

// "192.168.0.7" or "[fd00::7]".
bool is_address(std::string_view host) {
  std::string text(host);
  const bool is_v6 = text.size() > 2 && text.front() == '[' && text.back() == ']';
  if (is_v6) text = text.substr(1, text.size() - 2);
  in6_addr parsed{};
  return inet_pton(is_v6 ? AF_INET6 : AF_INET, text.c_str(), &parsed) == 1;
}

// A query's text as the kind of value that it should be.
Value query_value(const std::string& text, const Shape& shape) {
  if (shape.kind() == Shape::Kind::kBool && (text == "true" || text == "false")) {
    return Value(text == "true");
  }
  if (shape.kind() == Shape::Kind::kInteger) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) return Value(number);
  }
  return Value(text);
}

}  // namespace

Router::Router(Routes routes, GateOptions gate, boost::asio::thread_pool& workers,
               std::function<void(const RequestRecord&)> on_done)
    : routes_(std::move(routes)),
      gate_(std::move(gate)),
      workers_(workers),
      on_done_(std::move(on_done)) {
  std::ranges::transform(gate_.hosts, gate_.hosts.begin(),
                         [](const std::string& host) { return lower_case(host); });
  for (const Route& route : routes_) {
    const std::vector<std::string_view> parts = parts_of(route.path);
    patterns_.emplace_back(parts.begin(), parts.end());
  }
}

Router::Match Router::find(const http::Request& request) const {
  Match match;
  const std::string_view method =
      request.method == "HEAD" ? std::string_view("GET") : request.method;
  const std::vector<std::string_view> given = parts_of(request.path);
  std::vector<std::string> open;
  for (size_t i = 0; i < routes_.size(); ++i) {
    const Route& route = routes_[i];
    if (!matches(patterns_[i], given, open)) continue;
    if (route.method == method) {
      match.route = &route;
      match.path = std::move(open);
      return match;
    }
    if (std::ranges::find(match.methods, route.method) == match.methods.end()) {
      match.methods.push_back(route.method);
    }
  }
  return match;
}

// What a foreign page embeds (an <img>, a link) comes without an Origin. Its page cannot read the
// answer, but the app's routes would do the work, and show that it was done.
std::optional<ApiError> Router::refuse_embedding(const http::Request& head) {
  const std::string* site = head.header("sec-fetch-site");
  if (site == nullptr || *site == "same-origin" || *site == "none") return std::nullopt;
  if (!head.path.starts_with("/app/v1/")) return std::nullopt;
  return ApiError{.status = 403,
                  .message = fmt::format("pages of other sites may not use {} (Sec-Fetch-Site: {})",
                                         head.path, *site),
                  .code = "wrong_origin"};
}

std::optional<ApiError> Router::refuse_stranger(const http::Request& head) const {
  const std::string* host = head.header("host");
  const std::string name = host == nullptr ? "" : host_name(*host);
  if (host == nullptr) {
    return ApiError{.status = 421,
                    .message = "the request has no Host header, which has to name this server",
                    .code = "wrong_host"};
  }
  if (std::ranges::find(gate_.hosts, name) == gate_.hosts.end() &&
      !(gate_.takes_addresses && is_address(name))) {
    return ApiError{.status = 421,
                    .message = fmt::format("the Host header names '{}', which is none of this "
                                           "server's names (serve --host-name adds one)",
                                           name),
                    .code = "wrong_host"};
  }
  const std::string* origin = head.header("origin");
  if (origin == nullptr) return refuse_embedding(head);
  const std::string own = fmt::format("{}://{}", head.is_secure ? "https" : "http", *host);
  if (lower_case(*origin) == lower_case(own)) return std::nullopt;
  if (std::ranges::find(gate_.origins, *origin) != gate_.origins.end()) return std::nullopt;
  return ApiError{.status = 403,
                  .message = fmt::format("pages of {} may not use this server (serve "
                                         "--allow-origin allows one)",
                                         *origin),
                  .code = "wrong_origin"};
}

std::optional<ApiError> Router::refuse_without_key(const http::Request& head) const {
  if (gate_.api_keys.empty()) return std::nullopt;
  const std::string_view given = key_of(head);
  bool is_right = false;
  for (const std::string& key : gate_.api_keys) is_right |= equal_in_constant_time(given, key);
  if (is_right) return std::nullopt;
  return ApiError{.status = 401,
                  .message = given.empty() ? "this server wants an API key: send the header "
                                             "'Authorization: Bearer KEY'"
                                           : "the API key is not one of this server's",
                  .code = "invalid_api_key"};
}

// A page of another site can send forms and plain text without asking: neither is taken for JSON.
std::optional<ApiError> Router::refuse_content(const http::Request& head,
                                               const Route& route) const {
  const std::string* given = head.header("content-type");
  const std::string type =
      given == nullptr ? "" : lower_case(std::string_view(*given).substr(0, given->find(';')));
  if (route.takes_bytes) {
    if (type != "application/x-www-form-urlencoded" && type != "multipart/form-data") return {};
    return ApiError{.status = 415, .message = "send the file itself as the body, not a form"};
  }
  if (!route.body || route.is_body_optional || type == "application/json") return {};
  // Programs often leave it out, or say what their HTTP library says; browsers send an Origin.
  if (head.header("origin") == nullptr && head.header("sec-fetch-site") == nullptr) return {};
  return ApiError{.status = 415,
                  .message = fmt::format("the body must be JSON (Content-Type: application/json), "
                                         "got '{}'",
                                         type)};
}

// What every answer to a page says, so that the page may read it; only those get here that may.
http::Fields Router::shared_headers(const http::Request& head) {
  http::Fields headers = {{"X-Content-Type-Options", "nosniff"}};
  if (const std::string* origin = head.header("origin")) {
    headers.emplace_back("Access-Control-Allow-Origin", *origin);
    headers.emplace_back("Vary", "Origin");
  }
  return headers;
}

// Only the server's own pages and those of allowed origins get here; they may send what headers
// their client library likes to.
http::Response Router::preflight(const http::Request& head) {
  http::Response response{.status = 204, .headers = {}};
  response.headers.emplace_back("Access-Control-Allow-Methods", "GET, POST, PATCH, PUT, DELETE");
  const std::string* wanted = head.header("access-control-request-headers");
  response.headers.emplace_back("Access-Control-Allow-Headers",
                                wanted != nullptr ? *wanted : "authorization, content-type");
  return response;
}

http::Handler::Admission Router::admit(const http::Request& head) {
  const auto refuse = [&](const ApiError& error) {
    return Admission{.refusal = error_response(error, dialect_for(head)),
                     .headers = shared_headers(head)};
  };
  if (auto error = refuse_stranger(head)) {
    return {.refusal = error_response(*error, dialect_for(head))};
  }
  const http::Fields headers = shared_headers(head);
  if (head.method == "OPTIONS" && head.header("origin") != nullptr) {
    return {.refusal = preflight(head), .headers = headers};
  }
  const Match match = find(head);
  if (match.route == nullptr) {
    if (match.methods.empty()) {
      return refuse(not_found(
          fmt::format("there is no {} here (GET /openapi.json has all routes)", head.path),
          "no_such_route"));
    }
    Admission wrong =
        refuse(ApiError{.status = 405,
                        .message = fmt::format("{} takes {}, not {}", head.path,
                                               fmt::join(match.methods, ", "), head.method),
                        .code = "wrong_method"});
    wrong.refusal->headers.emplace_back("Allow", fmt::format("{}", fmt::join(match.methods, ", ")));
    return wrong;
  }
  if (match.route->access == Access::kKey) {
    if (auto error = refuse_without_key(head)) return refuse(*error);
  }
  if (auto error = refuse_content(head, *match.route)) return refuse(*error);
  const bool takes_body = match.route->body || match.route->takes_bytes;
  return {.body_bytes_max = takes_body ? match.route->body_bytes_max : kSmallBody,
          .headers = headers};
}

std::optional<ApiError> Router::check_query(const http::Request& request, const Route& route) {
  for (const QueryParameter& one : route.query) {
    const std::string* given = request.parameter(one.name);
    if (given == nullptr) {
      if (!one.is_required) continue;
      return bad_request(fmt::format("the parameter {} is missing", one.name), one.name);
    }
    if (auto fault = check_shape(query_value(*given, one.shape), one.shape)) {
      std::string message = fault->message;
      constexpr std::string_view kBody = "the body";
      if (message.starts_with(kBody)) message.replace(0, kBody.size(), one.name);
      return bad_request(std::move(message), one.name);
    }
  }
  return std::nullopt;
}

void Router::run(const std::shared_ptr<Call>& call) {
  const Route& route = *call->route;
  if (auto error = check_query(*call->request, route)) return call->fail(*error);
  if (route.body && !route.takes_bytes) {
    const std::string& text = call->request->body;
    if (!text.empty() || !route.is_body_optional) {
      Result<Value> body =
          parse_json(text, {.depth_max = kJsonDepthMax, .bytes_max = route.body_bytes_max});
      if (!body) {
        return call->fail(
            bad_request(fmt::format("the body is not JSON: {}", body.error().message)));
      }
      call->body = *std::move(body);
      if (auto fault = check_shape(call->body, *route.body)) {
        return call->fail(bad_request(std::move(fault->message), std::move(fault->param)));
      }
    }
  }
  route.handle(call);
}

void Router::handle(std::shared_ptr<http::Request> request,
                    std::shared_ptr<http::Responder> responder) {
  Match match = find(*request);
  auto call = std::make_shared<Call>();
  // Clients of one machine differ by their key or by what they call themselves.
  const std::string* agent = request->header("user-agent");
  call->key = key_of(*request);
  call->client = fmt::format("{} {} {}", request->remote, call->key,
                             agent == nullptr ? std::string() : *agent);
  call->dialect = dialect_for(*request);
  call->request = std::move(request);
  call->responder = std::move(responder);
  call->route = match.route;
  call->path = std::move(match.path);
  if (match.route->runs_on == RunsOn::kServerThread) return run(call);
  boost::asio::post(workers_, [call] { run(call); });
}

http::Response Router::fault(const http::Request& head, int status, const std::string& message) {
  ApiError error{.status = status, .message = message};
  if (status >= 500) error.type = "server_error";
  if (status == 503) error.retry_after_s = 1;
  return error_response(error, dialect_for(head));
}

void Router::done(const http::Request& request, int status, uint64_t bytes_sent) {
  if (!on_done_) return;
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - request.received).count();
  const Route* route = request.path.empty() ? nullptr : find(request).route;
  on_done_({request, route, status, bytes_sent, seconds});
}

}  // namespace minke::server
