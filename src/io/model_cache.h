// Where pulled models live, and how a name becomes a file.
//
// The cache is $XDG_CACHE_HOME/minke/models (~/.cache/minke/models): catalogue models lie there
// under their file name, those of Hugging Face in hub/owner/repo/. Whatever is not finished lies in
// .partial/ and never has a model's name. Functions may be called from any thread; two processes
// are kept apart by ModelLock.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "io/catalogue.h"

namespace minke {

inline constexpr std::string_view kOwnFileHint =
    "or use a file of your own: ./run /path/to/any.gguf";

// Fails when neither XDG_CACHE_HOME nor HOME gives an absolute path. Creates nothing.
Result<std::filesystem::path> models_dir();

// Where what a person made is kept (chats, not models): $XDG_DATA_HOME/minke, ~/.local/share/minke.
// Fails as models_dir() does; creates nothing.
Result<std::filesystem::path> data_dir();

// Where the unfinished download of an entry lies.
std::filesystem::path partial_dir(const std::filesystem::path& models, const CatalogueEntry& entry);

// A path that exists, or that is written like one, stays as it is; a catalogue name, the beginning
// of just one, or owner/repo:file becomes the path of the pulled file. What is not there yet is an
// error that says how to pull it.
Result<std::string> resolve_model(std::string_view name_or_path);

// A catalogue name, the beginning of one, or owner/repo:file, as an entry: what pull takes.
Result<CatalogueEntry> find_pullable(std::string_view name);

struct DefaultModel {
  CatalogueEntry entry;
  std::string reason;  // a sentence when it is not the usual one, else empty
};
// The default model, or the small one where memory is short.
DefaultModel choose_default_model(const std::filesystem::path& models, int64_t available_bytes);

struct ListedModel {
  CatalogueEntry entry;
  bool pulled = false;
  std::string path;           // when pulled
  int64_t bytes_on_disk = 0;  // of the file, or of the unfinished download
};
// The catalogue in its order, then whatever else was pulled, by name.
Result<std::vector<ListedModel>> list_models(const std::filesystem::path& models);

struct RemovedModel {
  std::string name;
  int64_t bytes = 0;
};
// Removes a pulled model and what is left of an unfinished download of it. `name` is as for pull.
Result<RemovedModel> remove_model(const std::filesystem::path& models, std::string_view name);

// Held while a model is fetched or removed, across processes; the system lets go of it when the
// process ends, however it ends. Movable; one thread.
class ModelLock {
 public:
  // Never waits: taken() says whether it worked. Fails when the lock file cannot be made.
  static Result<ModelLock> try_take(const std::filesystem::path& models,
                                    const CatalogueEntry& entry);
  ModelLock(ModelLock&& other) noexcept;
  ModelLock& operator=(ModelLock&&) = delete;
  ~ModelLock();

  // False when another process holds it, and this object then holds nothing.
  bool taken() const { return descriptor_ >= 0; }

 private:
  explicit ModelLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace minke
