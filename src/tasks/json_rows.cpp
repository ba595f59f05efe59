#include "tasks/json_rows.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <ranges>
#include <utility>

#include "tasks/final_answer.h"

namespace minke {

namespace {

constexpr uint64_t kLargest = uint64_t{1} << 30;

Result<std::string> read_file(const std::string& path) {
  std::error_code error;
  const uint64_t bytes = std::filesystem::file_size(path, error);
  if (error) return fail(fmt::format("{}: {}", path, error.message()));
  if (bytes > kLargest) {
    return fail(fmt::format("{}: has {} bytes, more than {}", path, bytes, kLargest));
  }
  std::ifstream file(path, std::ios::binary);
  std::string text(bytes, '\0');
  if (!file.read(text.data(), static_cast<std::streamsize>(bytes))) {
    return fail(fmt::format("{}: cannot be read", path));
  }
  return text;
}

Status add_row(std::string where, Value value, std::vector<JsonRow>* rows) {
  if (!value.as_object()) return fail(fmt::format("{}: a row must be a JSON object", where));
  rows->push_back({.where = std::move(where), .value = std::move(value)});
  return {};
}

}  // namespace

Result<std::string> JsonRow::text(std::string_view member) const {
  const Value* const found = value.find(member);
  if (!found || !found->as_string()) {
    return fail(fmt::format("{}: the text \"{}\" is missing", where, member));
  }
  return *found->as_string();
}

Result<std::string> JsonRow::text_or_number(std::string_view member) const {
  const Value* const found = value.find(member);
  if (found && (found->as_int() || found->as_float())) return to_json(*found);
  return text(member);
}

Result<std::vector<JsonRow>> read_json_rows(const std::string& path) {
  MINKE_ASSIGN(const std::string text, read_file(path));
  const std::string name = std::filesystem::path(path).filename().string();
  std::vector<JsonRow> rows;
  if (trimmed(text).starts_with('[')) {
    auto array = parse_json(text, {.bytes_max = kLargest});
    if (!array) return fail(fmt::format("{}: {}", path, array.error().message));
    for (Value& value : *array->as_array()) {
      MINKE_TRY(add_row(fmt::format("{}[{}]", name, rows.size()), std::move(value), &rows));
    }
    return rows;
  }
  int64_t number = 0;
  for (const auto part : std::views::split(text, '\n')) {
    const std::string_view line(part);
    ++number;
    if (trimmed(line).empty()) continue;
    auto value = parse_json(line);
    if (!value) return fail(fmt::format("{}:{}: {}", path, number, value.error().message));
    MINKE_TRY(add_row(fmt::format("{}:{}", name, number), *std::move(value), &rows));
  }
  return rows;
}

}  // namespace minke
