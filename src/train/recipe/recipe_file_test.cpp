// Recipes: what is right is read, and each fault has one sentence with its place.
#include "train/recipe/recipe_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace minke {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kRecipe = R"(name = "zero"
seed = 7

[optimizer]
learning_rate = 1e-3  # falls
betas = [0.9, 0.98]
steps = 1e3
nesterov = true

[[stages]]
kind = "sft"
[[stages]]
kind = "grpo"
)";

RecipeFile parsed(std::string_view text, const std::vector<std::string>& overrides = {}) {
  auto recipe = RecipeFile::parse(text, "zero.toml", overrides);
  if (!recipe) {
    ADD_FAILURE() << recipe.error().message;
    return *RecipeFile::parse("", "empty");
  }
  return *std::move(recipe);
}

std::string parse_error(std::string_view text, const std::vector<std::string>& overrides = {}) {
  const auto recipe = RecipeFile::parse(text, "zero.toml", overrides);
  if (recipe) return "no error";
  EXPECT_EQ(recipe.error().kind, ErrorKind::kUsage);
  return recipe.error().message;
}

std::string finish_error(const RecipeFile& recipe) {
  const Status finished = recipe.finish();
  return finished ? "no error" : finished.error().message;
}

// Some of these are what the library's parser takes for impossible.
TEST(RecipeFile, RefusesWhatIsNoToml) {
  for (const char* text :
       {"a = 1\n[[\x1b]]\n", "\u00e9 = 1", "a = 1\n\uFE7F b = 2", "a = \u00e9", "a = \"open\nb = 1",
        "a = '''open", "a = \"\\", "a = 1979-05-27T07:32:00Zb\"\u0613", "[a", "= 1", "a", "\""}) {
    const auto recipe = RecipeFile::parse(text, "r.toml");
    ASSERT_FALSE(recipe.has_value()) << text;
    EXPECT_THAT(recipe.error().message, testing::StartsWith("r.toml:")) << text;
  }
  const auto letters = RecipeFile::parse("a = 1\n\u00fcber = 1", "r.toml");
  EXPECT_THAT(letters.error().message, HasSubstr("r.toml:2: a letter outside of ASCII"));
}

TEST(RecipeFile, TakesAnyLetterInQuotesAndComments) {
  const RecipeFile recipe = parsed(
      "\uFEFF# \u00fc \\ ' \"\n"
      "a = \"\u00fc \\\" \u00fc\"\n"
      "b = '\u00fc\\'\n"
      "c = \"\"\"\n\u00fc\n\"\"\" # \u00fc\n"
      "\"\u00fc\" = '''\u00fc'''\n");
  EXPECT_EQ(recipe.root().text("a"), "\u00fc \" \u00fc");
  EXPECT_EQ(recipe.root().text("b"), "\u00fc\\");
  EXPECT_EQ(recipe.root().text("c"), "\u00fc\n");
  EXPECT_EQ(recipe.root().text("\u00fc"), "\u00fc");
}

TEST(RecipeFile, NamesTheKeysThatDiffer) {
  const auto differing = [](std::string_view one, std::string_view other) {
    return RecipeFile::parse(one, "a.toml")
        .value()
        .differences(RecipeFile::parse(other, "b.toml").value());
  };
  EXPECT_THAT(differing("a = 1\nb = 'x'\n", "b = 'x'\na = 1\n"), IsEmpty());
  EXPECT_THAT(differing("a = 1\n[t]\nb = 2\n", "a = 1.0\n[t]\nb = 3\nc = 4\n"),
              ElementsAre("a", "t.b", "t.c"));
  EXPECT_THAT(differing("[[s]]\nn = 1\n[[s]]\nn = 2\n", "[[s]]\nn = 1\n[[s]]\nn = 3\n"),
              ElementsAre("s.1.n"));
  EXPECT_THAT(differing("a = [1, 2]\nb = 1\n", "a = [1]\n"), ElementsAre("a", "b"));
}

