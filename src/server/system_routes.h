// Health, metrics and the OpenAPI file.
#pragma once

#include <functional>
#include <string>

#include "server/api/route.h"

namespace minke::server {

struct SystemSources {
  std::function<Value()> health;         // quick: on the server's thread
  std::function<std::string()> metrics;  // on a worker
  std::function<std::string()> openapi;
};

Routes system_routes(const SystemSources& sources);

}  // namespace minke::server
