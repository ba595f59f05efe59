#include "io/gguf_parse.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "io/gguf_text.h"

namespace minke {
namespace {

constexpr uint64_t kKeyBytesMax = 65535;      // the format's own limit
constexpr uint64_t kNameBytesMax = 255;       // ggml allows 63
constexpr uint64_t kAlignmentMax = 1u << 20;  // real files: 32
constexpr int kArrayDepthMax = 4;
// The fewest bytes that an entry can take, to hold counts against what the file has left.
constexpr uint64_t kEntryBytesMin = 8 + 1 + 4 + 1;
constexpr uint64_t kTensorBytesMin = 8 + 1 + 4 + 8 + 4 + 8;

std::string_view text_of(std::span<const std::byte> bytes, size_t length_max) {
  return {reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), length_max)};
}

// What a file that is not GGUF looks like.
std::string_view appearance(std::span<const std::byte> bytes) {
  const std::string_view head = text_of(bytes, 256);
  if (head.starts_with("PK\x03\x04")) return "a zip archive (PyTorch .bin and .pt files are such)";
  if (head.starts_with("version https://git-lfs")) {
    return "a Git LFS pointer; the model itself was not fetched";
  }
  if (head.starts_with("lmgg") || head.starts_with("fmgg") || head.starts_with("tjgg") ||
      head.starts_with("algg")) {
    return "a GGML file of before August 2023; convert it again";
  }
  if (head.starts_with("\x1f\x8b")) return "a gzip archive; unpack it first";
  if (head.size() > 9 && head[8] == '{')
    return "a safetensors file; give the folder that it lies in";
  const size_t start = head.find_first_not_of(" \t\r\n");
  if (start != std::string_view::npos && head[start] == '<') {
    return "a web page; the download went wrong";
  }
  if (start != std::string_view::npos && (head[start] == '{' || head[start] == '[')) {
    return "JSON text";
  }
  if (std::all_of(head.begin(), head.end(), [](char c) { return c == '\0'; })) {
    return "zeros; the download is not complete";
  }
  return "none of the formats that minke recognises";
}

class HeaderParser {
 public:
  HeaderParser(std::span<const std::byte> bytes, const std::string& name, GgufOptions options)
      : bytes_(bytes), name_(name), options_(options) {}

  Result<GgufHeader> run() {
    MINKE_TRY(read_start());
    MINKE_TRY(read_metadata());
    MINKE_TRY(read_tensors());
    MINKE_TRY(place_tensors());
    return std::move(header_);
  }

 private:
  uint64_t left() const { return bytes_.size() - at_; }

  template <typename... Args>
  std::unexpected<Error> bad(fmt::format_string<Args...> format, Args&&... args) const {
    return fail(name_ + ": " + fmt::format(format, std::forward<Args>(args)...));
  }

  std::unexpected<Error> cut_short(std::string_view what) const {
    return bad("the file ends at byte {} inside its header ({}); is the download complete?",
               bytes_.size(), what);
  }

