// GET /app/v1/events: what happens, told to every page that listens. Any thread.
#pragma once

#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "server/api/sse.h"
#include "text/value.h"

namespace minke::server {

class EventHub {
 public:
  void listen(std::shared_ptr<http::Responder> responder);
  void tell(std::string_view event, const Value& data);
  bool has_listeners() const;

 private:
  mutable std::mutex mutex_;
  std::vector<EventStream> listeners_;
};

}  // namespace minke::server
