// Any bytes as a safetensors file: every tensor that is accepted lies within them.
#include "core/check.h"
#include "io/safetensors.h"

using namespace minke;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  const auto file = Safetensors::parse(bytes, "fuzz");
  if (!file) return 0;
  for (const auto& [name, tensor] : file->tensors()) {
    CHECK(tensor.data >= bytes.data());
    CHECK(tensor.data + tensor.bytes <= bytes.data() + bytes.size());
    CHECK(file->find(name) == &tensor);
  }
  return 0;
}
