// Writes one safetensors file: header, then the tensors' bytes in the given order (the reader is
// io/safetensors.h). The file appears whole or not at all. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "core/result.h"
#include "core/tensor.h"
#include "io/safetensors.h"

namespace minke {

// A tensor to be written; `bytes` are borrowed and as many as type and shape say (CHECK). One to
// three dimensions, none of them 0.
struct SafetensorView {
  std::string name;
  SafetensorType type = SafetensorType::kF32;
  Shape shape;
  std::span<const std::byte> bytes;

  static SafetensorView f32(std::string name, const Shape& shape, std::span<const float> values);
  // Values as their bits.
  static SafetensorView bf16(std::string name, const Shape& shape,
                             std::span<const uint16_t> values);
};

struct WrittenFile {
  uint64_t bytes = 0;
  std::string sha256;
};

// Names are unique (CHECK). `metadata` is the header's __metadata__.
Result<WrittenFile> write_safetensors(const std::string& path,
                                      std::span<const SafetensorView> tensors,
                                      const std::map<std::string, std::string>& metadata = {});

}  // namespace minke
