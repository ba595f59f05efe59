#include "server/app/event_hub.h"

#include <string>
#include <utility>

namespace minke::server {

void EventHub::listen(std::shared_ptr<http::Responder> responder) {
  EventStream stream(std::move(responder));
  stream.begin();
  const std::lock_guard lock(mutex_);
  listeners_.push_back(std::move(stream));
}

void EventHub::tell(std::string_view event, const Value& data) {
  const std::string text = to_json(data);
  const std::lock_guard lock(mutex_);
  // Who has gone, or takes nothing, is forgotten: a page comes back and asks for everything anew.
  std::erase_if(listeners_, [&](EventStream& stream) { return !stream.send(event, text); });
}

bool EventHub::has_listeners() const {
  const std::lock_guard lock(mutex_);
  return !listeners_.empty();
}

}  // namespace minke::server
