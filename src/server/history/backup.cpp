#include <fmt/format.h>

#include <system_error>

#include "server/history/store.h"

namespace minke::history {

// VACUUM INTO reads one state of the file, however long it takes, and hinders no writer; what has
// been deleted is not in the copy.
Status write_backup(const std::filesystem::path& path, const std::filesystem::path& target) {
  std::error_code error;
  if (std::filesystem::exists(target, error))
    return fail(fmt::format("{} is there already: a backup takes a new name", target.string()));
  MINKE_ASSIGN(auto database, Database::open(path, {.create = false, .read_only = true}));
  MINKE_TRY(database->set_up());
  Status written = database->run("VACUUM INTO ?1", target.string());
  if (!written) {
    std::filesystem::remove(target, error);
    return fail(
        fmt::format("the backup to {} failed: {}", target.string(), written.error().message));
  }
  return {};
}

}  // namespace minke::history
