#include "server/http/server.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <random>

#include "server/http/connection.h"

namespace minke::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// Connections beyond a few hundred need more descriptors than a process is given at first.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

Status load_certificate(asio::ssl::context& context, const ServerOptions& options) {
  error_code error;
  context.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                      asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                      asio::ssl::context::no_tlsv1_1);
  context.use_certificate_chain_file(options.certificate, error);
  if (error) {
    return misuse(
        fmt::format("{} is no certificate chain in PEM: {}", options.certificate, error.message()));
  }
  context.use_private_key_file(options.private_key, asio::ssl::context::pem, error);
  if (error) {
    return misuse(fmt::format("{} is no private key in PEM that belongs to {}: {}",
                              options.private_key, options.certificate, error.message()));
  }
  return {};
}

// What helps where an address could not be had.
const char* way_out(const error_code& error) {
  if (error == asio::error::address_in_use) {
    return "another server is there: end it, or choose another port (--port)";
  }
  if (error == boost::system::errc::address_not_available) {
    return "no network of this machine has that address (--host): 127.0.0.1 is this machine alone, "
           "0.0.0.0 all its addresses";
  }
  if (error == asio::error::access_denied) {
    return "ports below 1024 are the system's: choose another (--port)";
  }
  return "choose another address (--host) or port (--port)";
}

class AsioServer final : public Server {
 public:
  AsioServer(const ServerOptions& options, Handler& handler)
      : shared_host_(std::make_shared<ConnectionHost>(options, handler)),
        host_(*shared_host_),
        acceptor_(host_.io),
        sweeper_(host_.io),
        grace_(host_.io) {
    std::random_device device;
    host_.id_prefix = fmt::format("{:08x}", device());
  }

  ~AsioServer() override {
    // Whoever still waits for an answer is told before what he waits for goes.
    abort_all();
    host_.io.restart();
    host_.io.poll();
  }

  Status open() {
    const ServerOptions& options = host_.options;
    error_code error;
    const asio::ip::address address = asio::ip::make_address(options.address, error);
    if (error) {
      return misuse(
          fmt::format("'{}' is no IP address to listen on: 127.0.0.1 is this machine "
                      "alone, 0.0.0.0 all its addresses",
                      options.address));
    }
    if (!options.certificate.empty()) {
      context_.emplace(asio::ssl::context::tls_server);
      MINKE_TRY(load_certificate(*context_, options));
    }
    const tcp::endpoint endpoint(address, options.port);
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(4096, error);
    if (error) {
      return fail(fmt::format("cannot listen on {} port {}: {}; {}", options.address, options.port,
                              error.message(), way_out(error)));
    }
    raise_descriptor_limit();
    return {};
  }

  uint16_t port() const override {
    error_code ignored;
    return acceptor_.local_endpoint(ignored).port();
  }

  void run() override {
    asio::co_spawn(host_.io, accept(), asio::detached);
    sweep();
    host_.io.run();
  }

  void stop(std::chrono::milliseconds grace) override {
    asio::post(host_.io, [this, grace] { begin_stop(grace); });
  }

  ServerStats stats() const override {
    return {.connections_accepted = accepted_,
            .connections_refused = refused_,
            .requests = host_.requests,
            .connections = host_.open_connections,
            .exchanges = host_.open_exchanges};
  }

 private:
  asio::awaitable<void> accept() {
    while (!host_.is_stopping) {
      error_code error;
      tcp::socket socket =
          co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, error));
      if (host_.is_stopping) co_return;
      if (error) {
        // Out of descriptors, most likely: others will close theirs.
        asio::steady_timer pause(host_.io, std::chrono::milliseconds(50));
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      if (host_.connections.size() >= host_.options.connections_max) {
        ++refused_;
        continue;  // closes it
      }
      ++accepted_;
      const std::shared_ptr<Connection> connection =
          context_ ? make_secure_connection(host_, *context_, std::move(socket))
                   : make_plain_connection(host_, std::move(socket));
      host_.connections.emplace(connection.get(), connection);
      asio::co_spawn(host_.io, [connection] { return connection->run(); }, asio::detached);
    }
  }

  void sweep() {
    const auto now = ConnectionHost::Clock::now();
    for (const auto& connection : all()) connection->sweep(now);
    if (host_.is_stopping && host_.connections.empty()) return;
    sweeper_.expires_after(std::chrono::seconds(1));
    sweeper_.async_wait([this](error_code error) {
      if (!error) sweep();
    });
  }

  // A copy, because closing takes connections out of the table.
  std::vector<std::shared_ptr<Connection>> all() const {
    std::vector<std::shared_ptr<Connection>> connections;
    connections.reserve(host_.connections.size());
    for (const auto& [key, connection] : host_.connections) connections.push_back(connection);
    return connections;
  }

  void abort_all() {
    for (const auto& connection : all()) connection->abort();
  }

  void begin_stop(std::chrono::milliseconds grace) {
    if (host_.is_stopping) return abort_all();
    host_.is_stopping = true;
    error_code ignored;
    acceptor_.close(ignored);
    for (const auto& connection : all()) connection->retire();
    grace_.expires_after(grace);
    grace_.async_wait([this](error_code error) {
      if (!error) end_stop();
    });
    wait_for_the_last();
  }

  // Ends run() as soon as nobody is left.
  void wait_for_the_last() {
    if (host_.connections.empty()) return end_stop();
    auto timer = std::make_shared<asio::steady_timer>(host_.io, std::chrono::milliseconds(20));
    timer->async_wait([this, timer](error_code) { wait_for_the_last(); });
  }

  void end_stop() {
    abort_all();
    error_code ignored;
    grace_.cancel(ignored);
    sweeper_.cancel(ignored);
    host_.io.stop();
  }

  const std::shared_ptr<ConnectionHost> shared_host_;
  ConnectionHost& host_;
  std::optional<asio::ssl::context> context_;
  tcp::acceptor acceptor_;
  asio::steady_timer sweeper_;
  asio::steady_timer grace_;
  std::atomic<uint64_t> accepted_ = 0;
  std::atomic<uint64_t> refused_ = 0;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::listen(const ServerOptions& options, Handler& handler) {
  auto server = std::make_unique<AsioServer>(options, handler);
  MINKE_TRY(server->open());
  return server;
}

}  // namespace minke::http
