#include "io/gguf_writer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>

#include "core/check.h"
#include "io/gguf_text.h"
#include "io/partial_file.h"

namespace minke {
namespace {

constexpr uint32_t kVersion = 3;

uint64_t aligned(uint64_t bytes) {
  return (bytes + GgufWriter::kAlignment - 1) / GgufWriter::kAlignment * GgufWriter::kAlignment;
}

}  // namespace

Result<GgufWriter> GgufWriter::create(const std::string& path) {
  MINKE_ASSIGN(OutputFile file, OutputFile::create(path));
  return GgufWriter(std::optional(std::move(file)));
}

void GgufWriter::append(const void* bytes, size_t count) {
  const auto* first = static_cast<const std::byte*>(bytes);
  metadata_.insert(metadata_.end(), first, first + count);
}

void GgufWriter::append_text(std::string_view value) {
  const uint64_t length = value.size();
  append(&length, sizeof length);
  append(value.data(), value.size());
}

void GgufWriter::begin_value(std::string_view key, GgufType type) {
  CHECK_EQ(data_start_, 0u);
  CHECK(!key.empty());
  CHECK(std::ranges::find(keys_, key) == keys_.end());
  keys_.emplace_back(key);
  append_text(key);
  append(&type, sizeof type);
}

void GgufWriter::begin_array(std::string_view key, GgufType element, uint64_t count) {
  begin_value(key, GgufType::kArray);
  append(&element, sizeof element);
  append(&count, sizeof count);
}

void GgufWriter::set_uint32(std::string_view key, uint32_t value) {
  begin_value(key, GgufType::kUint32);
  append(&value, sizeof value);
}

void GgufWriter::set_int32(std::string_view key, int32_t value) {
  begin_value(key, GgufType::kInt32);
  append(&value, sizeof value);
}

void GgufWriter::set_uint64(std::string_view key, uint64_t value) {
  begin_value(key, GgufType::kUint64);
  append(&value, sizeof value);
}

void GgufWriter::set_float32(std::string_view key, float value) {
  begin_value(key, GgufType::kFloat32);
  append(&value, sizeof value);
}

void GgufWriter::set_boolean(std::string_view key, bool value) {
  begin_value(key, GgufType::kBool);
  const uint8_t byte = value ? 1 : 0;
  append(&byte, sizeof byte);
}

void GgufWriter::set_text(std::string_view key, std::string_view value) {
  begin_value(key, GgufType::kString);
  append_text(value);
}

void GgufWriter::set_texts(std::string_view key, std::span<const std::string> values) {
  begin_array(key, GgufType::kString, values.size());
  for (const std::string& value : values) append_text(value);
}

void GgufWriter::set_int32s(std::string_view key, std::span<const int32_t> values) {
  begin_array(key, GgufType::kInt32, values.size());
  append(values.data(), values.size_bytes());
}

void GgufWriter::set_float32s(std::string_view key, std::span<const float> values) {
  begin_array(key, GgufType::kFloat32, values.size());
  append(values.data(), values.size_bytes());
}

void GgufWriter::set_value(std::string_view key, const GgufValue& value) {
  if (key == "general.alignment") return;
  if (const auto* array = std::get_if<GgufArray>(&value.value)) {
    CHECK(array->element != GgufType::kArray);  // the reader does not keep such values
    begin_array(key, array->element, array->count);
    append(array->bytes.data(), array->bytes.size());
    for (const std::string_view text : array->strings) append_text(text);
    return;
  }
  begin_value(key, value.type);
  if (const auto* text = std::get_if<std::string_view>(&value.value)) {
    append_text(*text);
  } else if (const auto* flag = std::get_if<bool>(&value.value)) {
    const uint8_t byte = *flag ? 1 : 0;
    append(&byte, sizeof byte);
  } else if (const auto* number = std::get_if<double>(&value.value)) {
    const auto narrow = static_cast<float>(*number);
    if (value.type == GgufType::kFloat32) {
      append(&narrow, sizeof narrow);
    } else {
      append(number, sizeof *number);
    }
  } else if (const auto* whole = std::get_if<int64_t>(&value.value)) {
    append(whole, gguf_type_bytes(value.type));  // little endian: the low bytes come first
  } else {
    append(&std::get<uint64_t>(value.value), gguf_type_bytes(value.type));
  }
}

void GgufWriter::add_tensor(std::string_view name, QuantType type, const Shape& shape) {
  CHECK_EQ(data_start_, 0u);
  CHECK(shape.rank() >= 1 && shape.count() > 0);
  const uint64_t bytes = row_bytes(type, shape.back()) * static_cast<uint64_t>(shape.rows());
  tensors_.push_back({std::string(name), type, shape, bytes, data_bytes_});
  data_bytes_ = aligned(data_bytes_ + bytes);
}

std::vector<std::byte> GgufWriter::header() {
  CHECK_EQ(data_start_, 0u);
  std::vector<std::byte> values;
  values.swap(metadata_);
  const uint64_t tensor_count = tensors_.size();
  const uint64_t key_count = keys_.size();
  append("GGUF", 4);
  append(&kVersion, sizeof kVersion);
  append(&tensor_count, sizeof tensor_count);
  append(&key_count, sizeof key_count);
  metadata_.insert(metadata_.end(), values.begin(), values.end());
  for (const Entry& tensor : tensors_) {
    append_text(tensor.name);
    const auto rank = static_cast<uint32_t>(tensor.shape.rank());
    append(&rank, sizeof rank);
    for (int axis = tensor.shape.rank() - 1; axis >= 0; --axis) {
      const auto dim = static_cast<uint64_t>(tensor.shape[axis]);
      append(&dim, sizeof dim);
    }
    append(&tensor.type, sizeof tensor.type);
    append(&tensor.offset, sizeof tensor.offset);
  }
  metadata_.resize(aligned(metadata_.size()));
  data_start_ = metadata_.size();
  return std::move(metadata_);
}

Status GgufWriter::begin_data() {
  const std::vector<std::byte> bytes = header();
  const std::filesystem::path folder = std::filesystem::absolute(file_->path()).parent_path();
  MINKE_TRY(check_disk_space(folder, static_cast<int64_t>(bytes_total())));
  return file_->write(bytes);
}

Status GgufWriter::write(std::span<const std::byte> bytes) {
  CHECK_GT(data_start_, 0u);
  if (bytes.empty()) return {};
  CHECK_LT(current_, tensors_.size());
  const uint64_t size = tensors_[current_].bytes;
  CHECK_LE(bytes.size(), size - written_);
  MINKE_TRY(file_->write(bytes));
  written_ += bytes.size();
  if (written_ < size) return {};
  static constexpr std::array<std::byte, kAlignment> kZeros{};
  MINKE_TRY(file_->write(std::span(kZeros).first(aligned(size) - size)));
  ++current_;
  written_ = 0;
  return {};
}

Status GgufWriter::finish() {
  CHECK_GT(data_start_, 0u);
  CHECK_EQ(current_, tensors_.size());
  return file_->commit();
}

uint64_t GgufWriter::bytes_total() const {
  CHECK_GT(data_start_, 0u);
  return data_start_ + data_bytes_;
}

uint64_t GgufWriter::data_offset(size_t tensor) const {
  CHECK_GT(data_start_, 0u);
  CHECK_LT(tensor, tensors_.size());
  return data_start_ + tensors_[tensor].offset;
}

}  // namespace minke
