// Conversations and search.
#include "server/app/handling.h"

namespace minke::server {
namespace {

void list(history::Store& store, const Call& call) {
  history::ConversationFilter filter;
  if (const std::string* folder = call.request->parameter("folder")) filter.folder_id = *folder;
  if (const std::string* before = call.request->parameter("before")) filter.before = *before;
  const std::string* archived = call.request->parameter("archived");
  filter.archived = archived != nullptr && *archived == "true";
  const std::string* limit = call.request->parameter("limit");
  if (limit != nullptr) filter.limit = std::stoll(*limit);  // the router has checked it
  const auto page = store.conversations(filter);
  if (!page) return call.fail(app_error(page.error()));
  call.respond(Value(Value::Object{{"conversations", array_of(page->conversations)},
                                   {"next", page->next ? Value(*page->next) : Value()}}));
}

void create(App& app, history::Store& store, const Call& call) {
  const auto made = store.create_conversation({.title = text_member(call.body, "title"),
                                               .folder_id = maybe_text(call.body, "folder_id"),
                                               .settings = settings_member(call.body)});
  if (respond_with(call, made)) app.tell_conversation(store, made->id);
}

void show(history::Store& store, const Call& call) {
  const std::string& id = call.path.front();
  const auto conversation = store.conversation(id);
  if (!conversation) return call.fail(app_error(conversation.error()));
  if (!*conversation) return call.fail(not_found("there is no such conversation"));
  const auto messages = store.messages(id);
  if (!messages) return call.fail(app_error(messages.error()));
  call.respond(Value(Value::Object{{"conversation", history::to_value(**conversation)},
                                   {"messages", array_of(*messages)}}));
}

void change(App& app, history::Store& store, const Call& call) {
  history::ConversationChange change;
  change.title = maybe_text(call.body, "title");
  change.folder_id = changed_id(call.body, "folder_id");
  change.pinned = maybe_bool(call.body, "pinned");
  change.archived = maybe_bool(call.body, "archived");
  if (const Value* settings = member(call.body, "settings")) change.settings = *settings;
  change.leaf_id = changed_id(call.body, "leaf_id");
  if (respond_with(call, store.change_conversation(call.path.front(), change)))
    app.tell_conversation(store, call.path.front());
}

void remove(App& app, history::Store& store, const Call& call) {
  const std::string& id = call.path.front();
  app.stop_all_of(id);
  if (respond_gone(call, store.delete_conversation(id)))
    app.events().tell("conversation-gone", Value(Value::Object{{"id", id}}));
}

void search(history::Store& store, const Call& call) {
  const std::string* limit = call.request->parameter("limit");
  const auto hits =
      store.search(*call.request->parameter("q"), limit == nullptr ? 50 : std::stoll(*limit));
  if (!hits) return call.fail(app_error(hits.error()));
  Value::Array values;
  for (const history::SearchHit& hit : *hits) {
    Value::Array snippet;
    for (const history::SnippetPart& part : hit.snippet)
      snippet.push_back(Value(Value::Object{{"text", part.text}, {"hit", part.hit}}));
    values.push_back(Value(Value::Object{
        {"conversation_id", hit.conversation_id},
        {"message_id", hit.message_id ? Value(*hit.message_id) : Value()},
        {"title", hit.title},
        {"role", hit.role ? Value(std::string(history::name_of(*hit.role))) : Value()},
        {"snippet", Value(std::move(snippet))},
        {"created_at_ms", hit.created_at_ms}}));
  }
  call.respond(Value(Value::Object{{"hits", Value(std::move(values))}}));
}

const Shape kId = Shape::string().at_most(64);

Route list_route(App& app) {
  return {.method = "GET",
          .path = "/app/v1/conversations",
          .id = "appListConversations",
          .summary = "Conversations, pinned first, then the latest",
          .tag = "App",
          .query = {{.name = "folder", .shape = kId, .description = "Only of this folder"},
                    {.name = "archived", .shape = Shape::boolean(), .description = "Only these"},
                    {.name = "before",
                     .shape = Shape::string().at_most(100),
                     .description = "The `next` of the page before"},
                    {.name = "limit", .shape = Shape::integer(1, 1000), .description = "At most"}},
          .answers = {{.description = "A page",
                       .shape = Shape::object(
                           {required("conversations", Shape::array(conversation_shape(), 1000)),
                            required("next", Shape::string().nullable())})}},
          .handle = on_history(app, list)};
}

Route search_route(App& app) {
  return {
      .method = "GET",
      .path = "/app/v1/search",
      .id = "appSearch",
      .summary = "Find words in messages and titles",
      .tag = "App",
      .query = {{.name = "q",
                 .shape = Shape::string().at_most(1024),
                 .description = "Words; \"quoted\" ones stand together",
                 .is_required = true},
                {.name = "limit", .shape = Shape::integer(1, 200), .description = "At most"}},
      .answers = {{.description = "The latest first",
                   .shape = Shape::object({required("hits", Shape::array(Shape::map(), 200))})}},
      .handle = on_history(app, search)};
}

}  // namespace

Routes app_conversation_routes(App& app) {
  const std::string one = "/app/v1/conversations/{id}";
  return {
      list_route(app),
      {.method = "POST",
       .path = "/app/v1/conversations",
       .id = "appCreateConversation",
       .summary = "Begin a conversation",
       .tag = "App",
       .body = once_body({optional("title", Shape::string().at_most(512)),
                          optional("folder_id", kId), optional("settings", settings_shape())}),
       .body_bytes_max = size_t{4} << 20,
       .answers = {{.description = "The conversation", .shape = conversation_shape()}},
       .handle = on_history(app, [&app](auto& store, auto& call) { create(app, store, call); })},
      {.method = "GET",
       .path = one,
       .id = "appShowConversation",
       .summary = "A conversation with all its messages, parents before children",
       .tag = "App",
       .answers = {{.description = "Both",
                    .shape = Shape::object(
                        {required("conversation", conversation_shape()),
                         required("messages", Shape::array(message_shape(), 100'000))})},
                   missing_answer()},
       .handle = on_history(app, show)},
      {.method = "PATCH",
       .path = one,
       .id = "appChangeConversation",
       .summary = "Change what is given",
       .tag = "App",
       .body = Shape::object(
           {optional("title", Shape::string().at_most(512)), optional("folder_id", kId.nullable()),
            optional("pinned", Shape::boolean()), optional("archived", Shape::boolean()),
            optional("settings", settings_shape()), optional("leaf_id", kId.nullable())}),
       .body_bytes_max = size_t{4} << 20,
       .answers = {{.description = "As it is now", .shape = conversation_shape()},
                   missing_answer()},
       .handle = on_history(app, [&app](auto& store, auto& call) { change(app, store, call); })},
      {.method = "DELETE",
       .path = one,
       .id = "appDeleteConversation",
       .summary = "Delete a conversation; what runs in it is stopped",
       .tag = "App",
       .answers = {gone_answer(), missing_answer()},
       .handle = on_history(app, [&app](auto& store, auto& call) { remove(app, store, call); })},
      search_route(app)};
}

}  // namespace minke::server
