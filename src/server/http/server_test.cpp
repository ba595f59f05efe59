// The HTTP server over loopback, by a client that sends bytes: what it may send, and what comes of
// the rest.

#include "server/http/server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>

namespace minke::http {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class TestHandler final : public Handler {
 public:
  std::function<void(std::shared_ptr<Request>, std::shared_ptr<Responder>)> on_request;
  std::atomic<int> gone = 0;
  std::atomic<int> done_count = 0;
  std::mutex mutex;
  std::string last_id;  // of the last request that was done with
  std::atomic<bool> has_odd_time = false;

  Admission admit(const Request& head) override {
    if (head.path == "/refused") return {.refusal = text_response(403, "text/plain", "no")};
    return {.body_bytes_max = 1000};
  }
  void handle(std::shared_ptr<Request> request, std::shared_ptr<Responder> responder) override {
    on_request(std::move(request), std::move(responder));
  }
  Response fault(const Request&, int status, const std::string& message) override {
    return text_response(status, "text/plain", message);
  }
  void done(const Request& request, int status, uint64_t) override {
    const auto age = std::chrono::steady_clock::now() - request.received;
    if (age > std::chrono::minutes(1)) has_odd_time = true;
    if (status == 499) ++gone;
    const std::lock_guard lock(mutex);
    last_id = request.id;
    ++done_count;
  }
};

class Client {
 public:
  explicit Client(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval limit{.tv_sec = 10, .tv_usec = 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  ~Client() { close(); }
  void close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }
  void send(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t put = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (put <= 0) return;
      text.remove_prefix(static_cast<size_t>(put));
    }
  }
  // What comes until `text` has come, or the end.
  std::string read_until(std::string_view text) const {
    std::string all;
    char buffer[4096];
    while (all.find(text) == std::string::npos) {
      const ssize_t got = ::recv(socket_, buffer, sizeof(buffer), 0);
      if (got <= 0) break;
      all.append(buffer, static_cast<size_t>(got));
    }
    return all;
  }
  std::string read_all() const { return read_until(std::string_view("\0never", 6)); }

 private:
  int socket_;
};

class HttpServer : public ::testing::Test {
 protected:
  void start(ServerOptions options = {}) {
    Result<std::unique_ptr<Server>> server = Server::listen(options, handler_);
    ASSERT_TRUE(server) << server.error().message;
    server_ = *std::move(server);
    thread_ = std::jthread([this] { server_->run(); });
  }
  void TearDown() override {
    if (server_) server_->stop(std::chrono::milliseconds(200));
    thread_ = {};
  }
  Client client() const { return Client(server_->port()); }
  std::string answer(std::string_view request) const {
    const Client one = client();
    one.send(request);
    return one.read_all();
  }
  static bool within(std::chrono::milliseconds time, const std::function<bool()>& what) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (!what()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
  }
  void echo() {
    handler_.on_request = [](const std::shared_ptr<Request>& request,
                             const std::shared_ptr<Responder>& responder) {
      responder->respond(text_response(
          200, "text/plain", request->method + " " + request->path + "|" + request->body));
    };
  }

  TestHandler handler_;
  std::unique_ptr<Server> server_;
  std::jthread thread_;
};

// What follows such a head may be its body: none of it is a request.
TEST_F(HttpServer, RefusesABodyOfWhichItCannotTellTheEnd) {
  echo();
  start();
  const std::string next = "GET /smuggled HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  for (const char* fields :
       {"Transfer-Encoding: gzip\r\n", "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: identity\r\n", "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n", "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding:\r\n", "Transfer-Encoding: gzip\r\nContent-Length: 3\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"}) {
    for (const char* path : {"/a", "/refused"}) {
      const std::string all =
          answer(std::string("POST ") + path + " HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n" + next);
      EXPECT_THAT(all, ::testing::AnyOf(StartsWith("HTTP/1.1 501"), StartsWith("HTTP/1.1 400")))
          << fields;
      EXPECT_THAT(all, HasSubstr("Connection: close")) << fields;
      EXPECT_THAT(all, Not(HasSubstr("smuggled"))) << fields;
      EXPECT_EQ(all.find("HTTP/1.1 ", 1), std::string::npos) << all;
    }
  }
  const std::string chunks = "\r\n3\r\nxyz\r\n0\r\n\r\n";
  EXPECT_THAT(answer("POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" + chunks + next),
              ::testing::AllOf(HasSubstr(" 501 "), Not(HasSubstr("smuggled"))));
  const std::string both =
      answer("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n" + chunks + next);
  EXPECT_THAT(both, HasSubstr("POST /a|xyz"));
  EXPECT_THAT(both, HasSubstr("GET /smuggled|"));
}

