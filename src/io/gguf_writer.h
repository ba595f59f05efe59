// Writes GGUF v3 files as a stream: metadata, then the table of tensors, then their data in the
// order of the table, so that memory is bounded by what the caller hands over at a time.
//
// The bytes go to `path` + ".partial", which becomes `path` only in finish(), after fsync: a file
// that has its name is whole. A writer that is destroyed unfinished removes its partial file.
// One thread at a time.
//
//   MINKE_ASSIGN(auto writer, GgufWriter::create(path));
//   writer.set_text("general.architecture", "llama");
//   writer.add_tensor("output.weight", QuantType::kQ8_0, {vocab, dim});
//   MINKE_TRY(writer.begin_data());
//   MINKE_TRY(writer.write(blocks));   // as often as needed, tensor by tensor
//   MINKE_TRY(writer.finish());
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/tensor.h"
#include "io/file.h"
#include "io/gguf.h"
#include "quant/format.h"

namespace minke {

class GgufWriter {
 public:
  static constexpr uint64_t kAlignment = 32;

  static Result<GgufWriter> create(const std::string& path);
  // Without a file: for what header() makes.
  static GgufWriter without_file() { return GgufWriter(std::nullopt); }

  // Metadata in the order of the calls; a key may be set once (CHECK).
  void set_uint32(std::string_view key, uint32_t value);
  void set_int32(std::string_view key, int32_t value);
  void set_uint64(std::string_view key, uint64_t value);
  void set_float32(std::string_view key, float value);
  void set_boolean(std::string_view key, bool value);
  void set_text(std::string_view key, std::string_view value);
  void set_texts(std::string_view key, std::span<const std::string> values);
  void set_int32s(std::string_view key, std::span<const int32_t> values);
  void set_float32s(std::string_view key, std::span<const float> values);
  // A value read from another file, byte for byte (general.alignment is left out: it is ours).
  void set_value(std::string_view key, const GgufValue& value);

  // Outermost dimension first; the last must be a multiple of the type's block size (CHECK).
  void add_tensor(std::string_view name, QuantType type, const Shape& shape);

  // Metadata and table as they stand in the file, from its first byte to the first tensor.
  std::vector<std::byte> header();
  // Ends the metadata and the table.
  Status begin_data();
  // The next bytes of the tensors' data, in the table's order; padding between tensors is added
  // here. One call may not cross from one tensor into the next (CHECK).
  Status write(std::span<const std::byte> bytes);
  // All tensors must be whole (CHECK).
  Status finish();

  // Valid after header() or begin_data(): bytes of the finished file, and where the data of a
  // tensor (by the order of add_tensor) begins in it.
  uint64_t bytes_total() const;
  uint64_t data_offset(size_t tensor) const;

 private:
  struct Entry {
    std::string name;
    QuantType type;
    Shape shape;
    uint64_t bytes;
    uint64_t offset;
  };
  explicit GgufWriter(std::optional<OutputFile> file) : file_(std::move(file)) {}
  void begin_value(std::string_view key, GgufType type);
  void begin_array(std::string_view key, GgufType element, uint64_t count);
  void append(const void* bytes, size_t count);
  void append_text(std::string_view value);

  std::optional<OutputFile> file_;
  std::vector<std::string> keys_;
  std::vector<std::byte> metadata_;
  std::vector<Entry> tensors_;
  size_t current_ = 0;       // tensor being written
  uint64_t written_ = 0;     // of the current tensor
  uint64_t data_start_ = 0;  // 0 until begin_data()
  uint64_t data_bytes_ = 0;
};

}  // namespace minke
