#include "engine/page_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <utility>

#include "core/check.h"

namespace minke {
namespace {

constexpr uint64_t kBlock = 4096;
constexpr std::array<char, 8> kFileMagic = {'m', 'i', 'n', 'k', 'e', 'K', 'V', '1'};
constexpr uint64_t kSlotMagic = 0x6d696e6b65706167;  // "minkepag"
constexpr size_t kFingerprintMax = 256;

struct FileHeader {
  std::array<char, 8> magic{};
  uint64_t page_bytes = 0;
  std::array<char, kFingerprintMax> fingerprint{};
};

struct SlotHeader {
  uint64_t magic = 0;
  PageKey key = 0;
  PageKey parent = 0;
  uint64_t stamp = 0;
  uint64_t data_checksum = 0;
  std::array<int32_t, kKvPageTokens> tokens{};
  uint64_t checksum = 0;  // of all before it
};
static_assert(sizeof(FileHeader) <= kBlock && sizeof(SlotHeader) <= kBlock);
static_assert(std::is_trivially_copyable_v<FileHeader> && std::is_trivially_copyable_v<SlotHeader>);

// A checksum of many bytes in a hurry: four chains of multiplications, then mixed. Against disks
// and cut writes, not against forgers.
uint64_t checksum_of(std::span<const std::byte> bytes) {
  constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15;
  std::array<uint64_t, 4> chain = {1, 2, 3, 4};
  size_t at = 0;
  for (; at + 32 <= bytes.size(); at += 32) {
    std::array<uint64_t, 4> words;
    std::memcpy(words.data(), bytes.data() + at, 32);
    for (size_t i = 0; i < 4; ++i) {
      chain[i] = (chain[i] ^ words[i]) * kMultiplier;
      chain[i] ^= chain[i] >> 29;
    }
  }
  uint64_t sum = bytes.size();
  for (const uint64_t one : chain) sum = (sum ^ one) * kMultiplier, sum ^= sum >> 32;
  for (; at < bytes.size(); ++at) {
    sum = (sum ^ static_cast<uint64_t>(bytes[at])) * kMultiplier;
    sum ^= sum >> 32;
  }
  return sum;
}

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

bool is_blank(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte one) { return one == std::byte{0}; });
}

uint64_t checksum_of_header(const SlotHeader& header) {
  return checksum_of(bytes_of(header).first(offsetof(SlotHeader, checksum)));
}

Error system_error(const std::string& path, const char* what) {
  return {.message = fmt::format("{}: {}: {}", path, what, std::strerror(errno))};
}

Status write_all(int descriptor, std::span<const std::byte> bytes, uint64_t offset,
                 const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t put =
        ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return std::unexpected(system_error(path, "cannot write the prompt cache"));
    bytes = bytes.subspan(static_cast<size_t>(put));
    offset += static_cast<uint64_t>(put);
  }
  return {};
}

// False at the end of the file and on errors.
bool read_all(int descriptor, std::span<std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t got = ::pread(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  return true;
}

}  // namespace

PageKey page_key(PageKey parent, std::span<const int32_t> tokens) {
  const uint64_t key = checksum_of(bytes_of(parent)) ^ checksum_of(std::as_bytes(tokens));
  const uint64_t mixed = (key ^ key >> 31) * 0xbf58476d1ce4e5b9;
  return mixed == kNoPage ? 1 : mixed;
}

PageFile::PageFile(Options options, int descriptor)
    : options_(std::move(options)),
      descriptor_(descriptor),
      slot_bytes_(kBlock + (options_.page_bytes + kBlock - 1) / kBlock * kBlock) {}

PageFile::~PageFile() { ::close(descriptor_); }

