#include "server/app_files/app_files.h"

namespace minke::server {

std::span<const AppFile> app_files() { return {}; }

}  // namespace minke::server
