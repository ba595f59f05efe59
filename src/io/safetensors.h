// Checkpoints of Hugging Face: one safetensors file, or several with an index beside them.
//
// A file is a header of JSON, {"name": {"dtype", "shape", "data_offsets"}}, behind its length in
// eight bytes, and then the tensors' bytes. It is read in place; everything in the header is
// checked against what the file has before it is believed, and faults name file and tensor.
// Immutable after open; const functions are safe from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/tensor.h"
#include "io/mmap.h"

namespace minke {

enum class SafetensorType : uint8_t { kF32, kF16, kBF16, kF8E4M3 };
// As headers spell it: "F8_E4M3".
const char* safetensor_type_name(SafetensorType type);

struct Safetensor {
  SafetensorType type = SafetensorType::kF32;
  Shape shape;
  const std::byte* data = nullptr;
  size_t bytes = 0;
  size_t file = 0;    // index into files()
  size_t offset = 0;  // of data in that file
};

class Safetensors {
 public:
  // Of the folder's model.safetensors, or of all shards that model.safetensors.index.json names.
  static Result<Safetensors> open_folder(const std::string& folder);
  static Result<Safetensors> open_file(const std::string& path);
  // One file's header, over bytes that outlive the result; for tests and fuzzing.
  static Result<Safetensors> parse(std::span<const std::byte> bytes, const std::string& name);

  const Safetensor* find(const std::string& name) const {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : &found->second;
  }
  const std::map<std::string, Safetensor>& tensors() const { return tensors_; }
  std::vector<MappedFile>& files() { return files_; }

 private:
  Status add(std::span<const std::byte> bytes, const std::string& name, size_t file);

  std::map<std::string, Safetensor> tensors_;
  std::vector<MappedFile> files_;
};

}  // namespace minke
