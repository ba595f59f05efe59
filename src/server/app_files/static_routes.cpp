#include "server/app_files/static_routes.h"

#include <algorithm>

#include "server/app_files/app_files.h"

namespace minke::server {
namespace {

// No inline code or styles, no frames, no other origin: what a model writes can do nothing but be
// read.
constexpr const char* kPolicy =
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'";

constexpr std::string_view kWithoutApp =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>minke</title>"
    "<h1>minke is running</h1><p>This minke was built without the chat app, because Node 18 or "
    "later was not there. The APIs work: <a href=\"/openapi.json\">openapi.json</a> describes "
    "them.</p></html>";

http::Response page_response(std::string_view media_type) {
  http::Response response{.status = 200, .headers = {}};
  response.headers.emplace_back("Content-Type", std::string(media_type));
  response.headers.emplace_back("Content-Security-Policy", kPolicy);
  response.headers.emplace_back("Referrer-Policy", "no-referrer");
  response.headers.emplace_back("Cross-Origin-Opener-Policy", "same-origin");
  response.headers.emplace_back("Cross-Origin-Resource-Policy", "same-origin");
  response.headers.emplace_back("X-Frame-Options", "DENY");
  return response;
}

bool takes_gzip(const http::Request& request) {
  const std::string* encodings = request.header("accept-encoding");
  return encodings != nullptr && encodings->find("gzip") != std::string::npos;
}

void send(const Call& call, const AppFile& file) {
  http::Response response = page_response(file.media_type);
  const std::string tag = "\"" + std::string(file.digest) + "\"";
  response.headers.emplace_back("ETag", tag);
  response.headers.emplace_back(
      "Cache-Control", file.is_immutable ? "public, max-age=31536000, immutable" : "no-cache");
  response.headers.emplace_back("Vary", "Accept-Encoding");
  const std::string* known = call.request->header("if-none-match");
  if (known != nullptr && known->find(tag) != std::string::npos) {
    response.status = 304;
    return call.respond(std::move(response));
  }
  if (!file.gzip.empty() && takes_gzip(*call.request)) {
    response.headers.emplace_back("Content-Encoding", "gzip");
    response.body = file.gzip;
  } else {
    response.body = file.bytes;
  }
  call.respond(std::move(response));
}

Route route_of(const AppFile& file, std::string path) {
  return {.method = "GET",
          .path = std::move(path),
          .id = {},
          .summary = "The chat app",
          .tag = "App",
          .access = Access::kOpen,
          .runs_on = RunsOn::kServerThread,
          .handle = [&file](const std::shared_ptr<Call>& call) { send(*call, file); }};
}

}  // namespace

Routes static_routes() {
  Routes routes;
  for (const AppFile& file : app_files()) {
    routes.push_back(route_of(file, std::string(file.path)));
    if (file.path == "/index.html") routes.push_back(route_of(file, "/"));
  }
  if (routes.empty()) {
    routes.push_back({.method = "GET",
                      .path = "/",
                      .id = {},
                      .summary = "A page that says that there is no app",
                      .tag = "App",
                      .access = Access::kOpen,
                      .runs_on = RunsOn::kServerThread,
                      .handle = [](const std::shared_ptr<Call>& call) {
                        http::Response response = page_response("text/html; charset=utf-8");
                        response.body = kWithoutApp;
                        call->respond(std::move(response));
                      }});
  }
  return routes;
}

}  // namespace minke::server
