#include "io/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <numeric>

#include "io/gguf_parse.h"
#include "io/gguf_text.h"

namespace minke {
namespace {

constexpr int64_t kPartsMax = 4096;

// "dir/model-00002-of-00003.gguf" -> "dir/model"; empty when the name is not of that form.
std::string split_prefix(const std::string& path, int64_t part, int64_t parts) {
  const std::string suffix = fmt::format("-{:05}-of-{:05}.gguf", part + 1, parts);
  return path.ends_with(suffix) ? path.substr(0, path.size() - suffix.size()) : std::string();
}

// An integer of the metadata, or `fallback` when it is missing.
Result<int64_t> header_integer(const GgufHeader& header, const std::string& path,
                               std::string_view key, int64_t fallback) {
  for (const GgufEntry& entry : header.metadata) {
    if (entry.key != key) continue;
    if (const auto* number = std::get_if<int64_t>(&entry.value.value)) return *number;
    if (const auto* number = std::get_if<uint64_t>(&entry.value.value)) {
      return static_cast<int64_t>(std::min(*number, uint64_t{1} << 62));
    }
    return fail(fmt::format("{}: {} is {}, expected an integer", path, key, entry.value.str()));
  }
  return fallback;
}

// Positions sorted by name, so that a look-up is a binary search, which hostile names cannot slow.
template <typename Items, typename Name>
std::vector<size_t> sorted_positions(const Items& items, Name name) {
  std::vector<size_t> order(items.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) { return std::pair(items[i].*name, i); });
  return order;
}

template <typename Items, typename Name>
const auto* find_sorted(const Items& items, const std::vector<size_t>& order, Name name,
                        std::string_view wanted) {
  const auto found =
      std::ranges::lower_bound(order, wanted, {}, [&](size_t i) { return items[i].*name; });
  return found != order.end() && items[*found].*name == wanted ? &items[*found] : nullptr;
}

}  // namespace

// Builds a GgufFile out of its parts.
class GgufLoader {
 public:
  static Result<GgufFile> open(const std::string& path, GgufOptions options) {
    MINKE_ASSIGN(MappedFile map, MappedFile::open(path));
    MINKE_ASSIGN(GgufHeader header, parse_gguf_header(map.bytes(), path, options));
    MINKE_ASSIGN(const int64_t parts, header_integer(header, path, "split.count", 1));
    if (parts > 1) return open_split(path, header, parts, options);
    GgufFile file;
    take_part(file, path, map.bytes().size(), std::move(header));
    file.maps_.push_back(std::move(map));
    MINKE_TRY(index(file));
    return file;
  }

  static Result<GgufFile> parse(std::span<const std::byte> bytes, std::string name,
                                GgufOptions options) {
    MINKE_ASSIGN(GgufHeader header, parse_gguf_header(bytes, name, options));
    MINKE_ASSIGN(const int64_t parts, header_integer(header, name, "split.count", 1));
    if (parts > 1) return fail(fmt::format("{}: one of {} parts of a split model", name, parts));
    GgufFile file;
    take_part(file, std::move(name), bytes.size(), std::move(header));
    MINKE_TRY(index(file));
    return file;
  }

 private:
  static Result<GgufFile> open_split(const std::string& path, const GgufHeader& given,
                                     int64_t parts, GgufOptions options) {
    MINKE_ASSIGN(const int64_t given_part, header_integer(given, path, "split.no", -1));
    if (given_part < 0) {
      return fail(fmt::format(
          "{}: split.count says that it is one of {} parts, but split.no does not say which", path,
          parts));
    }
    if (parts > kPartsMax || given_part >= parts) {
      return fail(fmt::format("{}: claims to be part {} of {}, expected at most {} parts", path,
                              given_part + 1, parts, kPartsMax));
    }
    const std::string prefix = split_prefix(path, given_part, parts);
    if (prefix.empty()) {
      return fail(fmt::format(
          "{}: part {} of {} of a split model, so its name must end in -{:05}-of-{:05}.gguf for "
          "its siblings to be found",
          path, given_part + 1, parts, given_part + 1, parts));
    }
    GgufFile file;
    int64_t tensors_expected = -1;
    for (int64_t part = 0; part < parts; ++part) {
      const std::string name = fmt::format("{}-{:05}-of-{:05}.gguf", prefix, part + 1, parts);
      auto map = MappedFile::open(name);
      if (!map) {
        return fail(
            fmt::format("{}; the model is split into {} files, which must lie in one folder",
                        map.error().message, parts));
      }
      MINKE_ASSIGN(GgufHeader header, parse_gguf_header(map->bytes(), name, options));
      MINKE_ASSIGN(const int64_t number, header_integer(header, name, "split.no", -1));
      MINKE_ASSIGN(const int64_t count, header_integer(header, name, "split.count", 1));
      if (number != part || count != parts) {
        return fail(fmt::format("{}: claims to be part {} of {}, expected part {} of {}", name,
                                number + 1, count, part + 1, parts));
      }
      if (part == 0) {
        MINKE_ASSIGN(tensors_expected, header_integer(header, name, "split.tensors.count", -1));
      }
      take_part(file, name, map->bytes().size(), std::move(header));
      file.maps_.push_back(*std::move(map));
    }
    if (tensors_expected >= 0 && static_cast<size_t>(tensors_expected) != file.tensors_.size()) {
      return fail(fmt::format("{}: the {} parts hold {} tensors, but split.tensors.count is {}",
                              file.path(), parts, file.tensors_.size(), tensors_expected));
    }
    MINKE_TRY(index(file));
    return file;
  }