TEST(RecipeFile, ReadsEachKindOfValue) {
  const RecipeFile recipe = parsed(kRecipe);
  const RecipeTable root = recipe.root();
  EXPECT_EQ(root.text("name"), "zero");
  EXPECT_EQ(root.integer("seed", 1), 7);
  EXPECT_EQ(root.integer("threads", 2), 2);
  const RecipeTable optimizer = root.table("optimizer");
  EXPECT_EQ(optimizer.number("learning_rate", 1.0, {.min = 0, .max = 1}), 1e-3);
  EXPECT_EQ(optimizer.integer("steps", {.min = 1}), 1000);
  EXPECT_TRUE(optimizer.flag("nesterov", false));
  EXPECT_THAT(optimizer.numbers("betas", {.min = 0, .max = 1}), ElementsAre(0.9, 0.98));
  EXPECT_EQ(optimizer.choice("kind", {"adamw", "muon"}), "adamw");
  std::vector<std::string> kinds;
  for (const RecipeTable& stage : root.tables("stages")) {
    kinds.push_back(stage.choice("kind", {"pretrain", "sft", "grpo"}));
  }
  EXPECT_THAT(kinds, ElementsAre("sft", "grpo"));
  EXPECT_FALSE(root.table("model").has("layers"));
  EXPECT_EQ(root.table("model").integer("layers", 4), 4);
  EXPECT_EQ(finish_error(recipe), "no error");
}

TEST(RecipeFile, AKeyNobodyAskedForIsRefusedWithTheNearest) {
  const RecipeFile recipe =
      parsed("seed = 1\n[optimizer]\nlerning_rate = 0.1\n[model]\nlayers = 2\n");
  recipe.root().integer("seed", 0);
  // Missing too, but the misspelt key says why.
  recipe.root().table("optimizer").number("learning_rate");
  EXPECT_EQ(finish_error(recipe),
            "zero.toml:3: there is no key 'optimizer.lerning_rate'; did you mean "
            "'optimizer.learning_rate'?");
}

TEST(RecipeFile, UnknownTablesAndKeysOfListedTablesAreRefused) {
  const RecipeFile table = parsed("[extra]\na = 1\n");
  EXPECT_THAT(finish_error(table), HasSubstr("zero.toml:1: there is no key 'extra'"));
  const RecipeFile listed = parsed(kRecipe);
  listed.root().text("name");
  listed.root().integer("seed", 1);
  const RecipeTable optimizer = listed.root().table("optimizer");
  for (const char* key : {"learning_rate", "betas", "steps", "nesterov"}) optimizer.has(key);
  listed.root().tables("stages")[0].text("kind");
  EXPECT_THAT(finish_error(listed), HasSubstr("zero.toml:13: there is no key 'stages.1.kind'"));
}

TEST(RecipeFile, WrongValuesNameFileLineKeyFoundAndExpected) {
  const auto error_of = [](const char* text, auto ask) {
    const RecipeFile recipe = parsed(text);
    ask(recipe.root());
    return finish_error(recipe);
  };
  using Table = const RecipeTable&;
  EXPECT_EQ(error_of("\na = 2", [](Table t) { EXPECT_EQ(t.number("a", 0.5, {0, 1}), 0.5); }),
            "zero.toml:2: a is 2, expected a number from 0 to 1");
  EXPECT_EQ(error_of("a = nan", [](Table t) { t.number("a", 0.5); }),
            "zero.toml:1: a is nan, expected a number");
  EXPECT_EQ(error_of("a = inf", [](Table t) { t.number("a"); }),
            "zero.toml:1: a is inf, expected a number");
  EXPECT_EQ(error_of("a = 1.5", [](Table t) { t.integer("a", 1, {.min = 1}); }),
            "zero.toml:1: a is 1.5, expected a whole number of at least 1");
  EXPECT_EQ(error_of("a = 1e300", [](Table t) { t.integer("a", 1, {.max = 9}); }),
            "zero.toml:1: a is 1e+300, expected a whole number of at most 9");
  EXPECT_EQ(error_of("a = 'x'", [](Table t) { t.integer("a"); }),
            "zero.toml:1: a is the text \"x\", expected a whole number");
  EXPECT_EQ(error_of("a = 3", [](Table t) { t.text("a"); }),
            "zero.toml:1: a is 3, expected a text in quotes");
  EXPECT_EQ(error_of("a = 1979-05-27", [](Table t) { t.text("a", "x"); }),
            "zero.toml:1: a is a date or time, expected a text in quotes");
  EXPECT_EQ(error_of("a = 1", [](Table t) { t.flag("a", true); }),
            "zero.toml:1: a is 1, expected true or false");
  EXPECT_EQ(error_of("a = 'b'", [](Table t) { t.choice("a", {"c", "d"}); }),
            "zero.toml:1: a is the text \"b\", expected one of c, d");
  EXPECT_EQ(error_of("a = [1,\n 'b']", [](Table t) { t.numbers("a"); }),
            "zero.toml:2: a is the text \"b\", expected a number");
  EXPECT_EQ(error_of("a = 1", [](Table t) { t.table("a").text("b", ""); }),
            "zero.toml:1: a is 1, expected a table: [a]");
  EXPECT_EQ(error_of("[a]", [](Table t) { EXPECT_THAT(t.tables("a"), IsEmpty()); }),
            "zero.toml:1: a is a table, expected tables: [[a]]");
  EXPECT_EQ(error_of("", [](Table t) { t.table("b").integer("a", {.min = 2}); }),
            "zero.toml: 'b.a' is missing, expected a whole number of at least 2");
  EXPECT_EQ(error_of("a = 1\nb = 2",
                     [](Table t) {
                       t.integer("a");
                       t.integer("b");
                       t.refuse("b", "must be less than a");
                     }),
            "zero.toml:2: b: must be less than a");
}

