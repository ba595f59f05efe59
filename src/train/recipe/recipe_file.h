// A training recipe: a TOML file whose keys are asked for one by one, with what they must be.
//
//   MINKE_ASSIGN(RecipeFile recipe, RecipeFile::read("recipes/zero.toml",
//   {{"optimizer.steps=20"}})); RecipeTable optimizer = recipe.root().table("optimizer");
//   options.learning_rate = optimizer.number("learning_rate", 1e-3, {.min = 0, .max = 1});
//   options.steps = optimizer.integer("steps", {.min = 1});   // no default: must be there
//   MINKE_TRY(recipe.finish());
//
// A question is answered at once, with the default (or nothing) where the file is at fault; the
// first fault waits for finish(), which also refuses keys that nobody asked for. So values may be
// used only behind a finish() that succeeded. One thread; tables point into their RecipeFile.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace minke {

// Both ends belong to the range.
struct NumberRange {
  double min = std::numeric_limits<double>::lowest();
  double max = std::numeric_limits<double>::max();
};
struct IntegerRange {
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
};

namespace recipe {
struct Node;
struct Document;
}  // namespace recipe

// One table of a recipe. A table that the file lacks answers with the defaults.
class RecipeTable {
 public:
  bool has(std::string_view key) const;

  // Each with a default, or without one: then a file without the key is at fault.
  double number(std::string_view key, double otherwise, const NumberRange& range = {}) const;
  double number(std::string_view key, const NumberRange& range = {}) const;
  // Also what is written as a number without a fraction: 1e6.
  int64_t integer(std::string_view key, int64_t otherwise, const IntegerRange& range = {}) const;
  int64_t integer(std::string_view key, const IntegerRange& range = {}) const;
  bool flag(std::string_view key, bool otherwise) const;
  std::string text(std::string_view key, std::string_view otherwise) const;
  std::string text(std::string_view key) const;
  // One of `choices`, of which the first is the default.
  std::string choice(std::string_view key, std::span<const std::string_view> choices) const;
  std::string choice(std::string_view key, std::initializer_list<std::string_view> choices) const {
    return choice(key, std::span(choices.begin(), choices.size()));
  }
  // Lists; a value that stands alone is a list of one. Without the key they are empty.
  std::vector<double> numbers(std::string_view key, const NumberRange& range = {}) const;
  std::vector<int64_t> integers(std::string_view key, const IntegerRange& range = {}) const;
  std::vector<std::string> texts(std::string_view key) const;

  RecipeTable table(std::string_view key) const;
  // [[key]], in their order.
  std::vector<RecipeTable> tables(std::string_view key) const;

  // What the caller finds wrong itself, about a key that is there or not: "file:line: key: ...".
  void refuse(std::string_view key, std::string_view why) const;

 private:
  friend class RecipeFile;
  RecipeTable(recipe::Document* document, const recipe::Node* node, std::string path)
      : document_(document), node_(node), path_(std::move(path)) {}
  // The key's node, or null where it is absent; the key counts as asked for.
  const recipe::Node* ask(std::string_view key) const;
  const recipe::Node* require(std::string_view key, std::string_view expected) const;
  std::string path_of(std::string_view key) const;
  void mismatch(std::string_view key, const recipe::Node& found, std::string_view expected) const;
  std::optional<double> number_in(std::string_view key, const recipe::Node& node,
                                  const NumberRange& range) const;
  std::optional<int64_t> integer_in(std::string_view key, const recipe::Node& node,
                                    const IntegerRange& range) const;
  std::optional<std::string> text_in(std::string_view key, const recipe::Node& node) const;

  recipe::Document* document_;
  const recipe::Node* node_;  // null: the file has no such table
  std::string path_;          // "optimizer", "stages.1"; empty for the root
};

class RecipeFile {
 public:
  // `overrides` are "a.b=value" with the value as TOML writes it, or a text without quotes; a
  // number names one of [[a]], from 0. They replace or add keys. Misuse where the recipe is at
  // fault.
  static Result<RecipeFile> read(const std::string& path,
                                 std::span<const std::string> overrides = {});
  // The same of a text; `name` stands for the file in messages.
  static Result<RecipeFile> parse(std::string_view text, const std::string& name,
                                  std::span<const std::string> overrides = {});
  RecipeFile(RecipeFile&& other) noexcept;
  RecipeFile& operator=(RecipeFile&& other) noexcept;
  ~RecipeFile();

  RecipeTable root() const;
  // Where the recipe came from.
  const std::string& name() const;
  // Misuse with the fault that stands first in the file, if there is any: a value that was refused,
  // a key that is missing, a key that nobody asked for (with the nearest that somebody did).
  Status finish() const;
  // The keys, as "stage.0.steps", whose values another recipe has otherwise or not at all, or has
  // alone. The order of keys does not matter.
  std::vector<std::string> differences(const RecipeFile& other) const;
  // The recipe with its overrides, as TOML, for the run's folder.
  std::string as_toml() const;

 private:
  explicit RecipeFile(std::unique_ptr<recipe::Document> document);
  std::unique_ptr<recipe::Document> document_;
};

}  // namespace minke
