// Server-sent events on a Responder, as the HTML standard has them.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "server/api/route.h"
#include "server/http/message.h"

namespace minke::server {

inline constexpr std::chrono::seconds kSilenceMax(5);

class EventStream {
 public:
  explicit EventStream(std::shared_ptr<http::Responder> responder)
      : responder_(std::move(responder)) {}

  // Headers at once, and comments whenever nothing else is said for a while: a long prompt takes
  // longer to read than clients and proxies wait.
  void begin(std::string still_here = ": still here\n\n") {
    responder_->begin({.status = 200,
                       .headers = {{"Content-Type", "text/event-stream"},
                                   {"Cache-Control", "no-cache"},
                                   {"X-Accel-Buffering", "no"}}});
    responder_->keep_alive(std::move(still_here), kSilenceMax);
  }
  // `data` has no newlines (JSON has none).
  bool send(std::string_view data) {
    return responder_->write(fmt::format("data: {}\n\n", on_one_line(data)));
  }
  bool send(std::string_view event, std::string_view data) {
    return responder_->write(fmt::format("event: {}\ndata: {}\n\n", event, on_one_line(data)));
  }
  bool send(uint64_t id, std::string_view event, std::string_view data) {
    return responder_->write(
        fmt::format("id: {}\nevent: {}\ndata: {}\n\n", id, event, on_one_line(data)));
  }
  void end() { responder_->end(); }

 private:
  std::shared_ptr<http::Responder> responder_;
};

}  // namespace minke::server
