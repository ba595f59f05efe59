#include "engine/model_fingerprint.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <span>
#include <vector>

#include "io/sha256.h"

namespace minke {
namespace fs = std::filesystem;
namespace {

// Raised when a definition in docs/numerics.md changes: what was kept is then computed anew.
constexpr int kDefinition = 1;
constexpr size_t kSampleBytes = size_t{64} << 10;
constexpr uint64_t kSamples = 32;

// All of a file would take as long to read as the model takes to load; these samples and the time
// tell files apart that people have.
void add_samples(Sha256& digest, const fs::path& path, uint64_t size) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> sample(kSampleBytes);
  for (uint64_t i = 0; i < kSamples; ++i) {
    const uint64_t last = size - std::min<uint64_t>(size, kSampleBytes);
    file.clear();
    file.seekg(static_cast<std::streamoff>(last / (kSamples - 1) * i));
    file.read(sample.data(), static_cast<std::streamsize>(sample.size()));
    digest.update(std::as_bytes(std::span(sample)).first(static_cast<size_t>(file.gcount())));
  }
}

}  // namespace

Result<std::string> model_fingerprint(const std::string& path, const std::string& adapter,
                                      const KvSpec& spec) {
  std::error_code error;
  std::vector<fs::path> files;
  if (fs::is_directory(path, error)) {
    for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
      files.push_back(entry.path());
    }
    std::ranges::sort(files);
  } else {
    files.emplace_back(path);
  }
  if (!adapter.empty()) files.emplace_back(adapter);
  Sha256 digest;
  for (const fs::path& file : files) {
    const uint64_t size = fs::file_size(file, error);
    if (error) continue;  // a folder inside
    const auto written = fs::last_write_time(file, error).time_since_epoch().count();
    const std::string line = fmt::format("{} {} {}\n", file.filename().string(), size, written);
    digest.update(std::as_bytes(std::span(line)));
    add_samples(digest, file, size);
  }
  if (files.empty())
    return fail(fmt::format("{}: there is nothing to take a fingerprint of", path));
  const std::string layout =
      fmt::format("{} {} {} {} {} {} {}", kDefinition, kKvPageTokens, spec.layers, spec.kv_heads,
                  spec.head_dim, kv_dtype_name(spec.dtype), spec.shared_values);
  digest.update(std::as_bytes(std::span(layout)));
  return digest.finish_hex();
}

}  // namespace minke
