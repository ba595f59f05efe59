// POST /v1/responses, and what becomes of a response afterwards.

#include "server/openai/responses.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>
#include <utility>

namespace minke::server {
namespace {

constexpr size_t kKeptMax = 1000;
constexpr size_t kKeptBytesMax = size_t{64} << 20;

using Table = std::shared_ptr<ResponseTable>;

void handle(Services& services, const Table& table, const std::shared_ptr<Call>& call) {
  std::expected<ResponseAsk, ApiError> asked = read_response_request(*call, *table);
  if (!asked) return call->fail(asked.error());
  note_passed_over(services.log, *call, asked->passed_over);
  ask_response(services.chat, call, *std::move(asked), table);
}

ApiError no_such_response(const std::string& id) {
  return not_found(fmt::format("there is no response with the id '{}'", id), "response_not_found");
}

// The response of a call whose path names one; its client is answered where there is none.
std::optional<ResponseTable::Kept> find(ResponseTable& table, const Call& call) {
  auto kept = table.find(call.path.front(), call.key);
  if (!kept) call.fail(no_such_response(call.path.front()));
  return kept;
}

Route create_route(Services& services, const Table& table) {
  return {.method = "POST",
          .path = "/v1/responses",
          .id = "createResponse",
          .summary = "Answer a list of items",
          .description =
              "With `stream`, the answer comes as server-sent events, in OpenAI's order: each item "
              "and part is announced before its text, and finished. A client that goes ends its "
              "answer.",
          .tag = "OpenAI",
          .body = response_request_shape(),
          .body_bytes_max = kChatBody,
          .answers = {{.status = 200, .description = "The answer", .shape = response_shape()},
                      {.status = 200,
                       .description = "The answer as it comes",
                       .media_type = "text/event-stream",
                       .shape = Shape::any()}},
          .handle = [&services, table](const std::shared_ptr<Call>& call) {
            handle(services, table, call);
          }};
}

// What was said without an id has one here, the same each time.
Value input_items(const Call& call, const ResponseTable::Kept& kept) {
  Value::Array items = kept.input;
  for (size_t i = 0; i < items.size(); ++i) {
    Value::Object& members = *items[i].as_object();
    if (member(items[i], "type") == nullptr) members.insert(members.begin(), {"type", "message"});
    if (member(items[i], "id") != nullptr) continue;
    std::erase_if(members, [](const auto& one) { return one.first == "id"; });
    members.insert(members.begin(), {"id", fmt::format("item_{}_{}", call.path.front(), i)});
  }
  const Value first = items.empty() ? Value() : *items.front().find("id");
  const Value last = items.empty() ? Value() : *items.back().find("id");
  return Value(Value::Object{{"object", "list"},
                             {"data", Value(std::move(items))},
                             {"first_id", first},
                             {"last_id", last},
                             {"has_more", false}});
}

bool is_under_way(const ResponseTable::Kept& kept) {
  return text_member(kept.response, "status") == "in_progress";
}

Route cancel_route(const Table& table) {
  return {.method = "POST",
          .path = "/v1/responses/{id}/cancel",
          .id = "cancelResponse",
          .summary = "End an answer that is under way",
          .tag = "OpenAI",
          .answers = {{.description = "The response as it was just now", .shape = response_shape()},
                      {.status = 404, .description = "There is no such response"}},
          .handle = [table](const std::shared_ptr<Call>& call) {
            auto kept = find(*table, *call);
            if (!kept) return;
            // The first event may reach a client a moment before the table knows whom to cancel.
            constexpr int kTries = 100;
            constexpr std::chrono::milliseconds kPause(5);
            for (int i = 0; i < kTries && is_under_way(*kept) && kept->asking.expired(); ++i) {
              std::this_thread::sleep_for(kPause);
              kept = find(*table, *call);
              if (!kept) return;
            }
            if (const auto asking = kept->asking.lock()) {
              asking->cancel();
              for (auto& [name, value] : *kept->response.as_object()) {
                if (name == "status" && value == Value("in_progress")) value = "cancelled";
              }
            }
            call->respond(kept->response);
          }};
}

}  // namespace

Shape response_shape() {
  const Shape item =
      Shape::object({required("id", Shape::string()), required("type", Shape::string())});
  const Shape count = Shape::integer(0, int64_t{1} << 40);
  const Shape usage =
      Shape::object(
          {required("input_tokens", count),
           required("input_tokens_details", Shape::object({required("cached_tokens", count)})),
           required("output_tokens", count),
           required("output_tokens_details", Shape::object({required("reasoning_tokens", count)})),
           required("total_tokens", count)})
          .named("ResponseUsage");
  return Shape::object({
                           required("id", Shape::string()),
                           required("object", Shape::choice({"response"})),
                           required("created_at", count),
                           required("status", Shape::choice({"in_progress", "completed",
                                                             "incomplete", "failed", "cancelled"})),
                           required("model", Shape::string()),
                           required("output", Shape::array(item, 100'000)),
                           required("usage", usage.nullable()),
                       })
      .named("Response");
}

Routes openai_response_routes(Services& services) {
  const auto table = std::make_shared<ResponseTable>(kKeptMax, kKeptBytesMax);
  const RouteAnswer none = {.status = 404, .description = "There is no such response"};
  return {
      create_route(services, table),
      {.method = "GET",
       .path = "/v1/responses/{id}",
       .id = "retrieveResponse",
       .summary = "A response that was kept",
       .tag = "OpenAI",
       .answers = {{.description = "The response", .shape = response_shape()}, none},
       .handle =
           [table](const std::shared_ptr<Call>& call) {
             if (const auto kept = find(*table, *call)) call->respond(kept->response);
           }},
      {.method = "DELETE",
       .path = "/v1/responses/{id}",
       .id = "deleteResponse",
       .summary = "Forget a response",
       .tag = "OpenAI",
       .answers = {{.description = "It is forgotten",
                    .shape = Shape::object(
                        {required("id", Shape::string()), required("deleted", Shape::boolean())})},
                   none},
       .handle =
           [table](const std::shared_ptr<Call>& call) {
             const std::string& id = call->path.front();
             if (!table->remove(id, call->key)) return call->fail(no_such_response(id));
             call->respond(
                 Value(Value::Object{{"id", id}, {"object", "response"}, {"deleted", true}}));
           }},
      {.method = "GET",
       .path = "/v1/responses/{id}/input_items",
       .id = "listInputItems",
       .summary = "What a response that was kept answered",
       .tag = "OpenAI",
       .answers = {{.description = "The items of its request",
                    .shape =
                        Shape::object({required("object", Shape::choice({"list"})),
                                       required("data", Shape::array(Shape::map(), 100'000))})},
                   none},
       .handle =
           [table](const std::shared_ptr<Call>& call) {
             if (const auto kept = find(*table, *call)) call->respond(input_items(*call, *kept));
           }},
      cancel_route(table),
  };
}

}  // namespace minke::server
