#include "server/api/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "server/api/openapi.h"

namespace minke::server {
namespace {

using ::testing::HasSubstr;

// Keeps the one answer that it is given.
class KeptResponder final : public http::Responder {
 public:
  void respond(http::Response response) override { answer.set_value(std::move(response)); }
  void begin(http::Response) override {}
  bool write(std::string) override { return true; }
  void end() override {}
  void keep_alive(std::string, std::chrono::milliseconds) override {}
  void on_gone(std::function<void()>) override {}
  std::promise<http::Response> answer;
};

http::Request request_of(std::string method, std::string path, http::Fields headers = {},
                         std::string body = {}) {
  http::Request request;
  request.method = std::move(method);
  request.path = std::move(path);
  request.headers = std::move(headers);
  if (request.header("host") == nullptr) request.headers.emplace_back("host", "localhost:8080");
  request.body = std::move(body);
  request.remote = "127.0.0.1";
  return request;
}

Routes test_routes() {
  const auto echo = [](const std::shared_ptr<Call>& call) {
    call->respond(Value(Value::Object{
        {"body", call->body}, {"path", call->path.empty() ? Value() : Value(call->path[0])}}));
  };
  return {
      {.method = "GET",
       .path = "/open",
       .id = "open",
       .access = Access::kOpen,
       .runs_on = RunsOn::kServerThread,
       .handle = echo},
      {.method = "POST",
       .path = "/things",
       .id = "makeThing",
       .body = Shape::object({required("size", Shape::integer(1, 9))}).named("Thing"),
       .answers = {{.status = 200, .description = "made"}},
       .handle = echo},
      {.method = "GET",
       .path = "/things/{id}",
       .id = "getThing",
       .query = {{.name = "limit", .shape = Shape::integer(1, 5), .description = "how many"}},
       .handle = echo},
      {.method = "DELETE", .path = "/things/{id}", .id = "deleteThing", .handle = echo},
      {.method = "GET", .path = "/models/{name...}", .id = "getModel", .handle = echo},
      {.method = "PUT", .path = "/files", .id = "putFile", .takes_bytes = true, .handle = echo},
  };
}

class RouterTest : public ::testing::Test {
 protected:
  Router& router(GateOptions gate = {.hosts = {"localhost", "127.0.0.1", "[::1]"}}) {
    router_ = std::make_unique<Router>(test_routes(), std::move(gate), workers_, nullptr);
    return *router_;
  }
  static int status_of(Router& router, const http::Request& head) {
    const auto admission = router.admit(head);
    return admission.refusal ? admission.refusal->status : 200;
  }
  static http::Response answer(Router& router, http::Request request) {
    const auto responder = std::make_shared<KeptResponder>();
    auto future = responder->answer.get_future();
    router.handle(std::make_shared<http::Request>(std::move(request)), responder);
    return future.get();
  }