Result<std::unique_ptr<PageFile>> PageFile::open(Options options) {
  CHECK_GT(options.page_bytes, size_t{0});
  CHECK_LE(options.fingerprint.size(), kFingerprintMax);
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(options.path).parent_path(), error);
  const int descriptor = ::open(options.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    return std::unexpected(system_error(options.path, "cannot open the prompt cache"));
  }
  std::unique_ptr<PageFile> file(new PageFile(std::move(options), descriptor));
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    return fail(fmt::format("{}: another process keeps its prompts there", file->options_.path));
  }
  struct stat status{};
  if (::fstat(descriptor, &status) != 0) {
    return std::unexpected(system_error(file->options_.path, "cannot open the prompt cache"));
  }
  MINKE_TRY(file->read_headers(static_cast<uint64_t>(status.st_size)));
  return file;
}

uint64_t PageFile::slot_offset(size_t slot) const { return kBlock + slot * slot_bytes_; }

Status PageFile::begin_anew() {
  slots_.clear();
  slots_by_key_.clear();
  free_.clear();
  FileHeader header{.magic = kFileMagic, .page_bytes = options_.page_bytes, .fingerprint = {}};
  std::ranges::copy(options_.fingerprint, header.fingerprint.begin());
  if (::ftruncate(descriptor_, 0) != 0) {
    return std::unexpected(system_error(options_.path, "cannot begin the prompt cache anew"));
  }
  return write_all(descriptor_, bytes_of(header), 0, options_.path);
}

Status PageFile::read_headers(uint64_t file_bytes) {
  FileHeader header;
  const bool is_whole = read_all(descriptor_, std::as_writable_bytes(std::span(&header, 1)), 0);
  FileHeader expected{.magic = kFileMagic, .page_bytes = options_.page_bytes, .fingerprint = {}};
  std::ranges::copy(options_.fingerprint, expected.fingerprint.begin());
  damage_.whole_file = file_bytes > 0 && (!is_whole || header.magic != expected.magic);
  if (!is_whole || header.magic != expected.magic || header.page_bytes != expected.page_bytes ||
      header.fingerprint != expected.fingerprint) {
    return begin_anew();
  }
  // Bounded by the file that is there, and by what it may be. The last slot ends with its page.
  const uint64_t bytes = std::min(file_bytes, options_.bytes_max);
  const uint64_t count = (bytes - std::min(bytes, kBlock) + slot_bytes_ - 1) / slot_bytes_;
  slots_.resize(count);
  for (size_t slot = 0; slot < count; ++slot) {
    SlotHeader one;
    const bool is_there =
        read_all(descriptor_, std::as_writable_bytes(std::span(&one, 1)), slot_offset(slot));
    const bool is_valid = one.magic == kSlotMagic && one.checksum == checksum_of_header(one);
    const bool is_good = is_there && is_valid && one.key == page_key(one.parent, one.tokens) &&
                         !slots_by_key_.contains(one.key);
    if (!is_good) {
      // A page that was being written has no header yet, and one that was given up has an empty
      // one.
      if (is_there && !is_valid && !is_blank(bytes_of(one))) ++damage_.pages;
      free_.push_back(slot);
      continue;
    }
    slots_[slot] = {
        .page = {.key = one.key, .parent = one.parent, .stamp = one.stamp, .tokens = one.tokens},
        .data_checksum = one.data_checksum};
    slots_by_key_[one.key] = slot;
    last_stamp_ = std::max(last_stamp_, one.stamp);
  }
  return {};
}

std::vector<PageFile::Page> PageFile::pages() const {
  // Pages whose beginnings are lost are of no use.
  std::unordered_map<PageKey, bool> is_rooted;
  const auto rooted = [&](PageKey key) {
    std::vector<PageKey> path;
    bool result = false;
    while (true) {
      if (key == kNoPage) {
        result = true;
        break;
      }
      if (const auto known = is_rooted.find(key); known != is_rooted.end()) {
        result = known->second;
        break;
      }
      const auto slot = slots_by_key_.find(key);
      if (slot == slots_by_key_.end() || path.size() > slots_.size()) break;
      path.push_back(key);
      key = slots_[slot->second].page.parent;
    }
    for (const PageKey one : path) is_rooted[one] = result;
    return result;
  };
  std::vector<Page> all;
  for (const auto& [key, slot] : slots_by_key_) {
    if (rooted(key)) all.push_back(slots_[slot].page);
  }
  return all;
}

