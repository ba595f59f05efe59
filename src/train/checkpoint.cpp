#include "train/checkpoint.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <functional>
#include <utility>

#include "core/check.h"
#include "io/file.h"
#include "io/json_file.h"
#include "io/mmap.h"
#include "io/sha256.h"

namespace minke {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kWeights = "weights.safetensors";
constexpr const char* kOptimizer = "optimizer.safetensors";
constexpr const char* kState = "state.json";
constexpr const char* kManifest = "manifest.json";
constexpr const char* kFormat = "minke checkpoint 1";
constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kPartialSuffix = ".writing";

std::string folder_name(int64_t step) { return fmt::format("{}{:06}", kPrefix, step); }

struct Found {
  int64_t step = 0;
  bool partial = false;
  fs::path path;
};

// All checkpoints of a folder, whole or not, the newest step first.
Result<std::vector<Found>> list_checkpoints(const fs::path& folder) {
  std::vector<Found> found;
  std::error_code error;
  if (!fs::exists(folder, error)) return found;
  fs::directory_iterator entries(folder, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    std::string_view digits = name;
    if (!digits.starts_with(kPrefix)) continue;
    digits.remove_prefix(kPrefix.size());
    const bool partial = digits.ends_with(kPartialSuffix);
    if (partial) digits.remove_suffix(kPartialSuffix.size());
    Found one = {.partial = partial, .path = entries->path()};
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), one.step);
    if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) continue;
    found.push_back(std::move(one));
  }
  if (error) return fail(fmt::format("cannot list {}: {}", folder.string(), error.message()));
  std::ranges::sort(found, std::greater(), [](const Found& one) { return one.step; });
  return found;
}

Status sync_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = descriptor >= 0 && fsync(descriptor) == 0;
  const int error = errno;
  if (descriptor >= 0) close(descriptor);
  if (synced) return {};
  return fail(fmt::format("cannot flush {} to the disk: {}", folder.string(), strerror(error)));
}

Status remove_folder(const fs::path& folder) {
  std::error_code error;
  // Without its manifest it is no checkpoint, should the rest be interrupted.
  fs::remove(folder / kManifest, error);
  fs::remove_all(folder, error);
  if (!error) return {};
  return fail(fmt::format("cannot remove {}: {}", folder.string(), error.message()));
}

Result<WrittenFile> write_text(const fs::path& path, const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  MINKE_ASSIGN(OutputFile file, OutputFile::create(path.string()));
  MINKE_TRY(file.write(bytes));
  MINKE_TRY(file.commit());
  Sha256 hash;
  hash.update(bytes);
  return WrittenFile{.bytes = bytes.size(), .sha256 = hash.finish_hex()};
}

// Whether each file is as the manifest says.
Status verify(const fs::path& folder) {
  const std::string path = (folder / kManifest).string();
  MINKE_ASSIGN(const Json manifest, read_json_object(path));
  if (manifest.value("format", Json()) != kFormat) {
    return fail(fmt::format("{}: is no manifest of \"{}\"", path, kFormat));
  }
  const Json files = manifest.value("files", Json::object());
  for (const char* name : {kWeights, kOptimizer, kState}) {
    const std::string where = (folder / name).string();
    const Json expected = files.is_object() ? files.value(name, Json()) : Json();
    if (!expected.is_object()) return fail(fmt::format("{}: does not list {}", path, name));
    MINKE_ASSIGN(const MappedFile file, MappedFile::open(where));
    if (expected.value("bytes", Json()) != file.bytes().size()) {
      return fail(fmt::format("{}: has {} bytes, and the manifest says {}", where,
                              file.bytes().size(), expected.value("bytes", Json()).dump()));
    }
    Sha256 hash;
    hash.update(file.bytes());
    if (expected.value("sha256", Json()) != hash.finish_hex() || !file.is_intact()) {
      return fail(fmt::format("{}: its bytes are not those that were written", where));
    }
  }
  return {};
}

