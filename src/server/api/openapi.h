// The OpenAPI 3.1 file, made of the route objects.
#pragma once

#include <string>

#include "server/api/route.h"

namespace minke::server {

Value openapi(const Routes& routes, const std::string& version);

}  // namespace minke::server
