// Messages, answers and their streams.
#include <charconv>

#include "server/app/handling.h"
#include "server/app/prompt.h"

namespace minke::server {
namespace {

std::vector<std::string> ids_member(const Value& body, std::string_view name) {
  std::vector<std::string> ids;
  const Value* list = member(body, name);
  if (list != nullptr && list->as_array() != nullptr)
    for (const Value& id : *list->as_array())
      if (id.as_string() != nullptr) ids.push_back(*id.as_string());
  return ids;
}

void say(App& app, history::Store& store, const Call& call) {
  const std::string& id = call.path.front();
  const auto conversation = store.conversation(id);
  if (!conversation) return call.fail(app_error(conversation.error()));
  if (!*conversation) return call.fail(not_found("there is no such conversation"));
  const Value settings = settings_member(call.body);
  const bool generate = maybe_bool(call.body, "generate").value_or(true);
  if (generate) {
    // Before anything is kept: a message to nobody stays with its writer.
    const Value all = history::merged_settings((*conversation)->settings, settings);
    const auto model = app.models().resolve(text_member(all, "model"));
    if (!model) return call.fail(model.error());
  }
  const auto message = store.add_message({.conversation_id = id,
                                          .parent_id = maybe_text(call.body, "parent_id"),
                                          .content = text_member(call.body, "content"),
                                          .attachment_ids = ids_member(call.body, "attachments"),
                                          .settings = settings});
  if (!message) return call.fail(app_error(message.error()));
  Value answer;
  if (generate) {
    const auto begun = app.answer(store, {.conversation_id = id,
                                          .parent_id = message->id,
                                          .settings = settings,
                                          .client = call.client});
    if (!begun) return call.fail(begun.error());
    answer = history::to_value(*begun);
  } else {
    app.tell_conversation(store, id);
  }
  call.respond(Value(
      Value::Object{{"message", history::to_value(*message)}, {"answer", std::move(answer)}}));
}

void answer(App& app, history::Store& store, const Call& call) {
  Value::Array answers;
  const int64_t count = maybe_integer(call.body, "count").value_or(1);
  for (int64_t number = 0; number < count; ++number) {
    const auto begun = app.answer(store, {.conversation_id = call.path.front(),
                                          .parent_id = maybe_text(call.body, "parent_id"),
                                          .settings = settings_member(call.body),
                                          .client = call.client,
                                          .number = number});
    if (!begun) return call.fail(begun.error());
    answers.push_back(history::to_value(*begun));
  }
  call.respond(Value(Value::Object{{"answers", Value(std::move(answers))}}));
}

void go_on(App& app, history::Store& store, const Call& call) {
  const auto begun = app.go_on(store, text_member(call.body, "message_id"), call.client);
  if (!begun) return call.fail(begun.error());
  call.respond(Value(Value::Object{{"answer", history::to_value(*begun)}}));
}

void compact(App& app, history::Store& store, const Call& call) {
  const auto begun = app.answer(store, {.conversation_id = call.path.front(),
                                        .parent_id = text_member(call.body, "leaf_id"),
                                        .settings = settings_member(call.body),
                                        .client = call.client,
                                        .kind = history::MessageKind::kSummary});
  if (!begun) return call.fail(begun.error());
  call.respond(Value(Value::Object{{"answer", history::to_value(*begun)}}));
}

Value context_value(int64_t tokens, int64_t context, int64_t cached, const std::string& model) {
  return Value(Value::Object{{"tokens", tokens},
                             {"context_tokens", context},
                             {"cached_tokens", cached},
                             {"model", model}});
}

// Counted by the model where it is loaded; else what the last answer said, since looking at a
// meter loads no model.
void context(App& app, history::Store& store, const std::shared_ptr<Call>& call) {
  const std::string& id = call->path.front();
  const auto conversation = store.conversation(id);
  if (!conversation) return call->fail(app_error(conversation.error()));
  if (!*conversation) return call->fail(not_found("there is no such conversation"));
  const std::string* leaf = call->request->parameter("leaf");
  const auto leaf_id = leaf == nullptr ? (*conversation)->leaf_id : std::optional(*leaf);
  const auto model = app.models().resolve(text_member((*conversation)->settings, "model"));
  if (!model) return call->fail(model.error());
  const auto branch = App::branch(store, id, leaf_id);
  if (!branch) return call->fail(branch.error());
  auto told = read_branch(store, *branch);
  if (!told) return call->fail(app_error(told.error()));
  int64_t last = 0;
  int64_t cached = 0;
  for (const history::Message& message : *branch) {
    if (!message.usage) continue;
    // Of all that a summary was made of, it alone is still read.
    cached = is_whole_summary(message) ? 0 : message.usage->prompt_tokens;
    last = cached + message.usage->answer_tokens;
  }
  Ask ask = make_ask(*std::move(told), (*conversation)->settings);
  if (!app.models().loaded(*model) || ask.turns.empty()) {
    const auto status = app.models().status(*model);
    const int64_t most = status && (*status).facts ? (*status).facts->info.context : 0;
    return call->respond(context_value(last, most, 0, *model));
  }
  ask.model = *model;
  app.chat().count(std::move(ask),
                   [call, cached, name = *model](std::expected<Counted, ApiError> counted) {
                     if (!counted) return call->fail(counted.error());
                     call->respond(context_value(counted->tokens, counted->context_tokens,
                                                 std::min(cached, counted->tokens), name));
                   });
}

void remove(App& app, history::Store& store, const Call& call) {
  const std::string& id = call.path.front();
  const auto message = store.message(id);
  if (!message) return call.fail(app_error(message.error()));
  if (!*message) return call.fail(not_found("there is no such message"));
  const std::string* below = call.request->parameter("below");
  const bool keeps_below = below != nullptr && *below == "keep";
  const auto running = store.running_below(id);
  if (!running) return call.fail(app_error(running.error()));
  for (const history::Message& one : *running) {
    if (keeps_below && one.id != id) continue;
    if (const auto generation = app.generation(one.generation_id.value_or(""))) generation->stop();
  }
  if (respond_gone(call, store.delete_message(id, keeps_below)))
    app.tell_conversation(store, (*message)->conversation_id);
}

void events(App& app, const std::shared_ptr<Call>& call) {
  const auto generation = app.generation(call->path.front());
  if (!generation) {
    return call->fail(not_found("this answer does not run any more: its message has all of it"));
  }
  const std::string* after = call->request->parameter("after");
  if (after == nullptr) after = call->request->header("last-event-id");
  uint64_t id = 0;
  if (after != nullptr) std::from_chars(after->data(), after->data() + after->size(), id);
  generation->attach(call->responder, id);
}

void stop(App& app, const Call& call) {
  const auto generation = app.generation(call.path.front());
  if (!generation) return call.fail(not_found("this answer does not run any more"));
  generation->stop();
  no_content(call);
}

const Shape kId = Shape::string().at_most(64);
constexpr size_t kMessageBody = size_t{16} << 20;

Shape answer_answer() { return Shape::object({required("answer", message_shape())}); }

Routes answer_routes(App& app) {
  const std::string one = "/app/v1/conversations/{id}";
  return {
      {.method = "POST",
       .path = one + "/messages",
       .id = "appSay",
       .summary = "Say something, and have it answered",
       .tag = "App",
       .body = once_body(
           {optional("parent_id", kId.nullable()), required("content", Shape::string()),
            optional("attachments", Shape::array(kId, 20)), optional("settings", settings_shape()),
            optional("generate", Shape::boolean())}),
       .body_bytes_max = kMessageBody,
       .answers = {{.description = "The message, and its answer that runs",
                    .shape = Shape::object({required("message", message_shape()),
                                            required("answer", message_shape().nullable())})},
                   missing_answer()},
       .handle = on_history(app, [&app](auto& store, auto& call) { say(app, store, call); })},
      {.method = "POST",
       .path = one + "/answers",
       .id = "appAnswer",
       .summary = "Further answers to a message",
       .tag = "App",
       .body =
           once_body({optional("parent_id", kId.nullable()), optional("settings", settings_shape()),
                      optional("count", Shape::integer(1, 4))}),
       .body_bytes_max = kMessageBody,
       .answers = {{.description = "Those that run now",
                    .shape =
                        Shape::object({required("answers", Shape::array(message_shape(), 4))})},
                   missing_answer()},
       .handle = on_history(app, [&app](auto& store, auto& call) { answer(app, store, call); })},
      {.method = "POST",
       .path = one + "/continue",
       .id = "appContinue",
       .summary = "Go on with an answer that was stopped, cut off or interrupted",
       .tag = "App",
       .body = once_body({required("message_id", kId)}),
       .answers = {{.description = "It runs again", .shape = answer_answer()}, missing_answer()},
       .handle = on_history(app, [&app](auto& store, auto& call) { go_on(app, store, call); })},
      {.method = "POST",
       .path = one + "/compaction",
       .id = "appCompact",
       .summary = "Have what was said summarised; what follows is asked with the summary alone",
       .tag = "App",
       .body = once_body({required("leaf_id", kId), optional("settings", settings_shape())}),
       .body_bytes_max = kMessageBody,
       .answers = {{.description = "The summary, which runs", .shape = answer_answer()},
                   missing_answer()},
       .handle = on_history(app, [&app](auto& store, auto& call) { compact(app, store, call); })}};
}

}  // namespace

Routes app_message_routes(App& app) {
  Routes routes = answer_routes(app);
  routes.push_back(
      {.method = "GET",
       .path = "/app/v1/conversations/{id}/context",
       .id = "appContext",
       .summary = "How full the context is",
       .tag = "App",
       .query = {{.name = "leaf", .shape = kId, .description = "Of the branch that ends here"}},
       .answers = {{.description = "Tokens", .shape = Shape::map()}, missing_answer()},
       .handle = [&app](const CallPtr& call) {
         app.history().post([&app, call](history::Store& store) { context(app, store, call); });
       }});
  routes.push_back(
      {.method = "DELETE",
       .path = "/app/v1/messages/{id}",
       .id = "appDeleteMessage",
       .summary = "Delete a message with everything below it",
       .tag = "App",
       .query = {{.name = "below",
                  .shape = Shape::choice({"keep", "delete"}),
                  .description = "keep: it alone; what stood below it stands below its parent"}},
       .answers = {gone_answer(), missing_answer()},
       .handle = on_history(app, [&app](auto& store, auto& call) { remove(app, store, call); })});
  routes.push_back({.method = "GET",
                    .path = "/app/v1/generations/{id}/events",
                    .id = "appFollow",
                    .summary = "The stream of an answer, from an event on",
                    .tag = "App",
                    .query = {{.name = "after",
                               .shape = Shape::integer(0, int64_t{1} << 40),
                               .description = "The last event that was seen"}},
                    .answers = {{.description = "Events",
                                 .media_type = "text/event-stream",
                                 .shape = Shape::string()},
                                missing_answer()},
                    .handle = [&app](const CallPtr& call) { events(app, call); }});
  routes.push_back({.method = "POST",
                    .path = "/app/v1/generations/{id}/stop",
                    .id = "appStop",
                    .summary = "Stop an answer",
                    .tag = "App",
                    .body = Shape::map(),
                    .is_body_optional = true,
                    .answers = {{.status = 204, .description = "It ends"}, missing_answer()},
                    .handle = [&app](const CallPtr& call) { stop(app, *call); }});
  return routes;
}

}  // namespace minke::server
