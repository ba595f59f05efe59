#include "server/ollama/ollama.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <utility>

namespace minke::server {

std::string ollama_time(std::chrono::system_clock::time_point time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(time - whole).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(whole)), micros);
}

std::optional<std::chrono::seconds> read_keep_alive(const Value& value) {
  constexpr double kSecondsMax = 1e9;
  const auto seconds = [](double number) -> std::optional<std::chrono::seconds> {
    if (!(std::abs(number) <= kSecondsMax)) return std::nullopt;
    if (number < 0) return std::chrono::seconds(-1);
    return std::chrono::seconds(static_cast<int64_t>(std::ceil(number)));
  };
  if (const int64_t* integer = value.as_int()) return seconds(static_cast<double>(*integer));
  if (const double* number = value.as_float()) return seconds(*number);
  const std::string* text = value.as_string();
  if (text == nullptr || text->empty()) return std::nullopt;
  // Durations as Go writes them: numbers with units, in a row. A bare number is of seconds.
  struct Unit {
    std::string_view name;
    double seconds;
  };
  constexpr std::array<Unit, 6> kUnits = {
      {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}}};
  std::string_view rest = *text;
  const double sign = rest.starts_with('-') ? -1 : 1;
  if (rest.starts_with('-') || rest.starts_with('+')) rest.remove_prefix(1);
  double total = 0;
  bool has_bare = false;
  for (bool is_first = true; !rest.empty(); is_first = false) {
    // A second sign is none.
    if (std::isdigit(static_cast<unsigned char>(rest[0])) == 0) return std::nullopt;
    double number = 0;
    const auto [end, error] =
        std::from_chars(rest.data(), rest.data() + rest.size(), number, std::chars_format::fixed);
    if (error != std::errc() || has_bare) return std::nullopt;
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    size_t letters = 0;
    while (letters < rest.size() && std::isalpha(static_cast<unsigned char>(rest[letters])) != 0) {
      ++letters;
    }
    const std::string_view name = rest.substr(0, letters);
    rest.remove_prefix(letters);
    has_bare = name.empty();
    if (has_bare && !is_first) return std::nullopt;
    const Unit* found = nullptr;
    for (const Unit& unit : kUnits) {
      if (unit.name == name) found = &unit;
    }
    if (!has_bare && found == nullptr) return std::nullopt;
    total += number * (has_bare ? 1 : found->seconds);
  }
  return seconds(sign * total);
}

std::vector<Member> ollama_name_members() {
  return {optional("model", Shape::string().at_most(500), "A name of /api/tags"),
          optional("name", Shape::string().at_most(500), "The same, in an older word")};
}

std::expected<std::string, ApiError> read_ollama_name(const Value& body) {
  const std::string name = text_member(body, "model", text_member(body, "name"));
  if (name.empty()) return std::unexpected(bad_request("model is missing", "model"));
  return name;
}

}  // namespace minke::server