  template <typename T>
  Result<T> read(std::string_view what) {
    if (left() < sizeof(T)) return cut_short(what);
    T value;
    std::memcpy(&value, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }

  Result<std::string_view> read_text(std::string_view what) {
    MINKE_ASSIGN(const uint64_t length, read<uint64_t>(what));
    if (length > left()) {
      return bad(
          "{} at byte {} claims a length of {} bytes, but the file has {} left; the file is "
          "damaged, or the download is not complete",
          what, at_ - 8, length, left());
    }
    const std::string_view text = text_of(bytes_.subspan(at_), length);
    at_ += length;
    return text;
  }

  Result<GgufType> read_type(std::string_view key) {
    MINKE_ASSIGN(const uint32_t number, read<uint32_t>("a value type"));
    if (number > static_cast<uint32_t>(GgufType::kFloat64)) {
      return bad("the value of {} has type {}, but GGUF's types are 0 to 12", quoted(key), number);
    }
    return static_cast<GgufType>(number);
  }

  Status read_start() {
    if (bytes_.empty()) return bad("the file is empty, expected a GGUF model");
    const std::string_view magic = text_of(bytes_, 4);
    if (magic.size() < 4 && std::string_view("GGUF").starts_with(magic)) {
      return cut_short("the four letters GGUF");
    }
    if (magic != "GGUF") {
      if (magic == "FUGG") return bad("a big-endian GGUF file; minke reads little-endian ones");
      return bad("not a GGUF file: it looks like {}", appearance(bytes_));
    }
    at_ = 4;
    MINKE_ASSIGN(header_.version, read<uint32_t>("the version"));
    const uint32_t version = header_.version;
    if (version == 1) {
      return bad(
          "GGUF version 1, which was in use for a few days of 2023; minke reads versions 2 "
          "and 3: convert the model again");
    }
    if (version != 0 && (version & 0xffff) == 0) {
      return bad("a big-endian GGUF file; minke reads little-endian ones");
    }
    if (version != 2 && version != 3) {
      return bad("GGUF version {}, but minke reads versions 2 and 3", version);
    }
    MINKE_ASSIGN(tensor_count_, read<uint64_t>("the number of tensors"));
    MINKE_ASSIGN(entry_count_, read<uint64_t>("the number of metadata entries"));
    if (entry_count_ > left() / kEntryBytesMin) {
      return bad("the header claims {} metadata entries, more than fit into the {} bytes left",
                 entry_count_, left());
    }
    if (tensor_count_ > left() / kTensorBytesMin) {
      return bad("the header claims {} tensors, more than fit into the {} bytes left",
                 tensor_count_, left());
    }
    return {};
  }

  Status read_metadata() {
    for (uint64_t i = 0; i < entry_count_; ++i) {
      MINKE_ASSIGN(const std::string_view key, read_text("a metadata key"));
      if (key.empty() || key.size() > kKeyBytesMax) {
        return bad("metadata entry {} has a key of {} bytes, expected 1 to {}", i, key.size(),
                   kKeyBytesMax);
      }
      MINKE_ASSIGN(const GgufType type, read_type(key));
      MINKE_ASSIGN(GgufValue value, read_value(key, type));
      header_.metadata.push_back({key, std::move(value)});
    }
    return {};
  }

  template <typename Stored, typename Read>
  Result<GgufValue> read_number(GgufType type) {
    MINKE_ASSIGN(const Read number, read<Read>("a metadata value"));
    return GgufValue{type, static_cast<Stored>(number)};
  }

  Result<GgufValue> read_value(std::string_view key, GgufType type) {
    switch (type) {
      case GgufType::kUint8:
        return read_number<uint64_t, uint8_t>(type);
      case GgufType::kInt8:
        return read_number<int64_t, int8_t>(type);
      case GgufType::kUint16:
        return read_number<uint64_t, uint16_t>(type);
      case GgufType::kInt16:
        return read_number<int64_t, int16_t>(type);
      case GgufType::kUint32:
        return read_number<uint64_t, uint32_t>(type);
      case GgufType::kInt32:
        return read_number<int64_t, int32_t>(type);
      case GgufType::kFloat32:
        return read_number<double, float>(type);
      case GgufType::kUint64:
        return read_number<uint64_t, uint64_t>(type);
      case GgufType::kInt64:
        return read_number<int64_t, int64_t>(type);
      case GgufType::kFloat64:
        return read_number<double, double>(type);
      case GgufType::kBool: {
        MINKE_ASSIGN(const uint8_t flag, read<uint8_t>("a metadata value"));
        if (flag > 1) return bad("the boolean {} has the value {}", quoted(key), flag);
        return GgufValue{type, flag == 1};
      }
      case GgufType::kString: {
        MINKE_ASSIGN(const std::string_view text, read_text("a string"));
        return GgufValue{type, text};
      }
      case GgufType::kArray: {
        MINKE_ASSIGN(GgufArray array, read_array(key, 1));
        return GgufValue{type, std::move(array)};
      }
    }
    return bad("the value of {} has an unknown type", quoted(key));
  }

  Result<GgufArray> read_array(std::string_view key, int depth) {
    if (depth > kArrayDepthMax) {
      return bad("the value of {} nests arrays deeper than {}", quoted(key), kArrayDepthMax);
    }
    GgufArray array;
    MINKE_ASSIGN(array.element, read_type(key));
    MINKE_ASSIGN(array.count, read<uint64_t>("the length of an array"));
    const size_t number_bytes = gguf_type_bytes(array.element);
    const bool texts = array.element == GgufType::kString;
    const uint64_t element_bytes_min = number_bytes != 0 ? number_bytes : texts ? 8 : 12;
    if (array.count > left() / element_bytes_min) {
      return bad(
          "the array {} claims {} values of type {}, but the file has {} bytes left; the "
          "file is damaged, or the download is not complete",
          quoted(key), array.count, gguf_type_name(array.element), left());
    }
    if (number_bytes != 0) {
      array.bytes = bytes_.subspan(at_, array.count * number_bytes);
      at_ += array.bytes.size();
      return array;
    }
    for (uint64_t i = 0; i < array.count; ++i) {
      if (texts) {
        MINKE_ASSIGN(const std::string_view text, read_text("a string of an array"));
        array.strings.push_back(text);
      } else {
        MINKE_TRY(read_array(key, depth + 1));
      }
    }
    return array;
  }

  Status read_tensors() {
    for (uint64_t i = 0; i < tensor_count_; ++i) {
      MINKE_ASSIGN(const std::string_view name, read_text("the name of a tensor"));
      if (name.empty() || name.size() > kNameBytesMax) {
        return bad("tensor {} has a name of {} bytes, expected 1 to {}", i, name.size(),
                   kNameBytesMax);
      }
      MINKE_TRY(read_tensor(name));
    }
    return {};
  }

  Status read_tensor(std::string_view name) {
    MINKE_ASSIGN(const uint32_t rank, read<uint32_t>("the rank of a tensor"));
    if (rank < 1 || rank > Shape::kRankMax) {
      return bad("tensor {} has {} dimensions, expected 1 to {}", quoted(name), rank,
                 Shape::kRankMax);
    }
    std::array<int64_t, Shape::kRankMax> ne{};  // innermost first, as the file has it
    int64_t values = 1;
    for (uint32_t axis = 0; axis < rank; ++axis) {
      MINKE_ASSIGN(const uint64_t dim, read<uint64_t>("a dimension of a tensor"));
      if (dim == 0 || dim > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) ||
          __builtin_mul_overflow(values, static_cast<int64_t>(dim), &values)) {
        return bad("dimension {} of tensor {} is {}, which makes no sense", axis, quoted(name),
                   static_cast<int64_t>(dim));
      }
      ne[axis] = static_cast<int64_t>(dim);
    }
    MINKE_ASSIGN(const uint32_t type, read<uint32_t>("the type of a tensor"));
    MINKE_ASSIGN(const uint64_t offset, read<uint64_t>("the offset of a tensor"));
    const QuantFormat* format = find_quant_format(type);
    if (format == nullptr) return unknown_type(name, type);
    if (ne[0] % format->block_size != 0) {
      return bad("tensor {} has rows of {} values, but {} stores {} at a time", quoted(name), ne[0],
                 format->name, format->block_size);
    }
    int64_t bytes = 0;
    if (__builtin_mul_overflow(values / format->block_size,
                               static_cast<int64_t>(format->block_bytes), &bytes)) {
      return bad("tensor {} would have {} values, which makes no sense", quoted(name), values);
    }
    header_.tensors.push_back({.name = name,
                               .type = format->type,
                               .shape = shape_of(ne, rank),
                               .bytes = static_cast<size_t>(bytes),
                               .offset = offset});
    return {};
  }

