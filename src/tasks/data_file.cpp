#include "tasks/data_file.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

namespace minke {

Result<std::string> data_file(std::string_view name, std::string_view file) {
  const char* const folder = std::getenv("MINKE_DATA");
  if (folder && *folder) {
    const std::filesystem::path path = std::filesystem::path(folder) / file;
    std::error_code error;
    if (std::filesystem::is_regular_file(path, error)) return path.string();
  }
  return fail(fmt::format(
      "the data set {} is not on this machine (no {} in {}): fetch it with minke data pull {}",
      name, file, folder && *folder ? folder : "MINKE_DATA, which is not set", name));
}

}  // namespace minke