TEST(RecipeFile, TheFirstFaultInTheFileIsTold) {
  const RecipeFile recipe = parsed("b = 'x'\na = 'x'\n");
  recipe.root().integer("a", 1);
  recipe.root().integer("b", 1);
  EXPECT_THAT(finish_error(recipe), HasSubstr("zero.toml:1: b is"));
}

TEST(RecipeFile, WhatIsNoTomlHasItsLine) {
  EXPECT_THAT(parse_error("a = 1\nb = \n"), HasSubstr("zero.toml:2: "));
  EXPECT_THAT(parse_error("a = 1\na = 2\n"), HasSubstr("zero.toml:2: "));
  EXPECT_THAT(parse_error("a = \"\xff\"\n"), HasSubstr("zero.toml:1: "));
  EXPECT_THAT(parse_error("a = " + std::string(100'000, '[')), HasSubstr("zero.toml:1: "));
  EXPECT_FALSE(RecipeFile::read("/nowhere/zero.toml"));
}

TEST(RecipeFile, OverridesReplaceAndAdd) {
  const RecipeFile recipe = parsed(
      kRecipe, {"optimizer.steps=20", "name=a model: b", "model.file=1.5", "stages.1.kind=reject",
                "optimizer.betas=[0.5, 0.6]", "optimizer.nesterov=false", "empty="});
  const RecipeTable root = recipe.root();
  EXPECT_EQ(root.table("optimizer").integer("steps"), 20);
  EXPECT_EQ(root.text("name"), "a model: b");
  EXPECT_EQ(root.table("model").text("file"), "1.5");
  EXPECT_EQ(root.tables("stages")[1].text("kind"), "reject");
  EXPECT_THAT(root.table("optimizer").numbers("betas"), ElementsAre(0.5, 0.6));
  EXPECT_FALSE(root.table("optimizer").flag("nesterov", true));
  EXPECT_EQ(root.text("empty"), "");
}

TEST(RecipeFile, OverridesAreRefusedLikeTheFile) {
  const RecipeFile wrong = parsed("a = 1", {"a=x"});
  wrong.root().integer("a");
  EXPECT_EQ(finish_error(wrong), "--set a=x: a is the text \"x\", expected a whole number");
  const RecipeFile unknown = parsed("steps = 1", {"step=2"});
  unknown.root().integer("steps");
  EXPECT_EQ(finish_error(unknown), "--set step=2: there is no key 'step'; did you mean 'steps'?");
  EXPECT_THAT(parse_error("", {"a"}), HasSubstr("--set a: expected KEY=VALUE"));
  EXPECT_THAT(parse_error("", {"=1"}), HasSubstr("expected KEY=VALUE"));
  EXPECT_THAT(parse_error("", {"a..b=1"}), HasSubstr("expected KEY=VALUE"));
  EXPECT_THAT(parse_error("a = 1", {"a.b=1"}), HasSubstr("before 'b' is 1, expected a table"));
  EXPECT_THAT(parse_error("[[a]]", {"a.1.b=1"}), HasSubstr("'1' names none of the list's 1"));
  // A line end in a value does not smuggle in a second key.
  EXPECT_EQ(parsed("", {"a=1\nb=2"}).root().text("a"), "1\nb=2");
}

TEST(RecipeFile, AsTomlReadsBackAsTheSame) {
  const RecipeFile recipe =
      parsed(kRecipe, {"optimizer.steps=20", "text=a \"quoted\\\" word", "x.y.z=[1.0, -2e-7]"});
  const std::string text = recipe.as_toml();
  const RecipeFile again = parsed(text);
  EXPECT_EQ(again.as_toml(), text);
  EXPECT_EQ(again.root().text("text"), "a \"quoted\\\" word");
  EXPECT_EQ(again.root().table("optimizer").integer("steps"), 20);
  EXPECT_THAT(again.root().table("x").table("y").numbers("z"), ElementsAre(1.0, -2e-7));
  EXPECT_EQ(again.root().tables("stages").size(), 2u);
}

}  // namespace
}  // namespace minke
