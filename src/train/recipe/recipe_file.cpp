#include "train/recipe/recipe_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "io/catalogue.h"
#include "io/mmap.h"
#include "train/recipe/document.h"

namespace minke {
namespace recipe {

const Node* Node::find(std::string_view key) const {
  const Table* table = as_table();
  if (table == nullptr) return nullptr;
  const auto found =
      std::ranges::find_if(*table, [&](const auto& entry) { return entry.key == key; });
  return found == table->end() ? nullptr : &found->node;
}

std::string Document::where(const Node& node) const {
  if (!node.override_text.empty()) return "--set " + node.override_text;
  return fmt::format("{}:{}", name, node.line);
}

namespace {

// The element of a list of tables that a part of an override's path names.
Result<Node*> element_of(Node::List& list, std::string_view part, const std::string& text) {
  size_t index = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
  if (error != std::errc() || end != part.data() + part.size() || index >= list.size()) {
    return misuse(
        fmt::format("--set {}: '{}' names none of the list's {} elements; they count from 0", text,
                    part, list.size()));
  }
  return &list[index];
}

// One step down the path; a table that is missing is made.
Result<Node*> step_into(Node& node, std::string_view part, const std::string& text) {
  if (auto* list = std::get_if<Node::List>(&node.value)) return element_of(*list, part, text);
  Node::Table* table = node.as_table();
  if (table == nullptr) {
    return misuse(fmt::format("--set {}: what stands before '{}' is {}, expected a table", text,
                              part, described(node)));
  }
  for (auto& [key, child] : *table) {
    if (key == part) return &child;
  }
  Node made = {.value = Node::Table{}, .override_text = text};
  return &table->emplace_back(std::string(part), std::move(made)).node;
}

}  // namespace

Status apply_override(Node& root, const std::string& text) {
  const size_t equals = text.find('=');
  const std::string path = text.substr(0, equals);
  const bool spelt = !path.empty() && std::ranges::all_of(path, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
  if (equals == std::string::npos || !spelt || path.starts_with('.') || path.ends_with('.') ||
      path.contains("..")) {
    return misuse(
        fmt::format("--set {}: expected KEY=VALUE, as in --set optimizer.steps=200", text));
  }
  Node* at = &root;
  for (size_t begin = 0; begin < path.size();) {
    const size_t dot = std::min(path.find('.', begin), path.size());
    MINKE_ASSIGN(at, step_into(*at, std::string_view(path).substr(begin, dot - begin), text));
    begin = dot + 1;
  }
  *at = read_toml_value(text.substr(equals + 1));
  at->override_text = text;
  return {};
}

namespace {

std::string path_below(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

// Adds the path of each value that one of two trees has otherwise, or that the other lacks.
void find_differences(const Node* a, const Node* b, const std::string& path,
                      std::vector<std::string>& paths) {
  if (a == nullptr || b == nullptr || a->value.index() != b->value.index()) {
    return paths.push_back(path);
  }
  if (const Node::Table* table = a->as_table()) {
    for (const auto& [key, child] : *table) {
      find_differences(&child, b->find(key), path_below(path, key), paths);
    }
    for (const auto& [key, child] : *b->as_table()) {
      if (a->find(key) == nullptr) paths.push_back(path_below(path, key));
    }
  } else if (const Node::List* list = a->as_list()) {
    const Node::List& other = *b->as_list();
    if (list->size() != other.size()) return paths.push_back(path);
    for (size_t i = 0; i < other.size(); ++i) {
      find_differences(&(*list)[i], &other[i], path_below(path, std::to_string(i)), paths);
    }
  } else if (write_toml({.value = Node::Table{{"value", *a}}}) !=
             write_toml({.value = Node::Table{{"value", *b}}})) {
    paths.push_back(path);
  }
}

// Adds a fault for each key at or below `node` that nobody asked for.
void find_unknown_keys(const Document& document, const Node& node, const std::string& path,
                       std::vector<Fault>& faults) {
  const auto asked = document.asked.find(path);
  static const std::set<std::string> kNothing;
  const std::set<std::string>& known = asked == document.asked.end() ? kNothing : asked->second;
  for (const auto& [key, child] : *node.as_table()) {
    const std::string below = path_below(path, key);
    if (!known.contains(key)) {
      const std::vector<std::string> names(known.begin(), known.end());
      const std::vector<std::string> nearest = nearest_names(key, names);
      faults.push_back(
          {child.line, fmt::format("{}: there is no key '{}'{}", document.where(child), below,
                                   nearest.empty() ? ""
                                                   : fmt::format("; did you mean '{}'?",
                                                                 path_below(path, nearest[0])))});
      continue;
    }
    if (child.as_table() != nullptr) find_unknown_keys(document, child, below, faults);
    const Node::List* list = child.as_list();
    for (size_t i = 0; list != nullptr && i < list->size(); ++i) {
      if ((*list)[i].as_table() == nullptr) continue;
      find_unknown_keys(document, (*list)[i], fmt::format("{}.{}", below, i), faults);
    }
  }
}

}  // namespace
}  // namespace recipe

RecipeFile::RecipeFile(std::unique_ptr<recipe::Document> document)
    : document_(std::move(document)) {}
RecipeFile::RecipeFile(RecipeFile&& other) noexcept = default;
RecipeFile& RecipeFile::operator=(RecipeFile&& other) noexcept = default;
RecipeFile::~RecipeFile() = default;

Result<RecipeFile> RecipeFile::read(const std::string& path,
                                    std::span<const std::string> overrides) {
  constexpr size_t kBytesMax = size_t{1} << 20;
  MINKE_ASSIGN(const MappedFile file, MappedFile::open(path));
  const std::span<const std::byte> bytes = file.bytes();
  if (bytes.size() > kBytesMax) {
    return misuse(fmt::format("{}: has {} bytes, expected a recipe of at most {}", path,
                              bytes.size(), kBytesMax));
  }
  return parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path, overrides);
}

Result<RecipeFile> RecipeFile::parse(std::string_view text, const std::string& name,
                                     std::span<const std::string> overrides) {
  auto document = std::make_unique<recipe::Document>();
  document->name = name;
  MINKE_ASSIGN(document->root, recipe::read_toml(text, name));
  for (const std::string& one : overrides) {
    MINKE_TRY(recipe::apply_override(document->root, one));
  }
  return RecipeFile(std::move(document));
}

RecipeTable RecipeFile::root() const { return {document_.get(), &document_->root, ""}; }
const std::string& RecipeFile::name() const { return document_->name; }
std::vector<std::string> RecipeFile::differences(const RecipeFile& other) const {
  std::vector<std::string> keys;
  recipe::find_differences(&document_->root, &other.document_->root, "", keys);
  return keys;
}

std::string RecipeFile::as_toml() const { return recipe::write_toml(document_->root); }

Status RecipeFile::finish() const {
  std::vector<recipe::Fault> faults = document_->faults;
  recipe::find_unknown_keys(*document_, document_->root, "", faults);
  if (faults.empty()) return {};
  const auto first = std::ranges::min_element(faults, {}, &recipe::Fault::line);
  return misuse(first->message);
}

}  // namespace minke
