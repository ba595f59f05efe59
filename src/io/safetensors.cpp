#include "io/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>

#include "io/json_file.h"

namespace minke {
namespace {

using Json = nlohmann::json;

struct TypeName {
  const char* name;
  SafetensorType type;
  size_t bytes;
};
constexpr TypeName kTypes[] = {{"F32", SafetensorType::kF32, 4},
                               {"F16", SafetensorType::kF16, 2},
                               {"BF16", SafetensorType::kBF16, 2},
                               {"F8_E4M3", SafetensorType::kF8E4M3, 1}};

// One tensor's entry. `data` is what lies behind the header.
Result<Safetensor> read_entry(const std::string& where, const Json& entry,
                              std::span<const std::byte> data) {
  if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") ||
      !entry.contains("data_offsets")) {
    return fail(fmt::format("{}: expected dtype, shape and data_offsets", where));
  }
  const Json& type = entry["dtype"];
  const auto* known = std::ranges::find_if(
      kTypes, [&](const TypeName& one) { return type.is_string() && type == one.name; });
  if (known == std::end(kTypes)) {
    return fail(fmt::format("{}: is of type {}, expected F32, F16, BF16 or F8_E4M3", where,
                            type.dump().substr(0, 30)));
  }
  const Json& shape = entry["shape"];
  if (!shape.is_array() || shape.empty() || shape.size() > 3) {
    return fail(fmt::format("{}: has the shape {}, expected one to three dimensions", where,
                            shape.dump().substr(0, 60)));
  }
  uint64_t count = 1;
  std::vector<int64_t> dims;
  for (const Json& dim : shape) {
    const uint64_t size = dim.is_number_unsigned() ? dim.get<uint64_t>() : 0;
    if (size == 0 || size > data.size() || count > data.size() / size) {
      return fail(fmt::format("{}: has the shape {}, more than the file's {} bytes", where,
                              shape.dump().substr(0, 60), data.size()));
    }
    count *= size;
    dims.push_back(static_cast<int64_t>(size));
  }
  const Json& offsets = entry["data_offsets"];
  const bool pair = offsets.is_array() && offsets.size() == 2 && offsets[0].is_number_unsigned() &&
                    offsets[1].is_number_unsigned();
  const uint64_t begin = pair ? offsets[0].get<uint64_t>() : 1;
  const uint64_t end = pair ? offsets[1].get<uint64_t>() : 0;
  if (begin > end || end > data.size() || end - begin != count * known->bytes) {
    return fail(
        fmt::format("{}: lies at {}, expected {} bytes within the file's {}; is the download "
                    "complete?",
                    where, offsets.dump().substr(0, 60), count * known->bytes, data.size()));
  }
  const Shape made = dims.size() == 1   ? Shape{dims[0]}
                     : dims.size() == 2 ? Shape{dims[0], dims[1]}
                                        : Shape{dims[0], dims[1], dims[2]};
  return Safetensor{.type = known->type,
                    .shape = made,
                    .data = data.data() + begin,
                    .bytes = static_cast<size_t>(end - begin)};
}

// Without an index there is one file. Shards alone do not say which of them are missing.
Status check_no_shards(const std::string& folder) {
  if (std::filesystem::exists(folder + "/model.safetensors")) return {};
  std::error_code ignored;
  std::set<std::string> shards;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (entry.path().extension() == ".safetensors") shards.insert(entry.path().filename().string());
  }
  if (shards.empty()) return {};
  return fail(
      fmt::format("{}: has {}{}, and neither model.safetensors nor "
                  "model.safetensors.index.json, which says what lies in which file; is "
                  "the download complete?",
                  folder, *shards.begin(),
                  shards.size() > 1 ? fmt::format(" and {} more", shards.size() - 1) : ""));
}

}  // namespace

const char* safetensor_type_name(SafetensorType type) {
  return std::ranges::find(kTypes, type, &TypeName::type)->name;
}