  boost::asio::thread_pool workers_{1};
  std::unique_ptr<Router> router_;
};

TEST_F(RouterTest, FindsRoutesAndSaysWhatThereIs) {
  Router& it = router();
  EXPECT_EQ(status_of(it, request_of("GET", "/things/7")), 200);
  EXPECT_EQ(status_of(it, request_of("HEAD", "/things/7")), 200);
  EXPECT_EQ(status_of(it, request_of("GET", "/nothing")), 404);
  EXPECT_EQ(status_of(it, request_of("GET", "/things/")), 404) << "an empty id is none";
  const auto wrong = it.admit(request_of("PATCH", "/things/7"));
  ASSERT_TRUE(wrong.refusal);
  EXPECT_EQ(wrong.refusal->status, 405);
  EXPECT_EQ(*http::find_field(wrong.refusal->headers, "allow"), "GET, DELETE");
}

TEST_F(RouterTest, PathsAreDecodedPartByPart) {
  Router& it = router();
  EXPECT_THAT(answer(it, request_of("GET", "/things/a%2Fb")).body, HasSubstr(R"("path":"a/b")"));
  EXPECT_THAT(answer(it, request_of("GET", "/models/owner/repo%3Afile")).body,
              HasSubstr(R"("path":"owner/repo:file")"));
  EXPECT_EQ(status_of(it, request_of("GET", "/things/%ff")), 404);
}

TEST_F(RouterTest, BodiesAreCheckedBeforeAnybodySeesThem) {
  Router& it = router();
  EXPECT_EQ(answer(it, request_of("POST", "/things", {}, R"({"size": 3})")).status, 200);
  const http::Response wrong = answer(it, request_of("POST", "/things", {}, R"({"size": 30})"));
  EXPECT_EQ(wrong.status, 400);
  EXPECT_EQ(
      wrong.body,
      R"({"error":{"message":"size must be in [1, 9], got 30","type":"invalid_request_error",)"
      R"("param":"size","code":null}})");
  EXPECT_EQ(answer(it, request_of("POST", "/things", {}, "{")).status, 400);
  EXPECT_EQ(answer(it, request_of("POST", "/things", {}, "")).status, 400);
  const std::string deep(200, '[');
  EXPECT_EQ(answer(it, request_of("POST", "/things", {}, deep)).status, 400);
  http::Request query = request_of("GET", "/things/1");
  query.query = {{"limit", "6"}};
  EXPECT_THAT(answer(it, query).body, HasSubstr("limit must be in [1, 5], got 6"));
  query.query = {{"limit", "-1e9"}};
  EXPECT_EQ(answer(it, query).status, 400);
}

// A name that an attacker has point to this machine is not one of ours.
TEST_F(RouterTest, StrangeHostsAreRefused) {
  Router& it = router();
  EXPECT_EQ(status_of(it, request_of("GET", "/open", {{"host", "evil.example:8080"}})), 421);
  EXPECT_EQ(status_of(it, request_of("GET", "/open", {{"host", ""}})), 421);
  EXPECT_EQ(status_of(it, request_of("GET", "/open", {{"host", "LOCALHOST:1"}})), 200);
  EXPECT_EQ(status_of(it, request_of("GET", "/open", {{"host", "[::1]:8080"}})), 200);
  EXPECT_EQ(status_of(it, request_of("GET", "/open", {{"host", "localhost.evil.example"}})), 421);
}

// A server for a whole network is called by its addresses, which no site can have for its name.
TEST_F(RouterTest, AddressesAreNamesWhereANetworkIsServed) {
  Router& it = router({.hosts = {"localhost", "box.example"}, .takes_addresses = true});
  const auto status_for = [&](std::string host) {
    return status_of(it, request_of("GET", "/open", {{"host", std::move(host)}}));
  };
  EXPECT_EQ(status_for("192.168.0.7:8080"), 200);
  EXPECT_EQ(status_for("[fd00::7]:8080"), 200);
  EXPECT_EQ(status_for("box.example"), 200);
  EXPECT_EQ(status_for("evil.example"), 421);
  EXPECT_EQ(status_for("192.168.0.7.evil.example"), 421);
  EXPECT_EQ(status_for("1.2.3"), 421);
  EXPECT_EQ(status_for("[fd00::7"), 421);
  EXPECT_EQ(status_for("fd00::7"), 421);
  EXPECT_EQ(status_for("[]"), 421);
  EXPECT_EQ(status_for(""), 421);
}

// Also where no route has been found, and where the body was not even read.
TEST_F(RouterTest, ErrorsHaveTheShapeOfTheDialectThatThePathBelongsTo) {
  Router& it = router();
  const auto missing = [&](std::string path, http::Fields headers = {}) {
    return it.admit(request_of("GET", std::move(path), std::move(headers))).refusal->body;
  };
  const char* anthropic = R"({"type":"error","error":{"type":"not_found_error",)";
  EXPECT_THAT(missing("/v1/nothing"), HasSubstr(R"("param":null)"));
  EXPECT_THAT(missing("/v1/messages/nothing"), HasSubstr(anthropic));
  EXPECT_THAT(missing("/api/nothing"), ::testing::StartsWith(R"({"error":")"));
  EXPECT_THAT(missing("/v1/models/x"), HasSubstr(R"("param":null)"));
  EXPECT_THAT(missing("/v1/models/x", {{"anthropic-version", "2023-06-01"}}), HasSubstr(anthropic));
  EXPECT_THAT(it.fault(request_of("POST", "/v1/messages"), 413, "large").body,
              HasSubstr(R"("request_too_large")"));
  EXPECT_EQ(it.fault(request_of("POST", "/api/chat"), 413, "large").body, R"({"error":"large"})");
}

TEST_F(RouterTest, PagesOfOtherSitesAreRefusedAndNeverReflected) {
  Router& it = router({.hosts = {"localhost"}, .origins = {"https://friend.example"}});
  const auto with_origin = [](std::string origin) {
    return request_of("POST", "/things",
                      {{"origin", std::move(origin)}, {"content-type", "application/json"}});
  };
  const auto evil = it.admit(with_origin("https://evil.example"));
  ASSERT_TRUE(evil.refusal);
  EXPECT_EQ(evil.refusal->status, 403);
  EXPECT_EQ(http::find_field(evil.headers, "access-control-allow-origin"), nullptr);
  EXPECT_EQ(status_of(it, with_origin("null")), 403);
  EXPECT_EQ(status_of(it, with_origin("http://localhost:8080")), 200);
  EXPECT_EQ(status_of(it, with_origin("http://localhost:9999")), 403) << "another port";
  EXPECT_EQ(status_of(it, with_origin("https://localhost:8080")), 403) << "another scheme";
  const auto friendly = it.admit(with_origin("https://friend.example"));
  EXPECT_FALSE(friendly.refusal);
  EXPECT_EQ(*http::find_field(friendly.headers, "access-control-allow-origin"),
            "https://friend.example");
  auto preflight = with_origin("https://friend.example");
  preflight.method = "OPTIONS";
  preflight.headers.emplace_back("access-control-request-headers", "x-stainless-lang");
  const auto allowed = it.admit(preflight).refusal;
  EXPECT_EQ(allowed->status, 204);
  // Client libraries send headers of their own.
  EXPECT_EQ(*http::find_field(allowed->headers, "access-control-allow-headers"),
            "x-stainless-lang");
}

TEST_F(RouterTest, WhatAForeignPageEmbedsIsNoneOfTheAppsRoutes) {
  Router& it = router({.hosts = {"localhost"}, .origins = {"https://friend.example"}});
  const auto from = [](std::string site, std::string path, http::Fields more = {}) {
    more.emplace_back("sec-fetch-site", std::move(site));
    return request_of("GET", std::move(path), std::move(more));
  };
  constexpr int kNotFound = 404;  // let in: there is no such route in this test
  for (const char* path : {"/app/v1/backup", "/app/v1/export"}) {
    EXPECT_EQ(status_of(it, from("cross-site", path)), 403);
    EXPECT_EQ(status_of(it, from("same-site", path)), 403);
    EXPECT_EQ(status_of(it, from("same-origin", path)), kNotFound);
    EXPECT_EQ(status_of(it, from("none", path)), kNotFound) << "typed by the user";
    EXPECT_EQ(status_of(it, request_of("GET", path)), kNotFound) << "no browser";
    EXPECT_EQ(status_of(it, from("cross-site", path, {{"origin", "https://friend.example"}})),
              kNotFound);
  }
  EXPECT_EQ(status_of(it, from("cross-site", "/open")), 200) << "a link to the app";
}

// What a page can send without being asked: forms, and text.
TEST_F(RouterTest, APageCannotSendJsonAsText) {
  Router& it = router();
  const auto typed = [](std::string type) {
    return request_of("POST", "/things",
                      {{"origin", "http://localhost:8080"}, {"content-type", std::move(type)}});
  };
  EXPECT_EQ(status_of(it, typed("text/plain")), 415);
  EXPECT_EQ(status_of(it, typed("application/json; charset=utf-8")), 200);
  EXPECT_EQ(status_of(it, request_of("PUT", "/files", {{"content-type", "multipart/form-data"}})),
            415);
}

TEST_F(RouterTest, KeysAreAskedFor) {
  Router& it = router({.hosts = {"localhost"}, .api_keys = {"secret", "other"}});
  const auto with_key = [](std::string name, std::string value) {
    return request_of("GET", "/things/1", {{std::move(name), std::move(value)}});
  };
  EXPECT_EQ(status_of(it, request_of("GET", "/things/1")), 401);
  EXPECT_EQ(status_of(it, request_of("GET", "/open")), 200);
  EXPECT_EQ(status_of(it, with_key("authorization", "Bearer secret")), 200);
  EXPECT_EQ(status_of(it, with_key("authorization", "bearer other")), 200);
  EXPECT_EQ(status_of(it, with_key("x-api-key", "other")), 200);
  EXPECT_EQ(status_of(it, with_key("authorization", "Bearer secre")), 401);
  EXPECT_EQ(status_of(it, with_key("authorization", "Bearer secretsecret")), 401);
  EXPECT_EQ(status_of(it, with_key("authorization", "Bearer ")), 401);
  EXPECT_EQ(status_of(it, with_key("authorization", "Basic secret")), 401);
}

// Clients that cut streams at Unicode's ends of lines find none.
TEST(OneLine, HasNoEndsOfLinesInside) {
  EXPECT_EQ(on_one_line("{\"a\":\"x\xE2\x80\xA8y\xC2\x85z\xE2\x80\xA9\"}"),
            "{\"a\":\"x\\u2028y\\u0085z\\u2029\"}");
  EXPECT_EQ(on_one_line("\"\xE2\x80\xA6\""), "\"\xE2\x80\xA6\"");
}

TEST_F(RouterTest, TheOpenApiFileHasEveryRoute) {
  const std::string text = to_json(openapi(router().routes(), "1"));
  EXPECT_THAT(text, HasSubstr(R"("/things/{id}":{"get":{"operationId":"getThing")"));
  EXPECT_THAT(text, HasSubstr(R"("/models/{name}")"));
  EXPECT_THAT(text, HasSubstr(R"("Thing":{"type":"object")"));
}

}  // namespace
}  // namespace minke::server
