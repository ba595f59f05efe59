// Random schemas against an independent implementation: what it says of values
// (tests/golden/make_schema_golden.py), and what a validator of our own says of texts that the
// grammar makes. The validator is held to the same golden file, so that it is worth something.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "core/check.h"
#include "text/grammar_automaton.h"
#include "text/grammar_regex.h"
#include "text/grammar_schema.h"
#include "text/unicode.h"
#include "text/value.h"

namespace minke {
namespace {

std::vector<Value> golden() {
  std::ifstream file(MINKE_SOURCE_DIR "/tests/golden/schema/random.jsonl");
  CHECK(file.good());
  std::vector<Value> out;
  for (std::string line; std::getline(file, line);) out.push_back(parse_json(line).value());
  return out;
}

// JSON Schema word for word, for the keywords of the golden file.
class Validator {
 public:
  explicit Validator(const Value& root) : root_(root) {}

  bool holds(const Value& schema, const Value& value) const {
    if (const bool* all = schema.as_bool()) return *all;
    for (const auto& [keyword, argument] : *schema.as_object()) {
      if (!keyword_holds(schema, keyword, argument, value)) return false;
    }
    return true;
  }

 private:
  static double number(const Value& value) {
    return value.as_int() != nullptr ? static_cast<double>(*value.as_int()) : *value.as_float();
  }
  static bool is_number(const Value& value) {
    return value.as_int() != nullptr || value.as_float() != nullptr;
  }
  static bool has_type(const Value& type, const Value& value) {
    if (const Value::Array* several = type.as_array()) {
      return std::ranges::any_of(*several, [&](const Value& one) { return has_type(one, value); });
    }
    const std::string& name = *type.as_string();
    if (name == "null") return value.is_null();
    if (name == "boolean") return value.as_bool() != nullptr;
    if (name == "number") return is_number(value);
    if (name == "integer") return is_number(value) && std::floor(number(value)) == number(value);
    if (name == "string") return value.as_string() != nullptr;
    return name == "array" ? value.as_array() != nullptr : value.as_object() != nullptr;
  }
  static int64_t characters(const std::string& text) {
    return std::ranges::count_if(text,
                                 [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
  }
  static bool matches(const std::string& pattern, const std::string& text) {
    Grammar grammar;
    const Grammar::Rule root = grammar.add_rule("pattern");
    grammar.define(root, add_regex(grammar, pattern, {.is_search = true}).value().expr);
    return GrammarAutomaton::create(grammar, root).value().matches(text);
  }

  bool keyword_holds(const Value& schema, const std::string& keyword, const Value& argument,
                     const Value& value) const {
    if (keyword == "type") return has_type(argument, value);
    if (keyword == "enum") {
      return std::ranges::any_of(*argument.as_array(), [&](const Value& one) {
        return one == value || (is_number(one) && is_number(value) && number(one) == number(value));
      });
    }
    if (keyword == "$ref") return holds(*root_.find("$defs")->find("d"), value);
    if (keyword == "anyOf" || keyword == "allOf") {
      const auto right = [&](const Value& one) { return holds(one, value); };
      return keyword == "anyOf" ? std::ranges::any_of(*argument.as_array(), right)
                                : std::ranges::all_of(*argument.as_array(), right);
    }
    if (is_number(value)) {
      if (keyword == "minimum") return number(value) >= number(argument);
      if (keyword == "maximum") return number(value) <= number(argument);
      if (keyword == "exclusiveMinimum") return number(value) > number(argument);
      if (keyword == "exclusiveMaximum") return number(value) < number(argument);
    } else if (const std::string* text = value.as_string()) {
      if (keyword == "minLength") return characters(*text) >= *argument.as_int();
      if (keyword == "maxLength") return characters(*text) <= *argument.as_int();
      if (keyword == "pattern") return matches(*argument.as_string(), *text);
    } else if (const Value::Array* items = value.as_array()) {
      return array_holds(schema, keyword, argument, *items);
    } else if (const Value::Object* members = value.as_object()) {
      return object_holds(schema, keyword, argument, *members);
    }
    return true;
  }

  bool array_holds(const Value& schema, const std::string& keyword, const Value& argument,
                   const Value::Array& items) const {
    const Value* prefix = schema.find("prefixItems");
    const size_t fixed = prefix == nullptr ? 0 : prefix->as_array()->size();
    if (keyword == "minItems") return std::ssize(items) >= *argument.as_int();
    if (keyword == "maxItems") return std::ssize(items) <= *argument.as_int();
    for (size_t i = 0; i < items.size(); ++i) {
      if (keyword == "prefixItems" && i < fixed && !holds((*argument.as_array())[i], items[i])) {
        return false;
      }
      if (keyword == "items" && i >= fixed && !holds(argument, items[i])) return false;
    }
    return true;
  }

  bool object_holds(const Value& schema, const std::string& keyword, const Value& argument,
                    const Value::Object& members) const {
    const Value* properties = schema.find("properties");
    if (keyword == "required") {
      return std::ranges::all_of(*argument.as_array(), [&](const Value& name) {
        return std::ranges::any_of(
            members, [&](const Value::Member& one) { return one.first == *name.as_string(); });
      });
    }
    for (const auto& [name, value] : members) {
      const Value* own = properties == nullptr ? nullptr : properties->find(name);
      if (keyword == "properties" && own != nullptr && !holds(*own, value)) return false;
      if (keyword == "additionalProperties" && own == nullptr && !holds(argument, value)) {
        return false;
      }
    }
    return true;
  }

  const Value& root_;
};

// Schemas that nothing satisfies are errors.
Result<GrammarAutomaton> automaton_of(const Value& schema) {
  MINKE_ASSIGN(const Grammar grammar, json_schema_grammar(to_json(schema)));
  return GrammarAutomaton::create(grammar, 0);
}

TEST(SchemaGolden, TakesAndRefusesAsJsonschemaDoes) {
  int checked = 0;
  for (const Value& line : golden()) {
    const Value& schema = *line.find("schema");
    Result<GrammarAutomaton> automaton = automaton_of(schema);
    const Value::Array& right = *line.find("right")->as_array();
    if (!automaton) {
      EXPECT_TRUE(right.empty()) << to_json(schema) << ": " << automaton.error().message;
      EXPECT_NE(automaton.error().message.find("no text can satisfy"), std::string::npos)
          << to_json(schema) << ": " << automaton.error().message;
      continue;
    }
    for (const Value& text : right) {
      EXPECT_TRUE(automaton->matches(*text.as_string()))
          << to_json(schema) << " should take " << *text.as_string();
      ++checked;
    }
    for (const Value& text : *line.find("wrong")->as_array()) {
      EXPECT_FALSE(automaton->matches(*text.as_string()))
          << to_json(schema) << " should refuse " << *text.as_string();
      ++checked;
    }
  }
  EXPECT_GT(checked, 2000);
}

TEST(SchemaGolden, TheValidatorSaysWhatJsonschemaSays) {
  for (const Value& line : golden()) {
    const Value& schema = *line.find("schema");
    const Validator validator(schema);
    for (const std::string_view verdict : {"right", "wrong"}) {
      for (const Value& text : *line.find(verdict)->as_array()) {
        EXPECT_EQ(validator.holds(schema, parse_json(*text.as_string()).value()),
                  verdict == "right")
            << to_json(schema) << " and " << *text.as_string();
      }
    }
  }
}

// A text made by going from state to state at random, with a liking for the end when it is near.
std::string random_text(GrammarAutomaton& automaton, std::mt19937& random) {
  std::string text;
  GrammarAutomaton::State state = automaton.start();
  while (true) {
    std::vector<uint8_t> bytes;
    for (int byte = 0; byte < 256; ++byte) {
      const auto c = static_cast<uint8_t>(byte);
      if (automaton.next(state, c) != GrammarAutomaton::kDead) bytes.push_back(c);
    }
    if (automaton.may_end(state) && (bytes.empty() || random() % 3 == 0)) return text;
    EXPECT_FALSE(bytes.empty()) << "nothing can follow " << text;
    if (bytes.empty()) return text;
    uint8_t next = bytes[random() % bytes.size()];
    // What closes comes sooner or later.
    for (const char c : {'"', '}', ']'}) {
      const auto close = static_cast<uint8_t>(c);
      if (random() % 4 == 0 && std::ranges::find(bytes, close) != bytes.end()) next = close;
    }
    text += static_cast<char>(next);
    state = automaton.next(state, next);
  }
}

TEST(SchemaGolden, EveryTextOfTheGrammarIsRight) {
  std::mt19937 random(11);
  int made = 0;
  for (const Value& line : golden()) {
    const Value& schema = *line.find("schema");
    Result<GrammarAutomaton> automaton = automaton_of(schema);
    if (!automaton) continue;
    const Validator validator(schema);
    for (int i = 0; i < 12; ++i) {
      const std::string text = random_text(*automaton, random);
      ASSERT_TRUE(is_valid_utf8(text));
      const Result<Value> value = parse_json(text);
      ASSERT_TRUE(value.has_value()) << text << ": " << value.error().message;
      EXPECT_TRUE(validator.holds(schema, *value)) << to_json(schema) << " made " << text;
      ++made;
    }
  }
  EXPECT_GT(made, 2000);
}

}  // namespace
}  // namespace minke
