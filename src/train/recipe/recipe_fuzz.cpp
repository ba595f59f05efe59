// Any bytes as a recipe. What is read and written again is the same recipe, and a question is
// answered whatever kind of value stands there.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/check.h"
#include "train/recipe/recipe_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto recipe = minke::RecipeFile::parse(text, "recipe.toml");
  if (!recipe) {
    CHECK(recipe.error().message.starts_with("recipe.toml:"));
    return 0;
  }
  const std::string written = recipe->as_toml();
  const auto again = minke::RecipeFile::parse(written, "recipe.toml");
  CHECK(again.has_value());
  CHECK(again->as_toml() == written);
  const minke::RecipeTable root = recipe->root();
  static_cast<void>(root.text("name", "none"));
  static_cast<void>(root.texts("words"));
  static_cast<void>(root.integers("numbers"));
  CHECK_GE(root.integer("seed", 1, {.min = 0, .max = 9}), 0);
  CHECK_LE(root.table("model").number("rate", 0.5, {.min = 0, .max = 1}), 1.0);
  for (const minke::RecipeTable& stage : root.tables("stage")) {
    static_cast<void>(stage.choice("kind", {"supervised", "grpo"}));
    static_cast<void>(stage.table("optimizer").flag("on", false));
  }
  const minke::Status status = recipe->finish();
  CHECK(status || status.error().message.starts_with("recipe.toml"));
  // An override is a value, or misuse.
  const std::string override = "a.b=" + std::string(text.substr(0, 40));
  static_cast<void>(minke::RecipeFile::parse("[a]\nb = 1\n", "recipe.toml", {&override, 1}));
  return 0;
}
