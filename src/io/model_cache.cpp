#include "io/model_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <utility>

#include "core/check.h"

namespace minke {
namespace fs = std::filesystem;
namespace {

std::string absolute_from_environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && value[0] == '/' ? value : "";
}

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

int64_t size_of(const fs::path& path) {
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  return error ? 0 : static_cast<int64_t>(bytes);
}

// Disk blocks really taken: an unfinished download has holes.
int64_t blocks_of(const fs::path& path) {
  struct stat status{};
  return stat(path.c_str(), &status) == 0 ? int64_t{status.st_blocks} * 512 : 0;
}

bool written_like_a_path(std::string_view text) {
  return text.starts_with("/") || text.starts_with("./") || text.starts_with("../") ||
         text.starts_with("~/") || (text.ends_with(".gguf") && !looks_like_hub_name(text));
}

// "hub/owner/repo/dir/file.gguf" as "owner/repo:dir/file.gguf".
std::string hub_name_of(const std::string& relative) {
  std::string name = relative.substr(4);
  const size_t after_repo = name.find('/', name.find('/') + 1);
  if (after_repo == std::string::npos) return "";
  name[after_repo] = ':';
  return name;
}

// Files that were pulled without being in the catalogue.
std::vector<ListedModel> list_hub_files(const fs::path& models) {
  std::vector<ListedModel> found;
  std::error_code error;
  fs::recursive_directory_iterator it(models / "hub", error), end;
  for (; !error && it != end; it.increment(error)) {
    if (!is_file(it->path())) continue;
    const std::string relative = it->path().lexically_relative(models).generic_string();
    const auto known = [&](const CatalogueEntry& entry) { return entry.file == relative; };
    if (std::ranges::any_of(catalogue(), known)) continue;
    auto entry = parse_hub_name(hub_name_of(relative));
    if (!entry) continue;
    entry->bytes = size_of(it->path());
    found.push_back({.entry = *std::move(entry),
                     .pulled = true,
                     .path = it->path().string(),
                     .bytes_on_disk = size_of(it->path())});
  }
  std::ranges::sort(found, {}, [](const ListedModel& model) { return model.entry.name; });
  return found;
}

}  // namespace

namespace {

// What the user's variable names, else a folder in the home.
Result<fs::path> user_dir(const char* variable, const fs::path& in_home, const char* what) {
  if (const std::string xdg = absolute_from_environment(variable); !xdg.empty())
    return fs::path(xdg) / "minke";
  if (const std::string home = absolute_from_environment("HOME"); !home.empty())
    return fs::path(home) / in_home / "minke";
  if (const passwd* user = getpwuid(getuid()); user != nullptr && user->pw_dir[0] == '/')
    return fs::path(user->pw_dir) / in_home / "minke";
  return fail(fmt::format("no folder for {}: set HOME or {} to an absolute path", what, variable));
}

}  // namespace

Result<fs::path> models_dir() {
  MINKE_ASSIGN(const fs::path folder, user_dir("XDG_CACHE_HOME", ".cache", "models"));
  return folder / "models";
}

Result<fs::path> data_dir() { return user_dir("XDG_DATA_HOME", ".local/share", "chats"); }

fs::path partial_dir(const fs::path& models, const CatalogueEntry& entry) {
  // The file name is unique in the catalogue and has only plain characters and '/'.
  std::string key = entry.file;
  for (size_t at = key.find('/'); at != std::string::npos; at = key.find('/', at)) {
    key.replace(at, 1, "__");
  }
  return models / ".partial" / key;
}

Result<CatalogueEntry> find_pullable(std::string_view name) {
  if (looks_like_hub_name(name)) return parse_hub_name(name);
  if (is_file(fs::path(name)) || written_like_a_path(name)) {
    return misuse(
        fmt::format("'{}' is a path: pull takes a name (minke list shows them); a file "
                    "of your own needs no pulling: ./run {}",
                    name, name));
  }
  MINKE_ASSIGN(const CatalogueEntry* entry, find_in_catalogue(name));
  return *entry;
}

Result<std::string> resolve_model(std::string_view name_or_path) {
  if (name_or_path.empty()) return misuse("the name of the model is empty");
  std::error_code error;
  const fs::path path(name_or_path);
  if (is_file(path)) return path.string();
  const fs::file_status status = fs::status(path, error);
  if (fs::is_directory(status)) {
    if (is_file(path / "config.json")) return path.string();
    return fail(
        fmt::format("{} is a folder without config.json: give the path of a .gguf file in it, "
                    "or a folder of Hugging Face's",
                    name_or_path));
  }
  if (fs::exists(status)) {
    return fail(
        fmt::format("{} is not a regular file (a device, a pipe?); give the path of a .gguf "
                    "file",
                    name_or_path));
  }
  if (status.type() == fs::file_type::none) {
    return fail(fmt::format("{}: {}", name_or_path, error.message()));
  }
  if (written_like_a_path(name_or_path)) {
    return fail(fmt::format("{}: there is no such file", name_or_path));
  }
  MINKE_ASSIGN(const CatalogueEntry entry, find_pullable(name_or_path));
  MINKE_ASSIGN(const fs::path models, models_dir());
  if (is_file(models / entry.file)) return (models / entry.file).string();
  const std::string size =
      entry.bytes > 0 ? fmt::format(" ({})", human_bytes(entry.bytes)) : std::string();
  return fail(fmt::format("{} is not here yet{}: fetch it with ./run pull {}, {}", entry.name, size,
                          entry.name, kOwnFileHint));
}

