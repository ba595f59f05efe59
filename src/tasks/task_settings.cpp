#include "tasks/task_settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <ranges>

#include "core/check.h"

namespace minke {

namespace {

std::optional<int64_t> value_of(const TaskParameter& parameter, std::string_view text) {
  if (!parameter.choices.empty()) {
    const auto found = std::ranges::find(parameter.choices, text);
    if (found == parameter.choices.end()) return std::nullopt;
    return found - parameter.choices.begin();
  }
  int64_t value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (value < parameter.min || value > parameter.max) return std::nullopt;
  return value;
}

std::string values_of(const TaskParameter& parameter) {
  if (parameter.is_text) return "text";
  if (!parameter.choices.empty()) return fmt::format("{}", fmt::join(parameter.choices, "|"));
  return fmt::format("{} to {}", parameter.min, parameter.max);
}

std::string number_text(const TaskParameter& parameter, int64_t value) {
  if (parameter.choices.empty()) return std::to_string(value);
  return std::string(parameter.choices[static_cast<size_t>(value)]);
}

}  // namespace

std::string describe(std::span<const TaskParameter> parameters) {
  std::vector<std::string> parts;
  for (const TaskParameter& parameter : parameters) {
    parts.push_back(fmt::format("{}={} ({}: {})", parameter.name,
                                parameter.is_text ? "" : number_text(parameter, parameter.usual),
                                values_of(parameter), parameter.about));
  }
  return parts.empty() ? "none" : fmt::format("{}", fmt::join(parts, ", "));
}

Result<TaskSettings> TaskSettings::parse(std::string_view task,
                                         std::span<const TaskParameter> parameters,
                                         std::string_view text) {
  TaskSettings settings;
  settings.parameters_ = parameters;
  for (const auto part : std::views::split(text, ',')) {
    const std::string_view setting(part);
    if (setting.empty()) continue;
    const std::string_view name = setting.substr(0, setting.find('='));
    const auto known = std::ranges::find(parameters, name, &TaskParameter::name);
    if (known == parameters.end()) {
      return misuse(fmt::format("task '{}' has no parameter '{}'; it has {}", task, name,
                                describe(parameters)));
    }
    const std::string_view value =
        name.size() < setting.size() ? setting.substr(name.size() + 1) : std::string_view();
    if (known->is_text) {
      settings.texts_[known->name] = value;
      continue;
    }
    const auto number = value_of(*known, value);
    if (!number) {
      return misuse(fmt::format("task '{}': {} is '{}', and should be {}", task, name, value,
                                values_of(*known)));
    }
    if (!settings.numbers_.emplace(known->name, *number).second) {
      return misuse(fmt::format("task '{}': {} is given twice", task, name));
    }
  }
  std::vector<std::string> unusual;
  for (const TaskParameter& parameter : parameters) {
    if (parameter.is_text) {
      const std::string& value = settings.texts_[parameter.name];
      if (!value.empty()) unusual.push_back(fmt::format("{}={}", parameter.name, value));
      continue;
    }
    const int64_t value =
        settings.numbers_.try_emplace(parameter.name, parameter.usual).first->second;
    if (value == parameter.usual) continue;
    unusual.push_back(fmt::format("{}={}", parameter.name, number_text(parameter, value)));
  }
  settings.spec_ =
      unusual.empty() ? std::string(task) : fmt::format("{}:{}", task, fmt::join(unusual, ","));
  return settings;
}

int64_t TaskSettings::number(std::string_view parameter) const {
  const auto found = numbers_.find(parameter);
  CHECK(found != numbers_.end());
  return found->second;
}

const std::string& TaskSettings::text(std::string_view parameter) const {
  const auto found = texts_.find(parameter);
  CHECK(found != texts_.end());
  return found->second;
}

bool TaskSettings::chosen(std::string_view parameter, std::string_view choice) const {
  const auto known = std::ranges::find(parameters_, parameter, &TaskParameter::name);
  CHECK(known != parameters_.end());
  const auto found = std::ranges::find(known->choices, choice);
  CHECK(found != known->choices.end());
  return number(parameter) == found - known->choices.begin();
}

}  // namespace minke
