#include "train/data/text_file.h"

#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include "core/check.h"

namespace minke {
namespace {

constexpr std::string_view kWhite = " \t\r\n";

// A file that is removed when the guard goes; a mapping of it stays readable.
struct TemporaryFile {
  std::string path;
  std::FILE* stream = nullptr;
  TemporaryFile() = default;
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (stream != nullptr) std::fclose(stream);
    if (!path.empty()) unlink(path.c_str());
  }
};

Status unpack(const std::string& path, TemporaryFile& into) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> packed(gzopen(path.c_str(), "rb"), gzclose);
  if (packed == nullptr) return fail(fmt::format("cannot open {}: {}", path, strerror(errno)));
  gzbuffer(packed.get(), 1U << 18);
  std::vector<char> block(size_t{1} << 20);
  while (true) {
    const int got = gzread(packed.get(), block.data(), static_cast<unsigned>(block.size()));
    int error = Z_OK;
    const char* why = gzerror(packed.get(), &error);
    // A file that ends early is told with the bytes that came before.
    if (got < 0 || error != Z_OK) {
      return fail(fmt::format("{}: is no whole gzip file ({}); is the download complete?", path,
                              error == Z_ERRNO ? strerror(errno) : why));
    }
    if (got == 0) break;
    const auto bytes = static_cast<size_t>(got);
    if (std::fwrite(block.data(), 1, bytes, into.stream) != bytes) break;
  }
  if (std::ferror(into.stream) == 0 && std::fflush(into.stream) == 0) return {};
  return fail(fmt::format("cannot unpack {} into {}: {}", path, into.path, strerror(errno)));
}

Result<MappedFile> open_packed(const std::string& path) {
  TemporaryFile file;
  std::error_code error;
  const auto folder = std::filesystem::temp_directory_path(error);
  std::string name = ((error ? "/tmp" : folder) / "minke-data-XXXXXX").string();
  const int descriptor = mkstemp(name.data());
  if (descriptor < 0) {
    return fail(
        fmt::format("cannot make a temporary file for {} at {}: {}", path, name, strerror(errno)));
  }
  file.path = name;
  file.stream = fdopen(descriptor, "wb");
  CHECK(file.stream != nullptr);
  MINKE_TRY(unpack(path, file));
  return MappedFile::open(file.path);
}

}  // namespace

Result<TextFile> TextFile::open(const std::string& path, int64_t block_bytes) {
  CHECK_GT(block_bytes, 0);
  std::string_view name = path;
  const bool packed = name.ends_with(".gz");
  if (packed) name.remove_suffix(3);
  auto mapped = packed ? open_packed(path) : MappedFile::open(path);
  if (!mapped) return std::unexpected(std::move(mapped).error());
  TextFile file(*std::move(mapped));
  file.path_ = path;
  if (name.ends_with(".jsonl") || name.ends_with(".ndjson")) {
    file.kind_ = Kind::kJsonLines;
    file.index_lines();
  } else if (name.ends_with(".json")) {
    return misuse(fmt::format("{}: is a .json file, expected .jsonl: one object a line", path));
  } else {
    file.index_blocks(static_cast<size_t>(block_bytes));
  }
  return file;
}

std::string_view TextFile::text() const {
  const auto bytes = file_.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void TextFile::index_lines() {
  const std::string_view all = text();
  for (size_t begin = 0; begin < all.size();) {
    const size_t end = std::min(all.find('\n', begin), all.size());
    if (all.substr(begin, end - begin).find_first_not_of(kWhite) != std::string_view::npos) {
      begins_.push_back(begin);
    }
    begin = end + 1;
  }
}

void TextFile::index_blocks(size_t block_bytes) {
  const std::string_view all = text();
  for (size_t begin = 0; begin < all.size();) {
    const std::string_view rest = all.substr(begin);
    if (rest.find_first_not_of(kWhite) == std::string_view::npos) break;
    begins_.push_back(begin);
    if (rest.size() <= 2 * block_bytes) break;
    // Within the next block or not at all: a text without lines is cut where a character begins.
    const std::string_view window = rest.substr(0, 2 * block_bytes);
    size_t end = window.find("\n\n", block_bytes);
    end = end == std::string_view::npos ? window.find('\n', block_bytes) : end + 1;
    if (end != std::string_view::npos) {
      ++end;
    } else {
      end = window.size();
      while (end > block_bytes && (static_cast<uint8_t>(rest[end]) & 0xc0) == 0x80) --end;
    }
    begin += end;
  }
}

std::string_view TextFile::record(int64_t index) const {
  CHECK(index >= 0 && index < records());
  const auto at = static_cast<size_t>(index);
  const std::string_view all = text();
  const size_t next = at + 1 < begins_.size() ? begins_[at + 1] : all.size();
  std::string_view found = all.substr(begins_[at], next - begins_[at]);
  // Up to the line's end: empty lines may follow it.
  if (kind_ == Kind::kJsonLines) found = found.substr(0, found.find('\n'));
  return found;
}

int64_t TextFile::line_of(int64_t index) const {
  CHECK(index >= 0 && index < records());
  const std::string_view before = text().substr(0, begins_[static_cast<size_t>(index)]);
  return 1 + std::ranges::count(before, '\n');
}

}  // namespace minke