  static void take_part(GgufFile& file, std::string path, uint64_t bytes, GgufHeader header) {
    const auto part = static_cast<int>(file.paths_.size());
    for (GgufTensor& tensor : header.tensors) {
      tensor.part = part;
      file.tensors_.push_back(tensor);
    }
    file.paths_.push_back(std::move(path));
    file.file_bytes_ += bytes;
    if (part != 0) return;
    file.version_ = header.version;
    file.metadata_ = std::move(header.metadata);
  }

  static Status index(GgufFile& file) {
    file.entries_by_key_ = sorted_positions(file.metadata_, &GgufEntry::key);
    file.tensors_by_name_ = sorted_positions(file.tensors_, &GgufTensor::name);
    for (size_t i = 1; i < file.entries_by_key_.size(); ++i) {
      const std::string_view key = file.metadata_[file.entries_by_key_[i]].key;
      if (key == file.metadata_[file.entries_by_key_[i - 1]].key) {
        return fail(fmt::format("{}: the metadata has {} twice", file.path(), quoted(key)));
      }
    }
    for (size_t i = 1; i < file.tensors_by_name_.size(); ++i) {
      const std::string_view name = file.tensors_[file.tensors_by_name_[i]].name;
      if (name == file.tensors_[file.tensors_by_name_[i - 1]].name) {
        return fail(fmt::format("{}: there are two tensors {}", file.path(), quoted(name)));
      }
    }
    return {};
  }
};

Result<GgufFile> GgufFile::open(const std::string& path, GgufOptions options) {
  return GgufLoader::open(path, options);
}

Result<GgufFile> GgufFile::parse(std::span<const std::byte> bytes, std::string name,
                                 GgufOptions options) {
  return GgufLoader::parse(bytes, std::move(name), options);
}

Result<GgufFile> GgufFile::assemble(std::vector<std::byte> header, std::string name,
                                    std::vector<MappedFile> maps,
                                    const std::function<Status(GgufTensor&)>& attach) {
  const auto kept = std::make_shared<const std::vector<std::byte>>(std::move(header));
  MINKE_ASSIGN(GgufFile file, parse(*kept, std::move(name), {.allow_truncated_data = true}));
  file.header_ = kept;
  file.maps_ = std::move(maps);
  file.file_bytes_ = 0;
  for (const MappedFile& map : file.maps_) file.file_bytes_ += map.bytes().size();
  for (GgufTensor& tensor : file.tensors_) MINKE_TRY(attach(tensor));
  return file;
}

const GgufValue* GgufFile::find_value(std::string_view key) const {
  const GgufEntry* entry = find_sorted(metadata_, entries_by_key_, &GgufEntry::key, key);
  return entry == nullptr ? nullptr : &entry->value;
}

const GgufTensor* GgufFile::find(std::string_view name) const {
  return find_sorted(tensors_, tensors_by_name_, &GgufTensor::name, name);
}

Result<const GgufValue*> GgufFile::require(std::string_view key) const {
  const GgufValue* value = find_value(key);
  if (value == nullptr) return fail(fmt::format("{}: the metadata lacks {}", path(), key));
  return value;
}

std::unexpected<Error> GgufFile::wrong_kind(std::string_view key, const GgufValue& value,
                                            std::string_view expected) const {
  return fail(fmt::format("{}: {} is {} ({}), expected {}", path(), key, value.str(60),
                          gguf_type_name(value.type), expected));
}

Result<int64_t> GgufFile::integer(std::string_view key) const {
  MINKE_ASSIGN(const GgufValue* value, require(key));
  if (const auto* number = std::get_if<int64_t>(&value->value)) return *number;
  const auto* number = std::get_if<uint64_t>(&value->value);
  if (number == nullptr || *number > uint64_t{std::numeric_limits<int64_t>::max()}) {
    return wrong_kind(key, *value, "an integer");
  }
  return static_cast<int64_t>(*number);
}

