// Pages of the KV cache that outlive the process: a file of equal slots, each a page with the
// tokens that it stands for and the page before it, so that whoever starts again with the same
// tokens finds them read.
//
//   file: header block, then slots; a slot: header block, then the page's bytes, to whole blocks
//   header block of the file: "minkeKV1", layout of a page and name of the model (its fingerprint)
//   header block of a slot:   key, parent's key, stamp, tokens, and checksums of itself and the
//   page
//
// A page's key is a hash of its tokens and its parent's key, so of everything that its keys and
// values depend on. Nothing is trusted: a slot whose checksums are wrong (a write that was cut, a
// bad disk) is free, and a file of another model or layout is begun anew. Slots that were used
// longest ago are overwritten when the file may not grow.
//
// Threads: one at a time. Processes: the first has the file (open() says so to others).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/result.h"
#include "kernels/kv_store.h"

namespace minke {

using PageKey = uint64_t;
inline constexpr PageKey kNoPage = 0;  // the parent of a sequence's first page

PageKey page_key(PageKey parent, std::span<const int32_t> tokens);

class PageFile {
 public:
  struct Options {
    std::string path;
    std::string fingerprint;  // of the model and of how its pages are laid out
    size_t page_bytes = 0;
    uint64_t bytes_max = 0;
  };
  // Reads the headers of what is there. Folders are made; only the user may read the file.
  static Result<std::unique_ptr<PageFile>> open(Options options);
  ~PageFile();
  PageFile(const PageFile&) = delete;
  PageFile& operator=(const PageFile&) = delete;

  struct Page {
    PageKey key = kNoPage;
    PageKey parent = kNoPage;
    uint64_t stamp = 0;  // of its last use: higher is later
    std::array<int32_t, kKvPageTokens> tokens{};
  };
  // All that are there and whose parents are, in any order.
  std::vector<Page> pages() const;
  bool has(PageKey key) const { return slots_by_key_.contains(key); }
  uint64_t last_stamp() const { return last_stamp_; }
  // What was there and is no more: pages that were not what was written, or all of them, where the
  // file was none of ours. An unfinished write of a process that was killed is no damage.
  struct Damage {
    int64_t pages = 0;
    bool whole_file = false;
  };
  const Damage& damage() const { return damage_; }
  const std::string& path() const { return options_.path; }

  // The page's bytes; an error when they are not what was written, and then it is no longer there.
  Status read(PageKey key, std::span<std::byte> page);
  // False: there is no room and nothing older than it.
  Result<bool> write(const Page& page, std::span<const std::byte> bytes);
  // It was used again.
  Status touch(PageKey key, uint64_t stamp);

 private:
  struct Slot {
    Page page;  // key kNoPage: free
    uint64_t data_checksum = 0;
  };
  PageFile(Options options, int descriptor);

  Status read_headers(uint64_t file_bytes);
  Status begin_anew();
  Status write_header(size_t slot);
  Result<size_t> slot_for(const Page& page);
  uint64_t slot_offset(size_t slot) const;
  void forget(size_t slot);

  const Options options_;
  const int descriptor_;
  const uint64_t slot_bytes_;
  std::vector<Slot> slots_;
  std::unordered_map<PageKey, size_t> slots_by_key_;
  std::vector<size_t> free_;
  uint64_t last_stamp_ = 0;
  Damage damage_;
};

}  // namespace minke
