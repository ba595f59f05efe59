// Requests over HTTPS (plain HTTP to this very machine only), with what every download needs: time
// limits, a stop that is asked for, redirects that never leave HTTPS. Any thread; each request is
// one call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "core/result.h"
#include "io/download.h"

namespace minke {

// One answer of a server, without its body.
struct HttpAnswer {
  long status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  int64_t body_bytes = 0;

  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

// What became of one request. Neither a fault of ours nor stopped, and `trouble` empty: answered.
struct HttpOutcome {
  HttpAnswer answer;
  std::string trouble;  // of the network
  Status fault;
  bool stopped = false;
};

// A sink gets the body of 200 and 206 only; what it returns ends the request.
struct HttpRequest {
  std::string url;
  bool head_only = false;
  int64_t from = 0;  // a range when above zero
  bool loopback = false;
  std::function<Status(const HttpAnswer&, std::span<const std::byte>)> sink;
};

inline constexpr int kRedirectsMax = 5;

HttpOutcome perform(const HttpRequest& request, PullObserver& observer);

bool is_http_redirect(long status);
// Where a redirect leads; an error when it leaves https (or, from an address on this machine, this
// machine).
Result<std::string> redirect_target(const std::string& from, const HttpAnswer& answer,
                                    bool loopback);

// http://localhost, http://127.0.0.1 and the like.
bool is_loopback_address(const std::string& address);
// https, or http on this machine, with neither query nor fragment nor user.
bool is_plain_address(const std::string& address);

}  // namespace minke