void PageFile::forget(size_t slot) {
  slots_by_key_.erase(slots_[slot].page.key);
  slots_[slot] = {};
  free_.push_back(slot);
}

Status PageFile::read(PageKey key, std::span<std::byte> page) {
  CHECK_EQ(page.size(), options_.page_bytes);
  const auto found = slots_by_key_.find(key);
  if (found == slots_by_key_.end()) return fail("the page is not in the prompt cache");
  const size_t slot = found->second;
  if (read_all(descriptor_, page, slot_offset(slot) + kBlock) &&
      checksum_of(page) == slots_[slot].data_checksum) {
    return {};
  }
  forget(slot);
  ++damage_.pages;
  return fail(fmt::format("{}: a page is not what was written", options_.path));
}

// A free slot, one more at the end, or that of the page that was used longest ago. None: SIZE_MAX.
Result<size_t> PageFile::slot_for(const Page& page) {
  if (!free_.empty()) {
    const size_t slot = free_.back();
    free_.pop_back();
    return slot;
  }
  if (slot_offset(slots_.size() + 1) <= options_.bytes_max) {
    slots_.emplace_back();
    return slots_.size() - 1;
  }
  const auto oldest =
      std::ranges::min_element(slots_, {}, [](const Slot& slot) { return slot.page.stamp; });
  if (oldest == slots_.end() || oldest->page.stamp >= page.stamp) {
    return std::numeric_limits<size_t>::max();
  }
  const auto slot = static_cast<size_t>(oldest - slots_.begin());
  // Its header goes first: bytes of one page must never stand under the name of another. The
  // checksum would tell, but a page that is lost in a crash is better lost at once.
  slots_by_key_.erase(slots_[slot].page.key);
  slots_[slot] = {};
  MINKE_TRY(write_header(slot));
  return slot;
}

Status PageFile::write_header(size_t slot) {
  const Page& page = slots_[slot].page;
  SlotHeader header{.magic = kSlotMagic,
                    .key = page.key,
                    .parent = page.parent,
                    .stamp = page.stamp,
                    .data_checksum = slots_[slot].data_checksum,
                    .tokens = page.tokens};
  header.checksum = checksum_of_header(header);
  return write_all(descriptor_, bytes_of(header), slot_offset(slot), options_.path);
}

Result<bool> PageFile::write(const Page& page, std::span<const std::byte> bytes) {
  CHECK_EQ(bytes.size(), options_.page_bytes);
  CHECK_EQ(page.key, page_key(page.parent, page.tokens));
  if (has(page.key)) return true;
  MINKE_ASSIGN(const size_t slot, slot_for(page));
  if (slot == std::numeric_limits<size_t>::max()) return false;
  const Status written = write_all(descriptor_, bytes, slot_offset(slot) + kBlock, options_.path);
  if (!written) {
    free_.push_back(slot);
    return std::unexpected(written.error());
  }
  slots_[slot] = {.page = page, .data_checksum = checksum_of(bytes)};
  slots_by_key_[page.key] = slot;
  last_stamp_ = std::max(last_stamp_, page.stamp);
  MINKE_TRY(write_header(slot));
  return true;
}

Status PageFile::touch(PageKey key, uint64_t stamp) {
  const auto found = slots_by_key_.find(key);
  if (found == slots_by_key_.end() || slots_[found->second].page.stamp >= stamp) return {};
  slots_[found->second].page.stamp = stamp;
  last_stamp_ = std::max(last_stamp_, stamp);
  return write_header(found->second);
}

}  // namespace minke
