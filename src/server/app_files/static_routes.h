// The chat app's files as routes: from the program only, under a policy that lets a page load
// nothing from anywhere else.
#pragma once

#include "server/api/route.h"

namespace minke::server {

Routes static_routes();

}  // namespace minke::server
