// GGUF files (versions 2 and 3, whole or split): metadata and tensors, read in place.
//
// GgufFile owns read-only mappings of its parts. Every string_view, span and data pointer that it
// hands out points into them and lives as long as the GgufFile (moving it keeps them valid).
// Immutable after open, so all const functions are safe from any thread.
//
// The bytes are hostile: each count, length, type, offset and alignment is checked against what
// the file has left before it is believed, and no allocation is larger than a small multiple of
// the bytes already seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/memory.h"
#include "core/result.h"
#include "core/tensor.h"
#include "io/mmap.h"
#include "quant/format.h"

namespace minke {

// Value types of the metadata, by GGUF's numbers.
enum class GgufType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};
const char* gguf_type_name(GgufType type);  // "uint32"

// An array in the file. Numbers stay as the file's bytes (unaligned) until asked for.
struct GgufArray {
  GgufType element = GgufType::kUint8;
  uint64_t count = 0;
  std::span<const std::byte> bytes;       // of the elements, for numbers and booleans
  std::vector<std::string_view> strings;  // when element is kString
  // Arrays of arrays are walked and checked but not kept: no model uses them.

  bool is_integer() const;
  bool is_float() const;
  int64_t integer(uint64_t index) const;  // element must be an integer or a boolean
  double number(uint64_t index) const;    // any element but strings and arrays
};

struct GgufValue {
  GgufType type = GgufType::kUint8;
  std::variant<uint64_t, int64_t, double, bool, std::string_view, GgufArray> value;

  // One line for people: 32, 1e-06, "qwen2", [string x 151936: "!", "\"", ...].
  std::string str(size_t chars_max = 100) const;
};

struct GgufEntry {
  std::string_view key;
  GgufValue value;
};

struct GgufTensor {
  std::string_view name;
  QuantType type = QuantType::kF32;
  Shape shape;                      // outermost first: GGUF's dimensions reversed
  const std::byte* data = nullptr;  // nullptr only under allow_truncated_data, when cut off
  size_t bytes = 0;
  int part = 0;         // index of the file of a split that holds it
  uint64_t offset = 0;  // of data in that file
  // Of what lies elsewhere in another form (GgufFile::assemble): writes the rows from `first_row`
  // on that fill `out`, a whole number of them. There is no data then. From any thread.
  std::function<Status(int64_t first_row, std::span<std::byte> out)> make;

  bool is_whole() const { return data != nullptr || make != nullptr; }
};

// A tensor's bytes, and their memory where they had to be made.
struct GgufBytes {
  const std::byte* data = nullptr;
  Buffer storage;
};

struct GgufOptions {
  // A file whose header is whole and whose data is cut short opens, and the tensors that are not
  // whole have no data: for looking at the header of a download under way. Missing siblings of a
  // split are still an error.
  bool allow_truncated_data = false;
};

class GgufFile {
 public:
  // Any part of a split file opens the whole split.
  static Result<GgufFile> open(const std::string& path, GgufOptions options = {});
  // A single-part file in memory, which must outlive the GgufFile; `name` stands in messages.
  static Result<GgufFile> parse(std::span<const std::byte> bytes, std::string name,
                                GgufOptions options = {});

  // Another checkpoint as a GGUF file would hold it: `header` is such a file's, up to its first
  // tensor, and `attach` gives each tensor its data, which lies in `maps`, or its `make`.
  static Result<GgufFile> assemble(std::vector<std::byte> header, std::string name,
                                   std::vector<MappedFile> maps,
                                   const std::function<Status(GgufTensor&)>& attach);

  const std::string& path() const { return paths_.front(); }  // of the first part
  std::span<const std::string> paths() const { return paths_; }
  uint32_t version() const { return version_; }
  bool is_assembled() const { return header_ != nullptr; }
  uint64_t file_bytes() const { return file_bytes_; }  // all parts together

  // Metadata in the file's order (of the first part, for a split).
  std::span<const GgufEntry> metadata() const { return metadata_; }
  const GgufValue* find_value(std::string_view key) const;
  bool has(std::string_view key) const { return find_value(key) != nullptr; }

  // The getters fail when the key is missing or its value is of another kind, and say so. An
  // integer of any width is an integer (too large for int64_t: an error); number() takes floats
  // and integers.
  Result<int64_t> integer(std::string_view key) const;
  Result<double> number(std::string_view key) const;
  Result<std::string_view> text(std::string_view key) const;
  Result<bool> boolean(std::string_view key) const;
  Result<std::span<const std::string_view>> strings(std::string_view key) const;
  Result<std::vector<int64_t>> integers(std::string_view key) const;
  Result<std::vector<float>> floats(std::string_view key) const;

  // The value in `fallback` when the key is missing; still an error when it is of another kind.
  Result<int64_t> integer_or(std::string_view key, int64_t fallback) const;
  Result<double> number_or(std::string_view key, double fallback) const;
  Result<std::string_view> text_or(std::string_view key, std::string_view fallback) const;
  Result<bool> boolean_or(std::string_view key, bool fallback) const;

  // What people call the model: general.name without a "GGUF" or "AWQ" behind it, which is about
  // some file of it; where there is none, the name of this file without its ending.
  Result<std::string> model_name() const;

  std::span<const GgufTensor> tensors() const { return tensors_; }
  const GgufTensor* find(std::string_view name) const;

  // The tensor's bytes, made where they do not lie in the file; for one that is whole.
  static Result<GgufBytes> bytes_of(const GgufTensor& tensor);

  // Fails once a part was cut short by another program, or its disk failed: what was read since
  // then is zeros. Whoever has read from tensors or metadata asks before using what he read.
  Status check_intact() const;

  // Advice to the kernel about a tensor's pages: read them soon; they may be given back (the data
  // stays valid and is read again from the file when touched). Only pages that belong to the
  // tensor alone are given back; of a part of it, those that belong to the part alone.
  void will_need(const GgufTensor& tensor) const;
  void drop_pages(const GgufTensor& tensor) const { drop_pages(tensor, tensor.data, tensor.bytes); }
  void drop_pages(const GgufTensor& tensor, const std::byte* from, size_t bytes) const;

 private:
  friend class GgufLoader;
  GgufFile() = default;
  Result<const GgufValue*> require(std::string_view key) const;
  std::unexpected<Error> wrong_kind(std::string_view key, const GgufValue& value,
                                    std::string_view expected) const;

  std::vector<std::string> paths_;
  std::vector<MappedFile> maps_;                          // empty after parse()
  std::shared_ptr<const std::vector<std::byte>> header_;  // after assemble()
  uint32_t version_ = 0;
  uint64_t file_bytes_ = 0;
  std::vector<GgufEntry> metadata_;
  std::vector<size_t> entries_by_key_;  // sorted: hostile keys cannot make look-ups slow
  std::vector<GgufTensor> tensors_;
  std::vector<size_t> tensors_by_name_;
};

}  // namespace minke
