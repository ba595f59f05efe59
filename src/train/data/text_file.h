// A file of training data as records: the lines of a JSONL file, or blocks of a plain text, read in
// place. A .gz is unpacked into a temporary file that has no name any more. What stays in memory is
// one offset a record. Immutable; safe from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "io/mmap.h"

namespace minke {

class TextFile {
 public:
  enum class Kind : uint8_t { kJsonLines, kText };

  // .jsonl and .ndjson are JSON lines, all else is text; each also with .gz behind it. A text is
  // cut at the first empty line, or else line, behind every `block_bytes`.
  static Result<TextFile> open(const std::string& path, int64_t block_bytes);

  Kind kind() const { return kind_; }
  const std::string& path() const { return path_; }
  // Lines of nothing but white space do not count.
  int64_t records() const { return static_cast<int64_t>(begins_.size()); }
  std::string_view record(int64_t index) const;
  // Where the record begins, from 1. Reads the file up to there: for messages.
  int64_t line_of(int64_t index) const;
  // Whether all that was read came from the file (MappedFile::is_intact).
  bool is_intact() const { return file_.is_intact(); }

 private:
  explicit TextFile(MappedFile file) : file_(std::move(file)) {}
  std::string_view text() const;
  void index_lines();
  void index_blocks(size_t block_bytes);

  std::string path_;
  MappedFile file_;
  Kind kind_ = Kind::kText;
  std::vector<uint64_t> begins_;
};

}  // namespace minke
