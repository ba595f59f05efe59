// The whole server: models, turns, routes, HTTP. One of these is `minke serve`.
//
// Threads: the HTTP thread is the one that calls run(); a few workers render, tokenise and wait for
// the disk; each loaded model has its engine's threads; one thread loads models, one keeps time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "server/api/router.h"
#include "server/chat/chat_service.h"
#include "server/chat/model_host.h"
#include "server/http/server.h"
#include "server/log.h"

namespace minke::server {

struct ServeOptions {
  http::ServerOptions http;
  GateOptions gate;
  HostOptions models;
  ServiceOptions service;
  LogOptions log;
  std::string history;         // the app's file; empty: no app
  std::string runs;            // the folder of trainings that the app shows
  bool loads_default = false;  // at the start, before anybody asks
};

class ServeApp {
 public:
  // Binds the address; nothing is served before run().
  static Result<std::unique_ptr<ServeApp>> create(ServeOptions options);
  virtual ~ServeApp() = default;

  // Until stop(): then requests under way have `grace` to end.
  virtual void run() = 0;
  virtual void stop() = 0;
  virtual uint16_t port() const = 0;
};

}  // namespace minke::server