Result<double> GgufFile::number(std::string_view key) const {
  MINKE_ASSIGN(const GgufValue* value, require(key));
  if (const auto* number = std::get_if<double>(&value->value)) return *number;
  if (const auto* number = std::get_if<int64_t>(&value->value)) {
    return static_cast<double>(*number);
  }
  if (const auto* number = std::get_if<uint64_t>(&value->value)) {
    return static_cast<double>(*number);
  }
  return wrong_kind(key, *value, "a number");
}

Result<std::string_view> GgufFile::text(std::string_view key) const {
  MINKE_ASSIGN(const GgufValue* value, require(key));
  if (const auto* text = std::get_if<std::string_view>(&value->value)) return *text;
  return wrong_kind(key, *value, "a string");
}

Result<bool> GgufFile::boolean(std::string_view key) const {
  MINKE_ASSIGN(const GgufValue* value, require(key));
  if (const auto* flag = std::get_if<bool>(&value->value)) return *flag;
  return wrong_kind(key, *value, "true or false");
}

Result<std::span<const std::string_view>> GgufFile::strings(std::string_view key) const {
  MINKE_ASSIGN(const GgufValue* value, require(key));
  const auto* array = std::get_if<GgufArray>(&value->value);
  if (array == nullptr || array->element != GgufType::kString) {
    return wrong_kind(key, *value, "an array of strings");
  }
  return std::span<const std::string_view>(array->strings);
}

Result<std::vector<int64_t>> GgufFile::integers(std::string_view key) const {
  MINKE_ASSIGN(const GgufValue* value, require(key));
  const auto* array = std::get_if<GgufArray>(&value->value);
  if (array == nullptr || !array->is_integer()) {
    return wrong_kind(key, *value, "an array of integers");
  }
  std::vector<int64_t> numbers(array->count);
  for (uint64_t i = 0; i < array->count; ++i) numbers[i] = array->integer(i);
  return numbers;
}

Result<std::vector<float>> GgufFile::floats(std::string_view key) const {
  MINKE_ASSIGN(const GgufValue* value, require(key));
  const auto* array = std::get_if<GgufArray>(&value->value);
  if (array == nullptr || (!array->is_float() && !array->is_integer())) {
    return wrong_kind(key, *value, "an array of numbers");
  }
  std::vector<float> numbers(array->count);
  for (uint64_t i = 0; i < array->count; ++i) numbers[i] = static_cast<float>(array->number(i));
  return numbers;
}

Result<int64_t> GgufFile::integer_or(std::string_view key, int64_t fallback) const {
  return has(key) ? integer(key) : fallback;
}

Result<double> GgufFile::number_or(std::string_view key, double fallback) const {
  return has(key) ? number(key) : fallback;
}

Result<std::string_view> GgufFile::text_or(std::string_view key, std::string_view fallback) const {
  return has(key) ? text(key) : fallback;
}

Result<bool> GgufFile::boolean_or(std::string_view key, bool fallback) const {
  return has(key) ? boolean(key) : fallback;
}

Result<std::string> GgufFile::model_name() const {
  MINKE_ASSIGN(std::string_view name, text_or("general.name", ""));
  for (const std::string_view format : {"GGUF", "AWQ", "GPTQ"}) {
    if (!name.ends_with(format)) continue;
    const std::string_view rest = name.substr(0, name.size() - format.size());
    if (rest.size() > 1 && (rest.back() == ' ' || rest.back() == '-')) {
      name = rest.substr(0, rest.size() - 1);
    }
  }
  return name.empty() ? std::filesystem::path(path()).stem().string() : std::string(name);
}

Status GgufFile::check_intact() const {
  for (size_t part = 0; part < maps_.size(); ++part) {
    if (maps_[part].is_intact()) continue;
    return fail(fmt::format(
        "{}: the file was cut short while it was in use (or its disk cannot be read); put the "
        "whole file back and load the model again",
        paths_[part]));
  }
  return {};
}

Result<GgufBytes> GgufFile::bytes_of(const GgufTensor& tensor) {
  CHECK(tensor.is_whole());
  GgufBytes bytes;
  bytes.data = tensor.data;
  if (tensor.data != nullptr) return bytes;
  MINKE_ASSIGN(bytes.storage, Buffer::allocate(tensor.bytes, "a tensor"));
  bytes.data = bytes.storage.data();
  MINKE_TRY(tensor.make(0, {bytes.storage.data(), tensor.bytes}));
  return bytes;
}

void GgufFile::will_need(const GgufTensor& tensor) const {
  if (maps_.empty() || tensor.data == nullptr) return;
  maps_[static_cast<size_t>(tensor.part)].will_need(tensor.offset, tensor.bytes);
}

void GgufFile::drop_pages(const GgufTensor& tensor, const std::byte* from, size_t bytes) const {
  if (maps_.empty() || tensor.data == nullptr) return;
  const auto begin = static_cast<size_t>(from - tensor.data);
  maps_[static_cast<size_t>(tensor.part)].drop(tensor.offset + begin, bytes);
}

}  // namespace minke
