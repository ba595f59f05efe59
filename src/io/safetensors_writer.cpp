#include "io/safetensors_writer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "core/check.h"
#include "io/file.h"
#include "io/sha256.h"

namespace minke {
namespace {

struct TypeForm {
  const char* name;
  size_t bytes;
};

TypeForm form_of(SafetensorType type) {
  switch (type) {
    case SafetensorType::kF32:
      return {"F32", 4};
    case SafetensorType::kF16:
      return {"F16", 2};
    case SafetensorType::kBF16:
      return {"BF16", 2};
    case SafetensorType::kF8E4M3:
      return {"F8_E4M3", 1};
  }
  CHECK(false);
}

std::string header_of(std::span<const SafetensorView> tensors,
                      const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const SafetensorView& tensor : tensors) {
    const TypeForm form = form_of(tensor.type);
    CHECK(tensor.shape.rank() >= 1 && tensor.shape.rank() <= 3);
    CHECK_GT(tensor.shape.count(), 0);
    CHECK_EQ(tensor.bytes.size(), static_cast<size_t>(tensor.shape.count()) * form.bytes);
    CHECK(!header.contains(tensor.name));
    std::vector<int64_t> dims;
    for (int axis = 0; axis < tensor.shape.rank(); ++axis) dims.push_back(tensor.shape[axis]);
    header[tensor.name] = {{"dtype", form.name},
                           {"shape", dims},
                           {"data_offsets", {offset, offset + tensor.bytes.size()}}};
    offset += tensor.bytes.size();
  }
  std::string text = header.dump();
  // The data begins at a multiple of 8 bytes, as readers that map the file like it.
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace

SafetensorView SafetensorView::f32(std::string name, const Shape& shape,
                                   std::span<const float> values) {
  return {std::move(name), SafetensorType::kF32, shape, std::as_bytes(values)};
}

SafetensorView SafetensorView::bf16(std::string name, const Shape& shape,
                                    std::span<const uint16_t> values) {
  return {std::move(name), SafetensorType::kBF16, shape, std::as_bytes(values)};
}

Result<WrittenFile> write_safetensors(const std::string& path,
                                      std::span<const SafetensorView> tensors,
                                      const std::map<std::string, std::string>& metadata) {
  const std::string header = header_of(tensors, metadata);
  const uint64_t length = header.size();
  MINKE_ASSIGN(OutputFile file, OutputFile::create(path));
  Sha256 hash;
  const auto put = [&](std::span<const std::byte> bytes) -> Status {
    // In blocks: what was hashed is still in the cache when it is written.
    constexpr size_t kBlock = size_t{1} << 20;
    for (; !bytes.empty(); bytes = bytes.subspan(std::min(bytes.size(), kBlock))) {
      const auto block = bytes.first(std::min(bytes.size(), kBlock));
      hash.update(block);
      MINKE_TRY(file.write(block));
    }
    return {};
  };
  MINKE_TRY(put(std::as_bytes(std::span(&length, 1))));
  MINKE_TRY(put(std::as_bytes(std::span(header))));
  for (const SafetensorView& tensor : tensors) MINKE_TRY(put(tensor.bytes));
  MINKE_TRY(file.commit());
  return WrittenFile{.bytes = file.written(), .sha256 = hash.finish_hex()};
}

}  // namespace minke
