// Requests that come twice. A browser sends a request again by itself when a kept connection breaks
// before its answer; one that makes something says `once`, a random text, and the second time it is
// answered as it was the first time.
//
// The history's worker alone.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "server/http/message.h"

namespace minke::server {

class Repeats {
 public:
  // The answer that was given to the same `once`; null: it is new, or long ago.
  std::shared_ptr<const http::Response> find(const std::string& once);
  // A responder that gives the answer on and remembers it. The table outlives it.
  std::shared_ptr<http::Responder> remember(std::string once,
                                            std::shared_ptr<http::Responder> responder);

 private:
  class Remembering;
  using Clock = std::chrono::steady_clock;
  struct Kept {
    std::string once;
    Clock::time_point at;
    std::shared_ptr<const http::Response> response;
  };
  void keep(std::string once, const http::Response& response);

  std::deque<Kept> kept_;  // oldest first
};

}  // namespace minke::server