Status Safetensors::add(std::span<const std::byte> bytes, const std::string& name, size_t file) {
  constexpr uint64_t kHeaderMost = 100'000'000;  // what Hugging Face allows
  uint64_t length = 0;
  if (bytes.size() < sizeof length) return fail(fmt::format("{}: has no header", name));
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > kHeaderMost || length > bytes.size() - sizeof length) {
    return fail(
        fmt::format("{}: the header has {} bytes, and the file {}; is it safetensors, and is "
                    "the download complete?",
                    name, length, bytes.size()));
  }
  const auto* text = reinterpret_cast<const char*>(bytes.data() + sizeof length);
  MINKE_ASSIGN(const Json header, parse_json_object({text, static_cast<size_t>(length)}, name));
  const std::span<const std::byte> data =
      bytes.subspan(sizeof length + static_cast<size_t>(length));
  std::vector<std::pair<size_t, size_t>> ranges;
  for (const auto& [tensor, entry] : header.items()) {
    if (tensor == "__metadata__") continue;
    const std::string where = fmt::format("{}: tensor '{}'", name, tensor.substr(0, 200));
    MINKE_ASSIGN(Safetensor made, read_entry(where, entry, data));
    const auto begin = static_cast<size_t>(made.data - data.data());
    ranges.emplace_back(begin, begin + made.bytes);
    made.file = file;
    made.offset = static_cast<size_t>(made.data - bytes.data());
    if (!tensors_.emplace(tensor, made).second)
      return fail(fmt::format("{}: is there twice", where));
  }
  std::ranges::sort(ranges);
  for (size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].first < ranges[i - 1].second) {
      return fail(fmt::format("{}: two tensors share the bytes at {}", name, ranges[i].first));
    }
  }
  return {};
}

Result<Safetensors> Safetensors::parse(std::span<const std::byte> bytes, const std::string& name) {
  Safetensors made;
  MINKE_TRY(made.add(bytes, name, 0));
  return made;
}

Result<Safetensors> Safetensors::open_file(const std::string& path) {
  Safetensors made;
  MINKE_ASSIGN(MappedFile file, MappedFile::open(path));
  MINKE_TRY(made.add(file.bytes(), path, 0));
  made.files_.push_back(std::move(file));
  return made;
}

Result<Safetensors> Safetensors::open_folder(const std::string& folder) {
  std::set<std::string> names;
  const std::string index = folder + "/model.safetensors.index.json";
  std::map<std::string, std::string> wanted;  // tensor -> shard
  if (std::filesystem::exists(index)) {
    MINKE_ASSIGN(const Json json, read_json_object(index));
    const auto map = json.find("weight_map");
    if (map == json.end() || !map->is_object()) {
      return fail(fmt::format("{}: has no weight_map", index));
    }
    for (const auto& [tensor, shard] : map->items()) {
      const std::string name = shard.is_string() ? shard.get<std::string>() : "";
      // A shard lies in the folder itself.
      if (name.empty() || name.contains('/') || name == "..") {
        return fail(fmt::format("{}: tensor '{}' is in {}, expected a file of this folder", index,
                                tensor.substr(0, 200), shard.dump().substr(0, 60)));
      }
      names.insert(name);
      wanted[tensor] = name;
    }
  } else {
    MINKE_TRY(check_no_shards(folder));
    names.insert("model.safetensors");
  }
  Safetensors made;
  for (const std::string& name : names) {
    const std::string path = fmt::format("{}/{}", folder, name);
    MINKE_ASSIGN(MappedFile file, MappedFile::open(path));
    MINKE_TRY(made.add(file.bytes(), path, made.files_.size()));
    made.files_.push_back(std::move(file));
  }
  for (const auto& [tensor, shard] : wanted) {
    if (made.find(tensor) == nullptr) {
      return fail(fmt::format("{}: tensor '{}' is missing, which the index says it has",
                              fmt::format("{}/{}", folder, shard), tensor.substr(0, 200)));
    }
  }
  return made;
}

}  // namespace minke