DefaultModel choose_default_model(const fs::path& models, int64_t available_bytes) {
  const auto named = [](std::string_view name) {
    const auto found = std::ranges::find(catalogue(), name, &CatalogueEntry::name);
    CHECK(found != catalogue().end());
    return *found;
  };
  const CatalogueEntry usual = named(kDefaultModel);
  const CatalogueEntry small = named(kSmallModel);
  const bool short_of_memory = available_bytes < kDefaultModelMemoryMin;
  const bool usual_here = is_file(models / usual.file);
  const bool small_here = is_file(models / small.file);
  const std::string memory = human_bytes(available_bytes);
  if (!short_of_memory) return {.entry = usual, .reason = ""};
  // Memory that is a little short today must not fetch a second model beside a good one.
  if (usual_here && !small_here && available_bytes >= usual.memory_bytes) {
    return {.entry = usual, .reason = ""};
  }
  return {.entry = small,
          .reason = fmt::format("Memory is short ({} available), so the model is {}, not {}.",
                                memory, small.name, usual.name)};
}

Result<std::vector<ListedModel>> list_models(const fs::path& models) {
  std::vector<ListedModel> listed;
  for (const CatalogueEntry& entry : catalogue()) {
    ListedModel model{
        .entry = entry, .pulled = is_file(models / entry.file), .path = "", .bytes_on_disk = 0};
    if (model.pulled) model.path = (models / entry.file).string();
    model.bytes_on_disk = model.pulled ? size_of(models / entry.file)
                                       : blocks_of(partial_dir(models, entry) / "whole");
    listed.push_back(std::move(model));
  }
  for (ListedModel& model : list_hub_files(models)) listed.push_back(std::move(model));
  return listed;
}

Result<RemovedModel> remove_model(const fs::path& models, std::string_view name) {
  if (is_file(fs::path(name)) || written_like_a_path(name)) {
    return misuse(
        fmt::format("'{}' is a path: rm removes what pull fetched, by name (minke list); "
                    "remove a file of your own yourself",
                    name));
  }
  MINKE_ASSIGN(const CatalogueEntry entry, find_pullable(name));
  const fs::path file = models / entry.file;
  const fs::path partial = partial_dir(models, entry);
  std::error_code error;
  RemovedModel removed{.name = entry.name, .bytes = size_of(file) + blocks_of(partial / "whole")};
  if (!is_file(file) && !fs::exists(partial, error)) {
    return fail(
        fmt::format("{} is not here: nothing to remove (minke list shows what is)", entry.name));
  }
  MINKE_ASSIGN(const ModelLock lock, ModelLock::try_take(models, entry));
  if (!lock.taken()) {
    return fail(
        fmt::format("{} is being fetched by another minke: stop that one first", entry.name));
  }
  fs::remove(file, error);
  if (error) return fail(fmt::format("cannot remove {}: {}", file.string(), error.message()));
  fs::remove_all(partial, error);
  if (error) return fail(fmt::format("cannot remove {}: {}", partial.string(), error.message()));
  // Folders of Hugging Face's owners go when they are empty; remove() refuses the others.
  for (fs::path dir = file.parent_path(); dir != models && !error; dir = dir.parent_path()) {
    fs::remove(dir, error);
  }
  return removed;
}

Result<ModelLock> ModelLock::try_take(const fs::path& models, const CatalogueEntry& entry) {
  std::error_code error;
  fs::create_directories(models / ".partial", error);
  if (error) {
    return fail(fmt::format(
        "cannot make the folder {}: {}; set XDG_CACHE_HOME to a folder that can be written",
        (models / ".partial").string(), error.message()));
  }
  const std::string path = partial_dir(models, entry).string() + ".lock";
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) return fail(fmt::format("cannot open {}: {}", path, std::strerror(errno)));
  if (flock(descriptor, LOCK_EX | LOCK_NB) == 0) return ModelLock(descriptor);
  const int reason = errno;
  close(descriptor);
  if (reason == EWOULDBLOCK) return ModelLock(-1);
  return fail(fmt::format("cannot lock {}: {}", path, std::strerror(reason)));
}

ModelLock::ModelLock(ModelLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

ModelLock::~ModelLock() {
  // The file stays: removing it would let a third process lock a new one while a second still waits
  // on this one.
  if (descriptor_ >= 0) close(descriptor_);
}

}  // namespace minke