TEST_F(HttpServer, AnswersOneAfterTheOtherOnOneConnection) {
  echo();
  start();
  const Client one = client();
  one.send(
      "GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"
      "xyzGET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string all = one.read_all();
  EXPECT_THAT(all, HasSubstr("GET /a|"));
  EXPECT_THAT(all, HasSubstr("POST /b|xyz"));
  EXPECT_THAT(all, HasSubstr("GET /c|"));
  EXPECT_LT(all.find("/a|"), all.find("/b|"));
}

TEST_F(HttpServer, TakesARequestByteByByteAndInChunks) {
  echo();
  start();
  const Client one = client();
  for (const char c :
       std::string_view("POST /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
                        "\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")) {
    one.send(std::string_view(&c, 1));
  }
  EXPECT_THAT(one.read_until("abcde"), HasSubstr("POST /slow|abcde"));
}

TEST_F(HttpServer, AnswersWhatIsNoRequest) {
  echo();
  start();
  EXPECT_THAT(answer("BLAH\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer("GET /%zz?%zz HTTP/1.1\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer("GET http://x/ HTTP/1.1\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer("GET / HTTP/1.1\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n"),
              StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(answer("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"),
              StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n"),
              StartsWith("HTTP/1.1 400"));
  // Two lengths are how requests are smuggled past proxies.
  EXPECT_THAT(answer("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n"
                     "abcd"),
              StartsWith("HTTP/1.1 400"));
}

// What could not be read has an id and a time all the same, for the log and the metrics.
TEST_F(HttpServer, WhatIsNoRequestIsToldLikeOne) {
  echo();
  start();
  const std::string all = answer("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n");
  EXPECT_THAT(all, StartsWith("HTTP/1.1 400"));
  EXPECT_TRUE(within(std::chrono::seconds(5), [&] { return handler_.done_count == 1; }));
  const std::lock_guard lock(handler_.mutex);
  ASSERT_FALSE(handler_.last_id.empty());
  EXPECT_THAT(all, HasSubstr("X-Request-Id: " + handler_.last_id));
  EXPECT_FALSE(handler_.has_odd_time);
}

TEST_F(HttpServer, ARequestHasOneHost) {
  echo();
  start();
  EXPECT_THAT(answer("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 400"));
  const std::string none = answer("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(none, StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(none, HasSubstr("no Host header"));
  EXPECT_THAT(answer("GET / HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.1 200"));
}

// No room is made for a length before it has been looked at.
TEST_F(HttpServer, AnyLengthIsAnswered) {
  echo();
  start();
  for (const char* length : {"50000000000", "1000000000000", "9223372036854775807"}) {
    EXPECT_THAT(answer(std::string("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: ") + length +
                       "\r\n\r\n{}"),
                StartsWith("HTTP/1.1 413"))
        << length;
  }
}

TEST_F(HttpServer, BodiesAreBoundedAndTheClientCanReadWhy) {
  echo();
  start();
  const std::string large(2'000'000, 'x');
  EXPECT_THAT(answer("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n" + large),
              StartsWith("HTTP/1.1 413"));
  std::string chunks = "POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 20; ++i) chunks += "64\r\n" + std::string(100, 'x') + "\r\n";
  EXPECT_THAT(answer(chunks), StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(answer("POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nabc"),
              StartsWith("HTTP/1.1 403"));
}

TEST_F(HttpServer, SendsContinueToWhoAsksForIt) {
  echo();
  start();
  const Client one = client();
  one.send("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_THAT(one.read_until("\r\n\r\n"), StartsWith("HTTP/1.1 100"));
  one.send("abc");
  EXPECT_THAT(one.read_until("|abc"), HasSubstr("POST /b|abc"));
}

TEST_F(HttpServer, AnswersInPiecesFromAnyThread) {
  handler_.on_request = [](const std::shared_ptr<Request>&,
                           const std::shared_ptr<Responder>& responder) {
    std::thread([responder] {
      responder->begin({.status = 200, .headers = {{"Content-Type", "text/plain"}}});
      for (int i = 0; i < 100; ++i) responder->write(std::to_string(i) + ",");
      responder->end();
    }).detach();
  };
  start();
  const std::string all = answer("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(all, HasSubstr("Transfer-Encoding: chunked"));
  EXPECT_THAT(all, HasSubstr("99,"));
  EXPECT_TRUE(all.ends_with("0\r\n\r\n"));
  const std::string old = answer("GET / HTTP/1.0\r\nHost: x\r\n\r\n");
  EXPECT_THAT(old, ::testing::Not(HasSubstr("chunked")));
  EXPECT_TRUE(old.ends_with("99,"));
}

TEST_F(HttpServer, TellsWhenTheClientHasGone) {
  std::shared_ptr<Responder> kept;
  std::atomic<bool> told = false, has = false;
  handler_.on_request = [&](const std::shared_ptr<Request>&,
                            const std::shared_ptr<Responder>& responder) {
    responder->begin({.status = 200, .headers = {}});
    responder->on_gone([&told] { told = true; });
    kept = responder;
    has = true;
  };
  start();
  Client one = client();
  one.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(within(std::chrono::seconds(5), [&] { return has.load(); }));
  one.close();
  EXPECT_TRUE(within(std::chrono::seconds(5), [&] { return told.load(); }));
  EXPECT_FALSE(kept->write("more"));
  EXPECT_EQ(handler_.gone, 1);
}

TEST_F(HttpServer, AClientThatTakesNothingHoldsLittle) {
  std::atomic<bool> ended = false;
  std::atomic<size_t> written = 0;
  handler_.on_request = [&](const std::shared_ptr<Request>&,
                            const std::shared_ptr<Responder>& responder) {
    std::thread([&, responder] {
      responder->begin({.status = 200, .headers = {}});
      while (responder->write(std::string(10'000, 'x'))) {
        written += 10'000;
        if (written % 1'000'000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      ended = true;
    }).detach();
  };
  start({.backlog_bytes_max = 200'000});
  const Client one = client();
  one.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(within(std::chrono::seconds(10), [&] { return ended.load(); }));
  EXPECT_LT(written, 50'000'000U) << "what the system's socket takes, and the backlog";
}

TEST_F(HttpServer, ARequestThatNobodyAnswersIsA500) {
  handler_.on_request = [](const std::shared_ptr<Request>&, const std::shared_ptr<Responder>&) {};
  start();
  EXPECT_THAT(answer("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 500"));
}

TEST_F(HttpServer, AnAnswerThatIsDroppedHalfWayDoesNotLookWhole) {
  handler_.on_request = [](const std::shared_ptr<Request>&,
                           const std::shared_ptr<Responder>& responder) {
    responder->begin({.status = 200, .headers = {}, .body = "half"});
  };
  start();
  const std::string all = answer("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_FALSE(all.ends_with("0\r\n\r\n"));
}

TEST_F(HttpServer, SlowHeadersEnd) {
  echo();
  start({.header_time = std::chrono::milliseconds(500)});
  const Client one = client();
  one.send("GET / HTTP/1.1\r\nHos");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(one.read_all(), "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST_F(HttpServer, ConnectionsAreBounded) {
  echo();
  start({.connections_max = 2});
  const Client one = client(), two = client();
  one.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(one.read_until("/1|"), HasSubstr("/1|"));
  two.send("GET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(two.read_until("/2|"), HasSubstr("/2|"));
  const Client three = client();
  three.send("GET /3 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(three.read_all(), "");
  EXPECT_EQ(server_->stats().connections_refused, 1U);
}

TEST_F(HttpServer, HeadHasTheHeadersAlone) {
  echo();
  start();
  const std::string all = answer("HEAD /h HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(all, HasSubstr("Content-Length: 8"));
  EXPECT_TRUE(all.ends_with("\r\n\r\n"));
}

TEST_F(HttpServer, StoppingLetsAnswersEnd) {
  std::atomic<bool> has = false;
  handler_.on_request = [&](const std::shared_ptr<Request>&,
                            const std::shared_ptr<Responder>& responder) {
    responder->begin({.status = 200, .headers = {}});
    has = true;
    std::thread([responder] {
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      responder->write("the end");
      responder->end();
    }).detach();
  };
  start();
  const Client one = client();
  one.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(within(std::chrono::seconds(5), [&] { return has.load(); }));
  server_->stop(std::chrono::seconds(5));
  EXPECT_THAT(one.read_all(), HasSubstr("the end"));
  thread_.join();
}

TEST(Listening, SaysWhyAnAddressCannotBeHad) {
  TestHandler handler;
  const auto fault = [&](const ServerOptions& options) {
    const auto server = Server::listen(options, handler);
    return server ? std::string() : server.error().message;
  };
  EXPECT_THAT(fault({.address = "192.0.2.1"}), HasSubstr("no network of this machine"));
  const auto first = Server::listen({}, handler);
  ASSERT_TRUE(first);
  EXPECT_THAT(fault({.port = (*first)->port()}), HasSubstr("another server is there"));
}

TEST(Message, PercentDecoding) {
  std::string out;
  EXPECT_TRUE(percent_decode("a%20b+c", true, out));
  EXPECT_EQ(out, "a b c");
  EXPECT_TRUE(percent_decode("a+b", false, out));
  EXPECT_EQ(out, "a+b");
  EXPECT_FALSE(percent_decode("%2", false, out));
  EXPECT_FALSE(percent_decode("%ff", false, out)) << "no UTF-8";
}

}  // namespace
}  // namespace minke::http
