#include "cli/output_file.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/json_text.h"
#include "cli/text_util.h"
#include "io/catalogue.h"
#include "models/model_info.h"

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

Status write_model(
    const std::string& path, bool json, Console* console,
    const std::function<Status(const std::function<bool(double)>& progress)>& write) {
  {
    ProgressBar bar(console);
    const InterruptGuard guard;
    const Status written = write([&bar](double done) {
      bar.update("writing", done);
      return !InterruptGuard::interrupted();
    });
    if (InterruptGuard::interrupted()) return fail(std::string(kInterrupted));
    MINKE_TRY(written);
  }
  MINKE_ASSIGN(const GgufFile file, GgufFile::open(path));
  MINKE_ASSIGN(const ModelInfo info, model_info(file));
  if (json) {
    console->out(
        json_line({{"path", path}, {"bytes", file.file_bytes()}, {"parameters", info.parameters}}));
  } else {
    console->out(fmt::format("{}: {}, {} parameters\n", path,
                             human_bytes(static_cast<int64_t>(file.file_bytes())),
                             with_commas(info.parameters)));
  }
  return {};
}

}  // namespace minke::cli
