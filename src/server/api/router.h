// Between HTTP and the routes: finds the route, keeps out who must not come in, reads and checks
// the body, and hands the call to the thread that it belongs on.
//
// Who may come in. The Host header must name this machine as it is listened on (a page of another
// site that has its name point here must not be answered: DNS rebinding); an Origin must be the
// server's own or one that was allowed by name, and the app's routes are not for what a page of
// another site embeds (Sec-Fetch-Site); where there is an API key, every route but the open ones
// wants it. Keys are compared in constant time.
#pragma once

#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <string>
#include <vector>

#include "server/api/route.h"
#include "server/http/server.h"

namespace minke::server {

struct GateOptions {
  std::vector<std::string> hosts;     // names by which the server may be called, without a port
  bool takes_addresses = false;       // or by any address: no page has its name point to those
  std::vector<std::string> origins;   // "https://example.org", beside the server's own
  std::vector<std::string> api_keys;  // empty: none is needed
};

// What was done for a request, for logs and metrics. Any thread; must not block.
struct RequestRecord {
  const http::Request& request;
  const Route* route;  // nullptr: none
  int status;
  uint64_t bytes;
  double seconds;
};

class Router final : public http::Handler {
 public:
  // `workers` outlives the router. `on_done` may be empty.
  Router(Routes routes, GateOptions gate, boost::asio::thread_pool& workers,
         std::function<void(const RequestRecord&)> on_done);

  const Routes& routes() const { return routes_; }
  bool needs_key() const { return !gate_.api_keys.empty(); }

  Admission admit(const http::Request& head) override;
  void handle(std::shared_ptr<http::Request> request,
              std::shared_ptr<http::Responder> responder) override;
  http::Response fault(const http::Request& head, int status, const std::string& message) override;
  void done(const http::Request& request, int status, uint64_t bytes_sent) override;

 private:
  struct Match {
    const Route* route = nullptr;
    std::vector<std::string> path;
    std::vector<std::string> methods;  // that the path has, where none is the request's
  };
  Match find(const http::Request& request) const;
  std::optional<ApiError> refuse_stranger(const http::Request& head) const;
  static std::optional<ApiError> refuse_embedding(const http::Request& head);
  std::optional<ApiError> refuse_without_key(const http::Request& head) const;
  std::optional<ApiError> refuse_content(const http::Request& head, const Route& route) const;
  static http::Fields shared_headers(const http::Request& head);
  static http::Response preflight(const http::Request& head);
  static std::optional<ApiError> check_query(const http::Request& request, const Route& route);
  static void run(const std::shared_ptr<Call>& call);

  Routes routes_;
  std::vector<std::vector<std::string>> patterns_;  // the parts of each one's path
  GateOptions gate_;
  boost::asio::thread_pool& workers_;
  std::function<void(const RequestRecord&)> on_done_;
};

}  // namespace minke::server