Json json_of(const CheckpointState& state) {
  return {
      {"step", state.step},
      {"data",
       {{"epoch", state.data.epoch}, {"example", state.data.example}, {"token", state.data.token}}},
      {"counters", state.counters},
      {"notes", state.notes}};
}

// A counting number under `key`, or nothing.
std::optional<int64_t> count_in(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
  const auto value = found->get<uint64_t>();
  return value <= INT64_MAX ? std::optional(static_cast<int64_t>(value)) : std::nullopt;
}

Result<CheckpointState> read_state(const std::string& path) {
  MINKE_ASSIGN(const Json json, read_json_object(path));
  const Json data = json.value("data", Json());
  const Json counters = json.value("counters", Json());
  const auto step = count_in(json, "step");
  if (!step || !data.is_object() || !counters.is_object()) {
    return fail(fmt::format("{}: expected step, data and counters", path));
  }
  CheckpointState state = {.step = *step, .notes = json.value("notes", Json::object())};
  const auto epoch = count_in(data, "epoch");
  const auto example = count_in(data, "example");
  const auto token = count_in(data, "token");
  if (!epoch || !example || !token) {
    return fail(fmt::format("{}: data is {}, expected epoch, example and token", path,
                            data.dump().substr(0, 100)));
  }
  state.data = {.epoch = *epoch, .example = *example, .token = *token};
  for (const auto& [name, count] : counters.items()) {
    if (!count.is_number_unsigned()) {
      return fail(fmt::format("{}: the counter {} is {}, expected a counting number", path, name,
                              count.dump().substr(0, 60)));
    }
    state.counters[name] = count.get<uint64_t>();
  }
  return state;
}

Result<Checkpoint> read_checkpoint(const fs::path& folder) {
  MINKE_TRY(verify(folder));
  Checkpoint made = {.folder = folder};
  MINKE_ASSIGN(made.state, read_state((folder / kState).string()));
  MINKE_ASSIGN(made.weights, Safetensors::open_file((folder / kWeights).string()));
  MINKE_ASSIGN(made.optimizer, Safetensors::open_file((folder / kOptimizer).string()));
  return made;
}

}  // namespace

Result<std::optional<Checkpoint>> load_latest_checkpoint(const fs::path& run) {
  MINKE_ASSIGN(const std::vector<Found> found, list_checkpoints(run / "checkpoints"));
  std::vector<std::string> warnings;
  for (const Found& one : found) {
    if (one.partial) continue;
    auto checkpoint = read_checkpoint(one.path);
    if (checkpoint) {
      checkpoint->warnings = std::move(warnings);
      return std::optional(*std::move(checkpoint));
    }
    warnings.push_back(fmt::format("the checkpoint of step {} cannot be used: {}", one.step,
                                   checkpoint.error().message));
  }
  if (warnings.empty()) return std::optional<Checkpoint>();
  return fail(fmt::format("{}: none of {} checkpoints is whole; of the newest, {}",
                          (run / "checkpoints").string(), warnings.size(), warnings.front()));
}

Status copy_tensor(const Safetensors& from, const std::string& name, const Shape& shape,
                   std::span<float> values) {
  CHECK_EQ(values.size(), static_cast<size_t>(shape.count()));
  const Safetensor* tensor = from.find(name);
  if (tensor == nullptr) return fail(fmt::format("the checkpoint has no tensor '{}'", name));
  if (tensor->type != SafetensorType::kF32 || tensor->shape != shape) {
    return fail(fmt::format("the checkpoint's tensor '{}' is {}{}, expected fp32 {}", name,
                            tensor->type == SafetensorType::kF32 ? "fp32 " : "of another type, ",
                            tensor->shape.str(), shape.str()));
  }
  std::memcpy(values.data(), tensor->data, tensor->bytes);
  return {};
}

Result<CheckpointWriter> CheckpointWriter::open(const fs::path& run, int keep) {
  CHECK_GE(keep, 1);
  const fs::path folder = run / "checkpoints";
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return fail(fmt::format("cannot make {}: {}", folder.string(), error.message()));
  const int lock = ::open((folder / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock < 0) {
    return fail(fmt::format("cannot open {}: {}", (folder / "lock").string(), strerror(errno)));
  }
  CheckpointWriter writer(folder, keep, lock);
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    return fail(fmt::format("{}: another minke trains into this folder", run.string()));
  }
  MINKE_TRY(writer.recover());
  return writer;
}

