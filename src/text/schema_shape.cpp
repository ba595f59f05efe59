#include "text/schema_shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "core/check.h"
#include "text/grammar_automaton.h"
#include "text/grammar_regex.h"

namespace minke {
namespace {

constexpr size_t kSchemaBytesMax = size_t{4} << 20;
constexpr size_t kShapesMax = 256;   // combinations of branches for one value
constexpr size_t kMergedMax = 1000;  // schemas that hold for one value
constexpr int64_t kWorkMax = 200'000;
constexpr int kExcludeDepth = 6;

constexpr std::string_view kAnnotations[] = {"$schema",
                                             "$comment",
                                             "$defs",
                                             "definitions",
                                             "title",
                                             "description",
                                             "default",
                                             "examples",
                                             "deprecated",
                                             "readOnly",
                                             "writeOnly",
                                             "$id",
                                             "$anchor",
                                             "example",
                                             "$vocabulary",
                                             "contentEncoding",
                                             "contentMediaType",
                                             "contentSchema"};

void name_schemas(const Value& value, std::string path,
                  std::unordered_map<const Value*, std::string>& out) {
  if (const Value::Object* object = value.as_object()) {
    for (const auto& [key, member] : *object) {
      std::string name;
      for (const char c : key) {
        if (c == '~') {
          name += "~0";
        } else if (c == '/') {
          name += "~1";
        } else {
          name += c;
        }
      }
      name_schemas(member, path + "/" + name, out);
    }
  } else if (const Value::Array* array = value.as_array()) {
    for (size_t i = 0; i < array->size(); ++i) {
      name_schemas((*array)[i], fmt::format("{}/{}", path, i), out);
    }
  }
  // Values that cannot be schemas need no name.
  if (value.as_object() != nullptr || value.as_bool() != nullptr)
    out.emplace(&value, std::move(path));
}

std::optional<double> as_number(const Value& value) {
  if (const int64_t* integer = value.as_int()) return static_cast<double>(*integer);
  if (const double* real = value.as_float()) return *real;
  return std::nullopt;
}

std::optional<int64_t> as_count(const Value& value) {
  if (const int64_t* integer = value.as_int()) {
    return *integer >= 0 ? std::optional(*integer) : std::nullopt;
  }
  const double* real = value.as_float();
  if (real == nullptr || *real < 0 || *real != std::floor(*real)) return std::nullopt;
  return *real < 1e15 ? static_cast<int64_t>(*real) : kNoLimit;
}

std::optional<unsigned> type_named(std::string_view name) {
  constexpr std::pair<std::string_view, unsigned> kNames[] = {
      {"null", schema_type::kNull},
      {"boolean", schema_type::kBoolean},
      {"integer", schema_type::kInteger},
      {"number", schema_type::kInteger | schema_type::kFraction},
      {"string", schema_type::kString},
      {"array", schema_type::kArray},
      {"object", schema_type::kObject}};
  for (const auto& [known, types] : kNames) {
    if (known == name) return types;
  }
  return std::nullopt;
}

// The narrower of two bounds; `sign` is 1 for lower ones and -1 for upper ones.
void narrow(std::optional<SchemaNumber>& bound, const SchemaNumber& other, int sign) {
  const bool is_narrower =
      !bound || sign * other.value > sign * bound->value ||
      (other.value == bound->value && (other.is_strict || other.integer > bound->integer));
  if (is_narrower) bound = other;
}

bool is_below(const std::optional<SchemaNumber>& max, const std::optional<SchemaNumber>& min) {
  if (!max || !min) return false;
  return max->value < min->value ||
         (max->value == min->value && (max->is_strict || min->is_strict));
}

unsigned types_of(const Shape& shape) {
  if (!shape.values) return shape.types;
  unsigned types = 0;
  for (const Value* value : *shape.values) types |= json_type(*value) & shape.types;
  return types;
}

void intersect(std::optional<std::vector<const Value*>>& values,
               const std::vector<const Value*>& others) {
  if (!values) {
    values = others;
    return;
  }
  std::erase_if(*values, [&](const Value* value) {
    return std::ranges::none_of(others, [&](const Value* o) { return same_json(*value, *o); });
  });
}

}  // namespace

unsigned json_type(const Value& value) {
  if (value.is_null()) return schema_type::kNull;
  if (value.as_bool() != nullptr) return schema_type::kBoolean;
  if (value.as_int() != nullptr) return schema_type::kInteger;
  if (const double* real = value.as_float()) {
    return *real == std::floor(*real) ? schema_type::kInteger : schema_type::kFraction;
  }
  if (value.as_string() != nullptr) return schema_type::kString;
  return value.as_array() != nullptr ? schema_type::kArray : schema_type::kObject;
}

bool same_json(const Value& a, const Value& b) {
  if (a.as_int() != nullptr && b.as_int() != nullptr) return *a.as_int() == *b.as_int();
  if (const std::optional<double> x = as_number(a), y = as_number(b); x && y) return *x == *y;
  if (const Value::Array* x = a.as_array(); x != nullptr && b.as_array() != nullptr) {
    return std::ranges::equal(*x, *b.as_array(), same_json);
  }
  if (const Value::Object* x = a.as_object(); x != nullptr && b.as_object() != nullptr) {
    return x->size() == b.as_object()->size() &&
           std::ranges::all_of(*x, [&](const Value::Member& member) {
             const Value* other = b.find(member.first);
             return other != nullptr && same_json(member.second, *other);
           });
  }
  return a == b;
}

namespace {

// The first escape of JSON's that is half a surrogate pair, "\\ud800"; empty: there is none.
std::string_view half_pair(std::string_view text) {
  const auto unit = [&](size_t at) -> uint32_t {
    uint32_t code = 0;
    if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return 0;
    std::from_chars(text.data() + at + 2, text.data() + at + 6, code, 16);
    return code;
  };
  for (size_t at = 0; (at = text.find('\\', at)) != std::string_view::npos;) {
    const uint32_t code = unit(at);
    const uint32_t low = unit(at + 6);
    if (code < 0xD800 || code > 0xDFFF) {
      at += 2;
    } else if (code < 0xDC00 && low >= 0xDC00 && low <= 0xDFFF) {
      at += 12;
    } else {
      return text.substr(at, 6);
    }
  }
  return {};
}

}  // namespace

Result<Schema> Schema::parse(std::string_view text) {
  Result<Value> root = parse_json(text, {.depth_max = 200, .bytes_max = kSchemaBytesMax});
  if (!root) return misuse("the schema is not JSON: " + root.error().message);
  if (const std::string_view half = half_pair(text); !half.empty()) {
    return misuse(
        fmt::format("the schema has {}, half a surrogate pair, which is no character and "
                    "stands in no text that a model writes: take it out",
                    half));
  }
  Schema schema;
  schema.root_ = std::make_unique<Value>(*std::move(root));
  name_schemas(*schema.root_, "#", schema.pointers_);
  return schema;
}

std::string Schema::pointer(const Value* schema) const {
  const auto place = pointers_.find(schema);
  return place == pointers_.end() ? "#" : place->second;
}

std::unexpected<Error> Schema::error(const Value* schema, std::string_view what) const {
  return misuse(fmt::format("JSON schema, {}: {}", pointer(schema), what));
}

Result<const Value*> Schema::resolve(const Value* schema, const Value& reference) const {
  const std::string* text = reference.as_string();
  if (text == nullptr) return error(schema, "$ref must be a string");
  const auto unknown = [&] {
    return error(schema, fmt::format("nothing is at $ref \"{}\"; references are within the schema, "
                                     "such as \"#/$defs/name\"",
                                     *text));
  };
  if (*text != "#" && !text->starts_with("#/")) return unknown();
  const Value* at = root_.get();
  size_t begin = 2;
  while (begin <= text->size() && text->size() > 1) {
    const size_t end = std::min(text->find('/', begin), text->size());
    std::string name;
    for (size_t i = begin; i < end; ++i) {
      const std::string_view rest = std::string_view(*text).substr(i, end - i);
      if (rest.starts_with("~0") || rest.starts_with("~1")) {
        name += rest[1] == '0' ? '~' : '/';
        ++i;
      } else {
        name += (*text)[i];
      }
    }
    const Value* next = at->find(name);
    if (const Value::Array* array = at->as_array(); array != nullptr && !name.empty()) {
      const bool is_index =
          name.size() < 9 && std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
      const size_t index = is_index ? std::stoul(name) : array->size();
      if (index < array->size()) next = &(*array)[index];
    }
    if (next == nullptr) return unknown();
    at = next;
    begin = end + 1;
  }
  return at;
}

// What has been merged so far, and what is still to be.
struct Schema::Expansion {
  struct Task {
    const Value* schema = nullptr;
    size_t parent = 0;  // the task that brought it; itself for the first ones
  };
  struct Choice {
    const Value::Array* branches = nullptr;
    size_t task = 0;
  };
  std::vector<Task> tasks;
  size_t next_task = 0;
  std::vector<Choice> choices;
  size_t next_choice = 0;
  Shape shape;
};

Result<std::vector<Shape>> Schema::shapes(const SchemaSet& schemas) {
  Expansion at;
  for (const Value* schema : schemas) at.tasks.push_back({schema, at.tasks.size()});
  at.shape.origin = schemas.empty() ? root_.get() : schemas[0];
  std::vector<Shape> out;
  MINKE_TRY(expand(std::move(at), out));
  return out;
}

Status Schema::expand(Expansion at, std::vector<Shape>& out) {
  while (at.next_task < at.tasks.size()) {
    MINKE_ASSIGN(const bool is_possible, visit(at.next_task, at));
    if (!is_possible) return {};
    ++at.next_task;
  }
  if (at.next_choice == at.choices.size()) {
    if (out.size() == kShapesMax) {
      return error(at.shape.origin,
                   fmt::format("anyOf and oneOf combine in more than {} ways", kShapesMax));
    }
    out.push_back(std::move(at.shape));
    return {};
  }
  const Expansion::Choice choice = at.choices[at.next_choice++];
  for (const Value& branch : *choice.branches) {
    Expansion with = at;
    with.tasks.push_back({&branch, choice.task});
    MINKE_TRY(expand(std::move(with), out));
  }
  return {};
}

Result<bool> Schema::visit(size_t task, Expansion& at) {
  const Value* schema = at.tasks[task].schema;
  if (at.tasks.size() > kMergedMax || ++work_ > kWorkMax) {
    return error(schema, "too many schemas are combined");
  }
  for (size_t up = task; at.tasks[up].parent != up;) {
    up = at.tasks[up].parent;
    if (at.tasks[up].schema == schema) {
      return error(schema, "it refers to itself without anything in between");
    }
  }
  for (size_t i = 0; i < task; ++i) {
    if (at.tasks[i].schema == schema) return true;  // once is enough
  }
  if (const bool* all = schema->as_bool()) return *all;
  const Value::Object* keywords = schema->as_object();
  if (keywords == nullptr) return error(schema, "a schema is an object, true or false");
  // `properties` and its like belong together.
  if (schema->find("properties") != nullptr || schema->find("additionalProperties") != nullptr ||
      schema->find("patternProperties") != nullptr) {
    at.shape.objects.push_back({schema->find("properties"), schema->find("patternProperties"),
                                schema->find("additionalProperties")});
  }
  if (schema->find("prefixItems") != nullptr || schema->find("items") != nullptr) {
    const Value* prefix = schema->find("prefixItems");
    at.shape.arrays.push_back(
        {prefix == nullptr ? nullptr : prefix->as_array(), schema->find("items")});
  }
  for (const auto& [keyword, value] : *keywords) {
    if (keyword == "$ref") {
      MINKE_ASSIGN(const Value* target, resolve(schema, value));
      at.tasks.push_back({target, task});
    } else if (keyword == "allOf" || keyword == "anyOf" || keyword == "oneOf") {
      const Value::Array* branches = value.as_array();
      if (branches == nullptr || branches->empty()) {
        return error(schema, keyword + " must be an array of schemas that is not empty");
      }
      if (keyword == "oneOf") MINKE_TRY(check_one_of(schema, *branches));
      if (keyword == "allOf") {
        for (const Value& branch : *branches) at.tasks.push_back({&branch, task});
      } else {
        at.choices.push_back({branches, task});
      }
    } else {
      MINKE_TRY(apply(schema, keyword, value, at.shape));
    }
  }
  return true;
}

Status Schema::apply(const Value* schema, const std::string& keyword, const Value& value,
                     Shape& shape) {
  const auto wants = [&](std::string_view what) {
    return error(schema, fmt::format("{} must be {}", keyword, what));
  };
  const auto is = [&](std::string_view name) { return keyword == name; };
  // "minLength" and its like: the name, and what it bounds.
  struct Count {
    std::string_view name;
    int64_t Shape::* bound;
    bool is_min;
  };
  constexpr Count kCounts[] = {{"minLength", &Shape::length_min, true},
                               {"maxLength", &Shape::length_max, false},
                               {"minItems", &Shape::items_min, true},
                               {"maxItems", &Shape::items_max, false},
                               {"minProperties", &Shape::properties_min, true},
                               {"maxProperties", &Shape::properties_max, false}};
  for (const Count& count : kCounts) {
    if (!is(count.name)) continue;
    const std::optional<int64_t> number = as_count(value);
    if (!number) return wants("a number of things: an integer from 0 on");
    int64_t& bound = shape.*count.bound;
    bound = count.is_min ? std::max(bound, *number) : std::min(bound, *number);
    return {};
  }
  if (is("minimum") || is("maximum") || is("exclusiveMinimum") || is("exclusiveMaximum")) {
    const std::optional<double> number = as_number(value);
    if (!number) return wants("a number");
    SchemaNumber bound{.is_strict = keyword.starts_with("ex"), .value = *number};
    if (value.as_int() != nullptr) bound.integer = *value.as_int();
    const bool is_min = keyword.ends_with("inimum");
    narrow(is_min ? shape.min : shape.max, bound, is_min ? 1 : -1);
    return {};
  }
  if (is("type")) {
    unsigned types = 0;
    const Value::Array* several = value.as_array();
    const Value::Array names = several != nullptr ? *several : Value::Array{value};
    for (const Value& name : names) {
      const std::optional<unsigned> type =
          name.as_string() == nullptr ? std::nullopt : type_named(*name.as_string());
      if (!type) {
        return wants(
            "null, boolean, integer, number, string, array or object, or an array of them");
      }
      types |= *type;
    }
    shape.types &= types;
    return {};
  }
  if (is("enum") || is("const")) {
    std::vector<const Value*> values = {&value};
    if (is("enum")) {
      if (value.as_array() == nullptr) return wants("an array");
      values.clear();
      for (const Value& one : *value.as_array()) values.push_back(&one);
    }
    intersect(shape.values, values);
    return {};
  }
  if (is("pattern") || is("format")) {
    const std::string* text = value.as_string();
    if (text == nullptr) return wants("a string");
    std::optional<std::string>& place = is("pattern") ? shape.pattern : shape.format;
    if (place && *place != *text) {
      return error(schema, fmt::format("two different {}s hold for one string, which is not "
                                       "supported: make them one",
                                       keyword));
    }
    place = *text;
    return {};
  }
  if (is("required")) {
    if (value.as_array() == nullptr) return wants("an array of names");
    for (const Value& name : *value.as_array()) {
      if (name.as_string() == nullptr) return wants("an array of names");
      if (!is_required(shape, *name.as_string())) shape.required.push_back(*name.as_string());
    }
    return {};
  }
  if (is("properties") || is("patternProperties")) {
    return value.as_object() != nullptr ? Status() : Status(wants("an object of schemas"));
  }
  if (is("prefixItems")) {
    return value.as_array() != nullptr ? Status() : Status(wants("an array of schemas"));
  }
  if (is("items")) {
    if (value.as_array() == nullptr) return {};
    return wants("a schema; an array of schemas is called prefixItems");
  }
  if (is("additionalProperties")) return {};
  if (is("multipleOf") && as_number(value) == 1.0) {
    shape.types &= ~schema_type::kFraction;
    return {};
  }
  if (is("uniqueItems") && value == Value(false)) return {};
  if (is("$id") && schema != root_.get()) {
    return error(schema, "$id below the root is not supported: references are within one schema");
  }
  if (std::ranges::find(kAnnotations, keyword) != std::end(kAnnotations) ||
      keyword.starts_with("x-")) {
    return {};
  }
  return error(schema, fmt::format("\"{}\" is not supported (docs/cli.md lists what is)", keyword));
}

// Whether a value may be right for two branches is decided from their types, values, ranges and
// required properties; where those do not tell, the schema is refused.
Status Schema::check_one_of(const Value* schema, const Value::Array& branches) {
  if (!checked_.insert(&branches[0]).second) return {};
  std::vector<std::vector<Shape>> all;
  for (const Value& branch : branches) {
    MINKE_ASSIGN(all.emplace_back(), shapes({&branch}));
  }
  for (size_t i = 0; i < all.size(); ++i) {
    for (size_t j = i + 1; j < all.size(); ++j) {
      for (const Shape& a : all[i]) {
        for (const Shape& b : all[j]) {
          MINKE_ASSIGN(const bool apart, exclude(a, b, 0));
          if (apart) continue;
          return error(schema, fmt::format("branches {} and {} of oneOf may both be right for a "
                                           "value: use anyOf, or make them exclude each other (by "
                                           "a type, a const, a range or a required property)",
                                           i, j));
        }
      }
    }
  }
  return {};
}

// Whether it is seen that no value is right for both.
Result<bool> Schema::exclude(const Shape& a, const Shape& b, int depth) {
  if (++work_ > kWorkMax) return error(a.origin, "too many schemas are combined");
  const unsigned common = types_of(a) & types_of(b);
  if (common == 0) return true;
  if (a.values && b.values) {
    return std::ranges::none_of(*a.values, [&](const Value* x) {
      return std::ranges::any_of(*b.values, [&](const Value* y) { return same_json(*x, *y); });
    });
  }
  if ((common & (schema_type::kNull | schema_type::kBoolean)) != 0) return false;
  if ((common & (schema_type::kInteger | schema_type::kFraction)) != 0 && !is_below(a.max, b.min) &&
      !is_below(b.max, a.min)) {
    return false;
  }
  if ((common & schema_type::kString) != 0 && a.length_max >= b.length_min &&
      b.length_max >= a.length_min) {
    return false;
  }
  if ((common & schema_type::kArray) != 0 && a.items_max >= b.items_min &&
      b.items_max >= a.items_min) {
    return false;
  }
  if ((common & schema_type::kObject) != 0) return objects_exclude(a, b, depth);
  return true;
}

Result<bool> Schema::objects_exclude(const Shape& a, const Shape& b, int depth) {
  if (depth == kExcludeDepth) return false;
  std::vector<std::string> names = a.required;
  names.insert(names.end(), b.required.begin(), b.required.end());
  for (const std::string& name : names) {
    MINKE_ASSIGN(const SchemaSet in_a, property(a, name));
    MINKE_ASSIGN(const SchemaSet in_b, property(b, name));
    MINKE_ASSIGN(const std::vector<Shape> of_a, shapes(in_a));
    MINKE_ASSIGN(const std::vector<Shape> of_b, shapes(in_b));
    // Where one asks for what the other forbids, there are no shapes, and nothing to compare.
    const bool both_ask = is_required(a, name) && is_required(b, name);
    if (!both_ask && !of_a.empty() && !of_b.empty()) continue;
    bool all_apart = true;
    for (const Shape& x : of_a) {
      for (const Shape& y : of_b) {
        MINKE_ASSIGN(const bool apart, exclude(x, y, depth + 1));
        all_apart &= apart;
      }
    }
    if (all_apart) return true;
  }
  return false;
}

Result<bool> Schema::key_matches(const Value* origin, const std::string& pattern,
                                 std::string_view name) {
  Grammar grammar;
  const Grammar::Rule root = grammar.add_rule("the pattern");
  const Result<Regex> regex = add_regex(grammar, pattern, {.is_search = true});
  if (!regex) return error(origin, regex.error().message);
  grammar.define(root, regex->expr);
  Result<GrammarAutomaton> automaton = GrammarAutomaton::create(grammar, root);
  if (!automaton) return error(origin, automaton.error().message);
  return automaton->matches(name);
}

Result<SchemaSet> Schema::property(const Shape& shape, const std::string& name) {
  SchemaSet out;
  for (const ObjectPart& part : shape.objects) {
    bool is_known = false;
    if (part.properties != nullptr) {
      if (const Value* schema = part.properties->find(name)) {
        out.push_back(schema);
        is_known = true;
      }
    }
    if (part.pattern_properties != nullptr && part.pattern_properties->as_object() != nullptr) {
      for (const auto& [pattern, schema] : *part.pattern_properties->as_object()) {
        MINKE_ASSIGN(const bool matches, key_matches(shape.origin, pattern, name));
        if (!matches) continue;
        out.push_back(&schema);
        is_known = true;
      }
    }
    if (!is_known && part.additional != nullptr) out.push_back(part.additional);
  }
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

std::vector<std::string> Schema::names(const Shape& shape) {
  std::vector<std::string> out;
  std::set<std::string> seen;
  const auto add = [&](const std::string& name) {
    if (seen.insert(name).second) out.push_back(name);
  };
  for (const ObjectPart& part : shape.objects) {
    if (part.properties == nullptr || part.properties->as_object() == nullptr) continue;
    for (const Value::Member& member : *part.properties->as_object()) add(member.first);
  }
  for (const std::string& name : shape.required) add(name);
  return out;
}

bool Schema::is_required(const Shape& shape, std::string_view name) {
  return std::ranges::find(shape.required, name) != shape.required.end();
}

}  // namespace minke
