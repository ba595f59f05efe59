// What the app's route files share: answering from the history's worker.
#pragma once

#include <memory>
#include <utility>

#include "server/app/app.h"

namespace minke::server {

using CallPtr = std::shared_ptr<Call>;

// A handler that runs on the history's worker: work(store, call). What says `once` is done once.
template <typename Work>
std::function<void(const CallPtr&)> on_history(App& app, Work work) {
  return [&app, work = std::move(work)](const CallPtr& call) {
    app.history().post([&app, call, work](history::Store& store) {
      if (const auto once = maybe_text(call->body, "once")) {
        if (const auto known = app.repeats().find(*once)) return call->respond(*known);
        call->responder = app.repeats().remember(*once, call->responder);
      }
      work(store, *call);
    });
  };
}

// A body of a request that makes something.
inline Shape once_body(std::vector<Member> members) {
  members.push_back(optional("once", Shape::string().at_least(1).at_most(64),
                             "A random text: a second request with the same makes nothing"));
  return Shape::object(std::move(members));
}

inline void no_content(const Call& call) { call.respond(http::Response{.status = 204}); }

// Answers with what a call of the store gave, as a value; what is not there is a 404.
template <typename T>
bool respond_with(const Call& call, const Result<T>& result, int status = 200) {
  if (!result) {
    call.fail(app_error(result.error()));
    return false;
  }
  call.respond(history::to_value(*result), status);
  return true;
}
template <typename T>
bool respond_with(const Call& call, const Result<std::optional<T>>& result, int status = 200) {
  if (result && !*result) {
    call.fail(not_found("there is nothing of this id"));
    return false;
  }
  if (!result) {
    call.fail(app_error(result.error()));
    return false;
  }
  call.respond(history::to_value(**result), status);
  return true;
}
inline bool respond_gone(const Call& call, const Result<bool>& deleted) {
  if (!deleted) {
    call.fail(app_error(deleted.error()));
  } else if (!*deleted) {
    call.fail(not_found("there is nothing of this id"));
  } else {
    no_content(call);
    return true;
  }
  return false;
}

// The members of a body that is an object.
inline Value settings_member(const Value& body) {
  const Value* settings = member(body, "settings");
  return settings == nullptr ? Value(Value::Object{}) : *settings;
}
// An id that may be taken away: absent, null, or one.
inline std::optional<std::optional<std::string>> changed_id(const Value& body,
                                                            std::string_view name) {
  if (body.find(name) == nullptr) return std::nullopt;
  return maybe_text(body, name);
}
template <typename T>
Value array_of(const std::vector<T>& items) {
  Value::Array values;
  for (const T& item : items) values.push_back(history::to_value(item));
  return Value(std::move(values));
}

inline RouteAnswer gone_answer() { return {.status = 204, .description = "It is gone"}; }
inline RouteAnswer missing_answer() {
  return {.status = 404, .description = "There is nothing of this id"};
}

}  // namespace minke::server
