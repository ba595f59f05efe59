#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>

#include "server/history/records.h"

namespace minke::history {
namespace {

struct NumberRule {
  std::string_view name;
  double least;
  double most;
  bool whole;
};
constexpr double kCountMax = 1 << 30;
constexpr std::array<NumberRule, 10> kNumbers = {{{"temperature", 0, 2, false},
                                                  {"top_p", 0, 1, false},
                                                  {"top_k", 0, kCountMax, true},
                                                  {"min_p", 0, 1, false},
                                                  {"repeat_penalty", 0, 2, false},
                                                  {"presence_penalty", -2, 2, false},
                                                  {"frequency_penalty", -2, 2, false},
                                                  {"seed", -9.0e18, 9.0e18, true},
                                                  {"tokens_max", 1, kCountMax, true},
                                                  {"think_budget", 0, kCountMax, true}}};

struct TextRule {
  std::string_view name;
  size_t bytes_max;
};
constexpr std::array<TextRule, 2> kTexts = {{{"model", 256}, {"system", size_t{1} << 20}}};
constexpr size_t kStopsMax = 16;
constexpr size_t kStopBytesMax = 256;

// How a wrong value is shown in a sentence.
std::string shown(const Value& value) {
  std::string json = to_json(value);
  constexpr size_t kBytesMax = 40;
  if (json.size() <= kBytesMax) return json;
  size_t end = kBytesMax;
  while ((static_cast<unsigned char>(json[end]) & 0xC0U) == 0x80) --end;
  return json.substr(0, end) + "...";
}

Status check_number(const NumberRule& rule, const Value& value) {
  const int64_t* integer = value.as_int();
  const double* real = value.as_float();
  const bool is_number = integer != nullptr || (real != nullptr && std::isfinite(*real));
  const double number = integer != nullptr ? static_cast<double>(*integer) : is_number ? *real : 0;
  const bool fits = is_number && (!rule.whole || integer != nullptr) && number >= rule.least &&
                    number <= rule.most;
  if (fits) return {};
  return misuse(fmt::format("{} must be {} in [{}, {}], got {}", rule.name,
                            rule.whole ? "a whole number" : "a number", rule.least, rule.most,
                            shown(value)));
}

Status check_stop(const Value& value) {
  const Value::Array* texts = value.as_array();
  bool fits = texts != nullptr && texts->size() <= kStopsMax;
  for (size_t i = 0; fits && i < texts->size(); ++i) {
    const std::string* text = (*texts)[i].as_string();
    fits = text != nullptr && !text->empty() && text->size() <= kStopBytesMax;
  }
  if (fits) return {};
  return misuse(fmt::format("stop must be a list of at most {} texts of 1 to {} bytes, got {}",
                            kStopsMax, kStopBytesMax, shown(value)));
}

Status check_member(const std::string& name, const Value& value) {
  for (const NumberRule& rule : kNumbers)
    if (rule.name == name) return check_number(rule, value);
  for (const TextRule& rule : kTexts) {
    if (rule.name != name) continue;
    const std::string* text = value.as_string();
    if (text != nullptr && text->size() <= rule.bytes_max) return {};
    return misuse(fmt::format("{} must be a text of at most {} bytes, got {}", name, rule.bytes_max,
                              shown(value)));
  }
  if (name == "stop") return check_stop(value);
  if (name == "think") {
    if (value.as_bool() != nullptr) return {};
    return misuse(fmt::format("think must be true or false, got {}", shown(value)));
  }
  return misuse(fmt::format("{} is no setting", shown(Value(name))));
}

}  // namespace

Status check_settings(const Value& settings) {
  const Value::Object* members = settings.as_object();
  if (members == nullptr)
    return misuse(fmt::format("settings must be an object, got {}", shown(settings)));
  for (const auto& [name, value] : *members)
    if (!value.is_null()) MINKE_TRY(check_member(name, value));
  return {};
}

Value merged_settings(const Value& base, const Value& over) {
  Value::Object merged;
  for (const Value* settings : {&over, &base}) {
    if (settings->as_object() == nullptr) continue;
    for (const auto& [name, value] : *settings->as_object()) {
      const auto has_name = [&](const Value::Member& member) { return member.first == name; };
      if (!value.is_null() && std::none_of(merged.begin(), merged.end(), has_name))
        merged.emplace_back(name, value);
    }
  }
  return merged;
}

}  // namespace minke::history