CheckpointWriter::CheckpointWriter(CheckpointWriter&& other) noexcept
    : folder_(std::move(other.folder_)),
      keep_(other.keep_),
      lock_(std::exchange(other.lock_, -1)) {}

CheckpointWriter::~CheckpointWriter() {
  if (lock_ >= 0) close(lock_);
}

Status CheckpointWriter::recover() const {
  MINKE_ASSIGN(const std::vector<Found> found, list_checkpoints(folder_));
  for (const Found& one : found) {
    if (one.partial && verify(one.path)) {
      // Only its name was wanting.
      MINKE_TRY(publish(one.path, one.step));
    } else if (one.partial || !fs::exists(one.path / kManifest)) {
      MINKE_TRY(remove_folder(one.path));
    }
  }
  return {};
}

Status CheckpointWriter::write_files(const fs::path& folder,
                                     std::span<const SafetensorView> weights,
                                     std::span<const SafetensorView> optimizer,
                                     const CheckpointState& state) const {
  std::error_code error;
  fs::create_directory(folder, error);
  if (error) return fail(fmt::format("cannot make {}: {}", folder.string(), error.message()));
  Json files = Json::object();
  const auto list = [&](const char* name, const WrittenFile& file) {
    files[name] = {{"bytes", file.bytes}, {"sha256", file.sha256}};
  };
  MINKE_ASSIGN(const WrittenFile written_weights,
               write_safetensors((folder / kWeights).string(), weights));
  list(kWeights, written_weights);
  MINKE_ASSIGN(const WrittenFile written_optimizer,
               write_safetensors((folder / kOptimizer).string(), optimizer));
  list(kOptimizer, written_optimizer);
  MINKE_ASSIGN(const WrittenFile written_state,
               write_text(folder / kState, json_of(state).dump(2) + "\n"));
  list(kState, written_state);
  const Json manifest = {{"format", kFormat}, {"step", state.step}, {"files", files}};
  MINKE_TRY(write_text(folder / kManifest, manifest.dump(2) + "\n"));
  return {};
}

// While the old one of the same step is removed the new one is whole under its first name, and
// recover() would find it.
Status CheckpointWriter::publish(const fs::path& partial, int64_t step) const {
  const fs::path target = folder_ / folder_name(step);
  std::error_code error;
  if (fs::exists(target, error)) MINKE_TRY(remove_folder(target));
  fs::rename(partial, target, error);
  if (error) {
    return fail(fmt::format("cannot rename {} to {}: {}", partial.string(), target.string(),
                            error.message()));
  }
  return sync_folder(folder_);
}

Status CheckpointWriter::prune(int64_t step) const {
  MINKE_ASSIGN(const std::vector<Found> found, list_checkpoints(folder_));
  int kept = 0;
  for (const Found& one : found) {
    if (one.step > step || one.partial || kept == keep_) {
      MINKE_TRY(remove_folder(one.path));
    } else {
      ++kept;
    }
  }
  return {};
}

Status CheckpointWriter::save(std::span<const SafetensorView> weights,
                              std::span<const SafetensorView> optimizer,
                              const CheckpointState& state) {
  CHECK_GE(state.step, 0);
  const fs::path partial = folder_ / (folder_name(state.step) + std::string(kPartialSuffix));
  Status written = write_files(partial, weights, optimizer, state);
  if (written) written = sync_folder(folder_);
  if (!written) {
    // Half of it would only take room on a disk that may be full.
    std::error_code ignored;
    fs::remove_all(partial, ignored);
    return fail(
        fmt::format("the checkpoint of step {} was not saved, and those before it are as "
                    "they were: {}",
                    state.step, written.error().message));
  }
  MINKE_TRY(publish(partial, state.step));
  return prune(state.step);
}

}  // namespace minke
