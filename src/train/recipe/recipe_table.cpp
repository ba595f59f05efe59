#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <limits>
#include <utility>

#include "train/recipe/document.h"
#include "train/recipe/recipe_file.h"

namespace minke {
namespace recipe {

std::string described(const Node& node) {
  if (const auto* flag = std::get_if<bool>(&node.value)) return *flag ? "true" : "false";
  if (const auto* integer = std::get_if<int64_t>(&node.value)) return fmt::format("{}", *integer);
  if (const auto* number = std::get_if<double>(&node.value)) return fmt::format("{}", *number);
  if (const auto* text = std::get_if<std::string>(&node.value)) {
    return fmt::format("the text \"{}\"", text->substr(0, 60));
  }
  if (const auto* list = node.as_list()) return fmt::format("a list of {}", list->size());
  if (node.as_table() != nullptr) return "a table";
  return "a date or time";
}

}  // namespace recipe

namespace {

using recipe::Node;

template <typename Number>
std::string range_words(std::string_view what, Number min, Number max) {
  const bool below = min > std::numeric_limits<Number>::lowest();
  const bool above = max < std::numeric_limits<Number>::max();
  if (below && above) return fmt::format("{} from {} to {}", what, min, max);
  if (below) return fmt::format("{} of at least {}", what, min);
  if (above) return fmt::format("{} of at most {}", what, max);
  return std::string(what);
}

std::string words(const NumberRange& range) {
  return range_words("a number", range.min, range.max);
}
std::string words(const IntegerRange& range) {
  return range_words("a whole number", range.min, range.max);
}

// A value that stands alone counts as a list of one.
std::span<const Node> elements_of(const Node* node) {
  if (node == nullptr) return {};
  if (const Node::List* list = node->as_list()) return *list;
  return {node, 1};
}

}  // namespace

std::string RecipeTable::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

const Node* RecipeTable::ask(std::string_view key) const {
  document_->asked[path_].insert(std::string(key));
  return node_ == nullptr ? nullptr : node_->find(key);
}

const Node* RecipeTable::require(std::string_view key, std::string_view expected) const {
  const Node* found = ask(key);
  if (found == nullptr) {
    // Behind everything that has a line, so that a misspelt key is told as such.
    document_->faults.push_back(
        {std::numeric_limits<int64_t>::max(),
         fmt::format("{}: '{}' is missing, expected {}", document_->name, path_of(key), expected)});
  }
  return found;
}

void RecipeTable::mismatch(std::string_view key, const Node& found,
                           std::string_view expected) const {
  document_->faults.push_back(
      {found.line, fmt::format("{}: {} is {}, expected {}", document_->where(found), path_of(key),
                               recipe::described(found), expected)});
}

void RecipeTable::refuse(std::string_view key, std::string_view why) const {
  const Node* found = ask(key);
  const std::string where = found == nullptr ? document_->name : document_->where(*found);
  const int64_t line = found == nullptr ? std::numeric_limits<int64_t>::max() : found->line;
  document_->faults.push_back({line, fmt::format("{}: {}: {}", where, path_of(key), why)});
}

bool RecipeTable::has(std::string_view key) const { return ask(key) != nullptr; }

std::optional<double> RecipeTable::number_in(std::string_view key, const Node& node,
                                             const NumberRange& range) const {
  double value = std::numeric_limits<double>::quiet_NaN();
  if (const auto* number = std::get_if<double>(&node.value)) value = *number;
  if (const auto* integer = std::get_if<int64_t>(&node.value)) {
    value = static_cast<double>(*integer);
  }
  // Also false for what is no number.
  if (value >= range.min && value <= range.max) return value;
  mismatch(key, node, words(range));
  return std::nullopt;
}

std::optional<int64_t> RecipeTable::integer_in(std::string_view key, const Node& node,
                                               const IntegerRange& range) const {
  constexpr double kExactMost = 0x1p53;
  std::optional<int64_t> value;
  if (const auto* integer = std::get_if<int64_t>(&node.value)) value = *integer;
  if (const auto* number = std::get_if<double>(&node.value);
      number != nullptr && std::abs(*number) <= kExactMost && *number == std::trunc(*number)) {
    value = static_cast<int64_t>(*number);
  }
  if (value && *value >= range.min && *value <= range.max) return value;
  mismatch(key, node, words(range));
  return std::nullopt;
}

std::optional<std::string> RecipeTable::text_in(std::string_view key, const Node& node) const {
  if (const auto* text = std::get_if<std::string>(&node.value)) return *text;
  // --set name=1.5 means the text where a text is wanted.
  if (const bool simple = node.as_list() == nullptr && node.as_table() == nullptr;
      simple && !node.override_text.empty()) {
    return node.override_text.substr(node.override_text.find('=') + 1);
  }
  mismatch(key, node, "a text in quotes");
  return std::nullopt;
}

double RecipeTable::number(std::string_view key, double otherwise, const NumberRange& range) const {
  const Node* node = ask(key);
  return node == nullptr ? otherwise : number_in(key, *node, range).value_or(otherwise);
}

double RecipeTable::number(std::string_view key, const NumberRange& range) const {
  const Node* node = require(key, words(range));
  return node == nullptr ? 0.0 : number_in(key, *node, range).value_or(0.0);
}

int64_t RecipeTable::integer(std::string_view key, int64_t otherwise,
                             const IntegerRange& range) const {
  const Node* node = ask(key);
  return node == nullptr ? otherwise : integer_in(key, *node, range).value_or(otherwise);
}

int64_t RecipeTable::integer(std::string_view key, const IntegerRange& range) const {
  const Node* node = require(key, words(range));
  return node == nullptr ? 0 : integer_in(key, *node, range).value_or(0);
}

bool RecipeTable::flag(std::string_view key, bool otherwise) const {
  const Node* node = ask(key);
  if (node == nullptr) return otherwise;
  if (const auto* value = std::get_if<bool>(&node->value)) return *value;
  mismatch(key, *node, "true or false");
  return otherwise;
}

std::string RecipeTable::text(std::string_view key, std::string_view otherwise) const {
  const Node* node = ask(key);
  const std::string fallback(otherwise);
  return node == nullptr ? fallback : text_in(key, *node).value_or(fallback);
}

std::string RecipeTable::text(std::string_view key) const {
  const Node* node = require(key, "a text");
  return node == nullptr ? "" : text_in(key, *node).value_or("");
}

std::string RecipeTable::choice(std::string_view key,
                                std::span<const std::string_view> choices) const {
  const Node* node = ask(key);
  if (node == nullptr) return std::string(choices.front());
  if (const auto* text = std::get_if<std::string>(&node->value)) {
    for (const std::string_view one : choices) {
      if (*text == one) return *text;
    }
  }
  mismatch(key, *node, fmt::format("one of {}", fmt::join(choices, ", ")));
  return std::string(choices.front());
}

std::vector<double> RecipeTable::numbers(std::string_view key, const NumberRange& range) const {
  std::vector<double> values;
  for (const Node& node : elements_of(ask(key))) {
    if (const auto value = number_in(key, node, range)) values.push_back(*value);
  }
  return values;
}

std::vector<int64_t> RecipeTable::integers(std::string_view key, const IntegerRange& range) const {
  std::vector<int64_t> values;
  for (const Node& node : elements_of(ask(key))) {
    if (const auto value = integer_in(key, node, range)) values.push_back(*value);
  }
  return values;
}

std::vector<std::string> RecipeTable::texts(std::string_view key) const {
  std::vector<std::string> values;
  for (const Node& node : elements_of(ask(key))) {
    if (auto value = text_in(key, node)) values.push_back(*std::move(value));
  }
  return values;
}

RecipeTable RecipeTable::table(std::string_view key) const {
  const Node* node = ask(key);
  if (node != nullptr && node->as_table() == nullptr) {
    mismatch(key, *node, fmt::format("a table: [{}]", path_of(key)));
    node = nullptr;
  }
  return {document_, node, path_of(key)};
}

std::vector<RecipeTable> RecipeTable::tables(std::string_view key) const {
  std::vector<RecipeTable> made;
  const Node* node = ask(key);
  if (node == nullptr) return made;
  const Node::List* list = node->as_list();
  if (list == nullptr) {
    mismatch(key, *node, fmt::format("tables: [[{}]]", path_of(key)));
    return made;
  }
  for (size_t i = 0; i < list->size(); ++i) {
    const Node& one = (*list)[i];
    if (one.as_table() == nullptr) {
      mismatch(key, one, fmt::format("tables: [[{}]]", path_of(key)));
      continue;
    }
    made.push_back(RecipeTable(document_, &one, fmt::format("{}.{}", path_of(key), i)));
  }
  return made;
}

}  // namespace minke
