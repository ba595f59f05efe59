#include "cli/output_file.h"

#include <fmt/format.h>

#include <filesystem>

#include "cli/text_util.h"

namespace minke::cli {

Status check_output_file(const std::string& path, bool force) {
  if (path.empty()) return misuse("OUT is empty; give the name of a file");
  std::error_code ignored;
  const std::filesystem::file_status there = std::filesystem::status(path, ignored);
  if (std::filesystem::exists(there) && !std::filesystem::is_regular_file(there)) {
    return fail(fmt::format("{} is {}; give the name of a file", printable(path, 400),
                            std::filesystem::is_directory(there) ? "a folder" : "no regular file"));
  }
  if (!force && std::filesystem::exists(there)) {
    return fail(fmt::format("{} exists; choose another name, or say --force to write over it",
                            printable(path, 400)));
  }
  return {};
}

}  // namespace minke::cli
