#include "server/chat/timeline_file.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>

#include "io/file.h"
#include "io/sha256.h"

namespace minke::server {
namespace {

constexpr std::string_view kMagic = "minkeTL1";
constexpr size_t kDigestBytes = 64;  // in hexadecimal
constexpr uint64_t kFileBytesMax = uint64_t{256} << 20;

std::string digest_of(std::string_view bytes) {
  Sha256 digest;
  digest.update(std::as_bytes(std::span(bytes)));
  return digest.finish_hex();
}

void put_number(std::string& out, uint64_t number) {
  for (int shift = 0; shift < 64; shift += 8) out += static_cast<char>(number >> shift & 0xFF);
}

// Takes a file apart; everything after the first fault is nothing.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  std::optional<uint64_t> number() {
    if (rest_.size() < 8) return std::nullopt;
    uint64_t number = 0;
    for (size_t i = 0; i < 8; ++i) {
      number |= uint64_t{static_cast<uint8_t>(rest_[i])} << (8 * i);
    }
    rest_.remove_prefix(8);
    return number;
  }
  // A number of things that are `bytes` each, and fit.
  std::optional<uint64_t> count(size_t bytes) {
    const auto n = number();
    return n && *n <= rest_.size() / bytes ? n : std::nullopt;
  }
  std::optional<std::string> text() {
    const auto size = count(1);
    if (!size) return std::nullopt;
    std::string out(rest_.substr(0, *size));
    rest_.remove_prefix(*size);
    return out;
  }

 private:
  std::string_view rest_;
};

std::optional<std::pair<uint64_t, ChatTimeline>> read_one(Reader& reader) {
  const auto mark = reader.number();
  auto text = reader.text();
  const auto tokens = reader.count(8);
  if (!mark || !text || !tokens) return std::nullopt;
  ChatTimeline timeline;
  timeline.text = *std::move(text);
  for (uint64_t i = 0; i < *tokens; ++i) {
    timeline.tokens.push_back(static_cast<int32_t>(*reader.number()));
  }
  const auto cuts = reader.count(16);
  if (!cuts) return std::nullopt;
  for (uint64_t i = 0; i < *cuts; ++i) {
    const auto bytes = reader.number();
    const auto before = reader.number();
    if (*bytes > timeline.text.size() || *before > timeline.tokens.size()) return std::nullopt;
    timeline.cuts.push_back({.bytes = *bytes, .tokens = *before});
  }
  return std::pair(*mark, std::move(timeline));
}

}  // namespace

Status store_timelines(const Timelines& timelines, const std::string& path) {
  std::string bytes(kMagic);
  const auto all = timelines.all();
  put_number(bytes, all.size());
  for (const auto& [mark, timeline] : all) {
    put_number(bytes, mark);
    put_number(bytes, timeline.text.size());
    bytes += timeline.text;
    put_number(bytes, timeline.tokens.size());
    for (const int32_t token : timeline.tokens) put_number(bytes, static_cast<uint64_t>(token));
    put_number(bytes, timeline.cuts.size());
    for (const ChatTimeline::Cut& cut : timeline.cuts) {
      put_number(bytes, cut.bytes);
      put_number(bytes, cut.tokens);
    }
  }
  bytes += digest_of(bytes);
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  const mode_t before = ::umask(0077);
  Result<OutputFile> file = OutputFile::create(path);
  ::umask(before);
  if (!file) return std::unexpected(file.error());
  MINKE_TRY(file->write(std::as_bytes(std::span(bytes))));
  return file->commit();
}

Status load_timelines(Timelines& timelines, const std::string& path) {
  std::error_code error;
  const uint64_t file_bytes = std::filesystem::file_size(path, error);
  if (error) return {};
  const auto damaged = [&] {
    return fail(fmt::format("{}: the file was damaged: conversations are tokenised again", path));
  };
  if (file_bytes > kFileBytesMax) return damaged();
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  if (bytes.size() < kMagic.size() + 8 + kDigestBytes || !bytes.starts_with(kMagic)) {
    return damaged();
  }
  const std::string_view body = std::string_view(bytes).substr(0, bytes.size() - kDigestBytes);
  if (digest_of(body) != std::string_view(bytes).substr(body.size())) return damaged();
  Reader reader(body.substr(kMagic.size()));
  const auto count = reader.count(8);
  if (!count) return damaged();
  std::vector<std::pair<uint64_t, ChatTimeline>> all;
  for (uint64_t i = 0; i < *count; ++i) {
    auto one = read_one(reader);
    if (!one) return damaged();
    all.push_back(*std::move(one));
  }
  // Latest first, as they were written: so the latest comes last again.
  for (size_t i = all.size(); i-- > 0;) {
    timelines.restore(all[i].first, std::move(all[i].second));
  }
  return {};
}

}  // namespace minke::server