  std::unexpected<Error> unknown_type(std::string_view name, uint32_t type) const {
    const std::string_view known = ggml_type_name(type);
    return bad(
        "tensor {} is stored as {}, which minke does not read; it reads {}", quoted(name),
        known.empty() ? fmt::format("type {}", type) : fmt::format("{} (type {})", known, type),
        supported_quant_names());
  }

  static Shape shape_of(const std::array<int64_t, Shape::kRankMax>& ne, uint32_t rank) {
    switch (rank) {
      case 1:
        return {ne[0]};
      case 2:
        return {ne[1], ne[0]};
      case 3:
        return {ne[2], ne[1], ne[0]};
      default:
        return {ne[3], ne[2], ne[1], ne[0]};
    }
  }

  Result<uint64_t> alignment() const {
    for (const GgufEntry& entry : header_.metadata) {
      if (entry.key != "general.alignment") continue;
      const auto* number = std::get_if<uint64_t>(&entry.value.value);
      if (number == nullptr || !std::has_single_bit(*number) || *number > kAlignmentMax) {
        return bad("general.alignment is {}, expected a power of two up to {}", entry.value.str(),
                   kAlignmentMax);
      }
      return *number;
    }
    return 32;
  }

  // Offsets count from the end of the header, rounded up to the alignment.
  Status place_tensors() {
    MINKE_ASSIGN(const uint64_t align, alignment());
    const uint64_t start = (at_ + align - 1) / align * align;
    for (GgufTensor& tensor : header_.tensors) {
      if (tensor.offset % align != 0) {
        return bad("tensor {} starts at offset {}, which is no multiple of the alignment {}",
                   quoted(tensor.name), tensor.offset, align);
      }
      uint64_t end = 0;
      if (__builtin_add_overflow(start, tensor.offset, &tensor.offset) ||
          __builtin_add_overflow(tensor.offset, uint64_t{tensor.bytes}, &end)) {
        return bad("tensor {} starts beyond any file, at offset {}", quoted(tensor.name),
                   tensor.offset - start);
      }
      if (end <= bytes_.size()) {
        tensor.data = bytes_.data() + tensor.offset;
      } else if (!options_.allow_truncated_data) {
        return bad("tensor {} ends at byte {}, but the file has {}; is the download complete?",
                   quoted(tensor.name), end, bytes_.size());
      }
    }
    return check_overlaps();
  }

  Status check_overlaps() const {
    std::vector<const GgufTensor*> order;
    order.reserve(header_.tensors.size());
    for (const GgufTensor& tensor : header_.tensors) order.push_back(&tensor);
    std::ranges::sort(order, {}, &GgufTensor::offset);
    for (size_t i = 1; i < order.size(); ++i) {
      if (order[i - 1]->offset + order[i - 1]->bytes > order[i]->offset) {
        return bad("tensors {} and {} overlap at byte {}", quoted(order[i - 1]->name),
                   quoted(order[i]->name), order[i]->offset);
      }
    }
    return {};
  }

  std::span<const std::byte> bytes_;
  const std::string& name_;
  GgufOptions options_;
  size_t at_ = 0;
  uint64_t tensor_count_ = 0;
  uint64_t entry_count_ = 0;
  GgufHeader header_;
};

}  // namespace

Result<GgufHeader> parse_gguf_header(std::span<const std::byte> bytes, const std::string& name,
                                     GgufOptions options) {
  return HeaderParser(bytes, name, options).run();
}

}  // namespace minke
