#include "text/grammar_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "text/grammar_automaton.h"
#include "text/grammar_json.h"
#include "text/grammar_regex.h"
#include "text/schema_format.h"
#include "text/schema_shape.h"
#include "text/unicode.h"

namespace minke {
namespace {

constexpr size_t kRulesMax = 20'000;
constexpr size_t kExpressionsMax = 2'000'000;
constexpr size_t kPrefixMax = 1000;
constexpr int64_t kPairsMax = 20'000;  // of states, to see whether two patterns have a common key

using Expr = Grammar::Expr;

// Counts beyond any bound of the grammar are as good as one beyond it.
int grammar_count(int64_t count) {
  return count == kNoLimit ? Grammar::kUnbounded
                           : static_cast<int>(std::min<int64_t>(count, 1 << 30));
}

// Whether a text is in both.
Result<bool> have_common_text(GrammarAutomaton& a, GrammarAutomaton& b) {
  std::map<std::pair<int32_t, int32_t>, bool> seen;
  std::vector<std::pair<int32_t, int32_t>> todo = {{a.start(), b.start()}};
  while (!todo.empty()) {
    const auto [x, y] = todo.back();
    todo.pop_back();
    if (x == GrammarAutomaton::kDead || y == GrammarAutomaton::kDead) continue;
    if (!seen.emplace(std::pair(x, y), true).second) continue;
    if (a.may_end(x) && b.may_end(y)) return true;
    if (std::ssize(seen) > kPairsMax) return misuse("the patterns are too large to be compared");
    for (int byte = 0; byte < 256; ++byte) {
      const auto c = static_cast<uint8_t>(byte);
      todo.emplace_back(a.next(x, c), b.next(y, c));
    }
  }
  return false;
}

Result<GrammarAutomaton> pattern_automaton(const std::string& pattern) {
  Grammar grammar;
  const Grammar::Rule root = grammar.add_rule("the pattern");
  MINKE_ASSIGN(const Regex regex, add_regex(grammar, pattern, {.is_search = true}));
  grammar.define(root, regex.expr);
  return GrammarAutomaton::create(grammar, root);
}

bool number_holds(const Shape& shape, const Value& value) {
  const double number =
      value.as_int() != nullptr ? static_cast<double>(*value.as_int()) : *value.as_float();
  const auto beyond = [&](const std::optional<SchemaNumber>& bound, int sign) {
    return bound &&
           (sign * number < sign * bound->value || (bound->is_strict && number == bound->value));
  };
  return !beyond(shape.min, 1) && !beyond(shape.max, -1);
}

class SchemaCompiler {
 public:
  explicit SchemaCompiler(Schema schema)
      : schema_(std::move(schema)), root_(grammar_.add_rule("the JSON schema")), json_(grammar_) {}

  Result<Grammar> compile() {
    MINKE_ASSIGN(const Expr root, value_of({&schema_.root()}));
    grammar_.define(root_, root);
    while (!queue_.empty()) {
      const auto [schemas, rule] = std::move(queue_.back());
      queue_.pop_back();
      MINKE_ASSIGN(const std::vector<Shape> shapes, schema_.shapes(schemas));
      std::vector<Expr> parts;
      for (const Shape& shape : shapes) {
        MINKE_ASSIGN(const Expr part, shape_of(shape));
        parts.push_back(part);
      }
      grammar_.define(rule, grammar_.choice(std::move(parts)));
      if (rules_.size() > kRulesMax || grammar_.expressions() > kExpressionsMax) {
        return misuse("the JSON schema is too large: its parts combine in too many ways");
      }
    }
    return std::move(grammar_);
  }

 private:
  std::unexpected<Error> error(const Shape& shape, std::string_view what) const {
    return schema_.error(shape.origin, what);
  }

  // A reference to the rule of the values for which all schemas hold; it is written later.
  Result<Expr> value_of(SchemaSet schemas) {
    std::ranges::sort(schemas);
    schemas.erase(std::ranges::unique(schemas).begin(), schemas.end());
    std::erase_if(schemas, [](const Value* schema) {
      return *schema == Value(true) || *schema == Value(Value::Object());
    });
    if (schemas.empty()) return json_.value();
    const auto [place, is_new] = rules_.emplace(schemas, 0);
    if (is_new) {
      place->second = grammar_.add_rule("JSON schema, " + schema_.pointer(schemas[0]));
      queue_.emplace_back(schemas, place->second);
    }
    return grammar_.reference(place->second);
  }

  Result<Expr> shape_of(const Shape& shape) {
    if (shape.values) return values_of(shape);
    std::vector<Expr> parts;
    if ((shape.types & schema_type::kNull) != 0) parts.push_back(json_.text("null"));
    if ((shape.types & schema_type::kBoolean) != 0) {
      parts.push_back(json_.text("true"));
      parts.push_back(json_.text("false"));
    }
    if ((shape.types & schema_type::kFraction) != 0) {
      parts.push_back(json_.number(bound(shape.min), bound(shape.max)));
    } else if ((shape.types & schema_type::kInteger) != 0) {
      parts.push_back(integer_of(shape));
    }
    if ((shape.types & schema_type::kString) != 0) {
      MINKE_ASSIGN(const Expr part, string_of(shape, grammar_, json_));
      parts.push_back(part);
    }
    if ((shape.types & schema_type::kArray) != 0) {
      MINKE_ASSIGN(const Expr part, array_of(shape));
      parts.push_back(part);
    }
    if ((shape.types & schema_type::kObject) != 0) {
      MINKE_ASSIGN(const Expr part, object_of(shape));
      parts.push_back(part);
    }
    return grammar_.choice(std::move(parts));
  }

  // Of enum and const, those for which the rest of the schema holds, too.
  Result<Expr> values_of(const Shape& shape) {
    const bool has_object_rules = !shape.objects.empty() || !shape.required.empty() ||
                                  shape.properties_min > 0 || shape.properties_max != kNoLimit;
    const bool has_array_rules =
        !shape.arrays.empty() || shape.items_min > 0 || shape.items_max != kNoLimit;
    std::vector<Expr> parts;
    for (const Value* value : *shape.values) {
      const unsigned type = json_type(*value);
      if ((type & shape.types) == 0) continue;
      if ((type == schema_type::kObject && has_object_rules) ||
          (type == schema_type::kArray && has_array_rules)) {
        return error(shape,
                     "objects and arrays in enum or const beside other rules for them are not "
                     "supported: leave the other rules out");
      }
      if (type == schema_type::kString) {
        MINKE_ASSIGN(const bool holds, string_holds(shape, to_json(*value)));
        if (!holds) continue;
      }
      const bool is_number = (type & (schema_type::kInteger | schema_type::kFraction)) != 0;
      if (is_number && !number_holds(shape, *value)) continue;
      parts.push_back(json_.text(to_json(*value)));
    }
    return grammar_.choice(std::move(parts));
  }

  Result<bool> string_holds(const Shape& shape, const std::string& text) const {
    if (shape.length_min == 0 && shape.length_max == kNoLimit && !shape.pattern && !shape.format) {
      return true;
    }
    Grammar grammar;
    const Grammar::Rule root = grammar.add_rule("the string");
    JsonGrammar json(grammar);
    MINKE_ASSIGN(const Expr expr, string_of(shape, grammar, json));
    grammar.define(root, expr);
    Result<GrammarAutomaton> automaton = GrammarAutomaton::create(grammar, root);
    return automaton && automaton->matches(text);
  }

  static std::optional<JsonBound> bound(const std::optional<SchemaNumber>& number) {
    if (!number) return std::nullopt;
    return JsonBound{
        number->integer ? JsonDecimal::from(*number->integer) : JsonDecimal::from(number->value),
        number->is_strict};
  }

  Expr integer_of(const Shape& shape) {
    const auto whole = [](const std::optional<SchemaNumber>& bound,
                          int sign) -> std::optional<int64_t> {
      if (!bound) return std::nullopt;
      if (bound->integer) return *bound->integer + (bound->is_strict ? sign : 0);
      const double inner = sign > 0 ? std::ceil(bound->value) : std::floor(bound->value);
      if (std::abs(inner) > 1e18) return inner > 0 ? int64_t{1} << 62 : -(int64_t{1} << 62);
      return static_cast<int64_t>(inner) + (bound->is_strict && inner == bound->value ? sign : 0);
    };
    return json_.integer(whole(shape.min, 1), whole(shape.max, -1));
  }

  Result<Expr> string_of(const Shape& shape, Grammar& grammar, JsonGrammar& json) const {
    if (!shape.pattern && !shape.format) {
      if (shape.length_max < shape.length_min) return grammar.nothing();
      return json.string(grammar_count(shape.length_min), grammar_count(shape.length_max));
    }
    if (shape.pattern && shape.format) {
      return error(shape, "pattern and format together are not supported: leave one of them out");
    }
    std::string pattern;
    if (shape.pattern) {
      pattern = *shape.pattern;
    } else {
      const std::optional<std::string> known = schema_format_pattern(*shape.format);
      if (!known) {
        return error(shape, fmt::format("format \"{}\" is not supported: {} are", *shape.format,
                                        schema_format_names()));
      }
      pattern = "^(?:" + *known + ")$";
    }
    const Result<Regex> regex =
        add_regex(grammar, pattern, {.in_json_string = true, .is_search = true});
    if (!regex) return error(shape, "pattern: " + regex.error().message);
    const bool fits = regex->characters_min >= shape.length_min &&
                      (shape.length_max == kNoLimit ||
                       (regex->characters_max >= 0 && regex->characters_max <= shape.length_max));
    if (!fits) {
      return error(shape,
                   "what the pattern or format matches may be shorter than minLength or longer "
                   "than maxLength: put the counts into the pattern");
    }
    return json.quoted(regex->expr);
  }

  Result<Expr> array_of(const Shape& shape) {
    size_t prefix = 0;
    bool has_items = false;
    for (const ArrayPart& part : shape.arrays) {
      if (part.prefix != nullptr) prefix = std::max(prefix, part.prefix->size());
      has_items |= part.items != nullptr;
    }
    if (prefix > kPrefixMax) {
      return error(shape, fmt::format("prefixItems has more than {} schemas", kPrefixMax));
    }
    const auto at = [&](size_t index) {
      SchemaSet schemas;
      for (const ArrayPart& part : shape.arrays) {
        const bool in_prefix = part.prefix != nullptr && index < part.prefix->size();
        if (in_prefix) {
          schemas.push_back(&(*part.prefix)[index]);
        } else if (part.items != nullptr) {
          schemas.push_back(part.items);
        }
      }
      return value_of(std::move(schemas));
    };
    const auto count = static_cast<int64_t>(prefix);
    const int64_t min = shape.items_min;
    int64_t max = shape.items_max;
    if (prefix > 0 && !has_items) max = std::min(max, std::max(count, min));
    if (max < min) return grammar_.nothing();
    MINKE_ASSIGN(const Expr item, at(prefix));
    if (prefix == 0) {
      return json_.enclosed("[", json_.list(item, grammar_count(min), grammar_count(max)), "]");
    }
    // From behind: what comes at `i` and after it, with a comma in front of all but the first.
    Expr rest = grammar_.empty();
    if (max > count) {
      const int64_t more = max == kNoLimit ? kNoLimit : max - count;
      rest = grammar_.repeat(grammar_.sequence({json_.comma(), item}),
                             grammar_count(std::max<int64_t>(min - count, 0)), grammar_count(more));
    }
    for (size_t i = prefix; i-- > 0;) {
      const auto index = static_cast<int64_t>(i);
      if (index >= max) continue;
      MINKE_ASSIGN(const Expr one, at(i));
      std::vector<Expr> parts = {one, rest};
      if (i > 0) parts.insert(parts.begin(), json_.comma());
      rest = grammar_.sequence(std::move(parts));
      if (index >= min) rest = grammar_.optional(rest);
    }
    return json_.enclosed("[", rest, "]");
  }

  // Members that are not named: any number of `extra`, or as many as asked for.
  struct Extras {
    std::vector<Expr> members;
    int64_t min = 0, max = kNoLimit;
  };

  Result<Expr> member(Expr key, SchemaSet schemas) {
    MINKE_ASSIGN(const Expr value, value_of(std::move(schemas)));
    return grammar_.sequence({key, json_.colon(), value});
  }

  // The members whose names match a pattern. A name that matches two patterns, or one and
  // `properties`, would have to be told apart from those that match one.
  Status pattern_members(const Shape& shape, const std::vector<std::string>& names,
                         Extras& extras) {
    std::vector<std::pair<std::string, SchemaSet>> patterns;
    for (const ObjectPart& part : shape.objects) {
      if (part.pattern_properties == nullptr) continue;
      for (const auto& [pattern, schema] : *part.pattern_properties->as_object()) {
        const auto known =
            std::ranges::find(patterns, pattern, [](auto& one) { return one.first; });
        if (known != patterns.end()) {
          known->second.push_back(&schema);
        } else {
          patterns.push_back({pattern, {&schema}});
        }
      }
    }
    std::vector<GrammarAutomaton> automata;
    for (const auto& [pattern, schemas] : patterns) {
      Result<GrammarAutomaton> automaton = pattern_automaton(pattern);
      if (!automaton) return error(shape, "patternProperties: " + automaton.error().message);
      for (const std::string& name : names) {
        if (automaton->matches(name)) {
          return error(shape, fmt::format("the property \"{}\" matches the patternProperties "
                                          "\"{}\" as well, which is not supported",
                                          name, pattern));
        }
      }
      for (GrammarAutomaton& other : automata) {
        MINKE_ASSIGN(const bool both, have_common_text(*automaton, other));
        if (both) {
          return error(shape, fmt::format("the patternProperties \"{}\" and another one match the "
                                          "same names, which is not supported",
                                          pattern));
        }
      }
      automata.push_back(*std::move(automaton));
      MINKE_ASSIGN(const Regex key,
                   add_regex(grammar_, pattern, {.in_json_string = true, .is_search = true}));
      MINKE_ASSIGN(const Expr one, member(json_.quoted(key.expr), schemas));
      extras.members.push_back(one);
    }
    return {};
  }

  // The rest of a name that is none of `names`, all of which have the same first `depth`
  // characters.
  Expr other_name(std::vector<std::u32string_view> names, size_t depth) {
    const auto any = [&] {
      return grammar_.repeat(json_character(grammar_, CharSet::all()), 0, Grammar::kUnbounded);
    };
    CharSet others = CharSet::all();
    std::vector<Expr> parts;
    bool ends_here = false;
    for (size_t begin = 0; begin < names.size();) {
      if (names[begin].size() == depth) {
        ends_here = true;
        ++begin;
        continue;
      }
      const char32_t next = names[begin][depth];
      size_t end = begin;
      while (end < names.size() && names[end][depth] == next) ++end;
      parts.push_back(grammar_.sequence({json_character(grammar_, {{next, next}}),
                                         other_name({names.begin() + static_cast<ptrdiff_t>(begin),
                                                     names.begin() + static_cast<ptrdiff_t>(end)},
                                                    depth + 1)}));
      others = others.intersection(CharSet({{next, next}}).complement());
      begin = end;
    }
    parts.push_back(grammar_.sequence({json_character(grammar_, others), any()}));
    if (!ends_here) parts.push_back(grammar_.empty());
    return grammar_.choice(std::move(parts));
  }

  Result<Expr> other_key(const Shape& shape, const std::vector<std::string>& names) {
    if (names.empty()) return json_.string(0, Grammar::kUnbounded);
    std::vector<std::u32string> decoded;
    for (const std::string& name : names) {
      std::u32string& characters = decoded.emplace_back();
      for (size_t at = 0; at < name.size();) {
        const Glyph glyph = decode_utf8(name, at);
        characters += static_cast<char32_t>(glyph.code);
        at += glyph.length;
      }
      if (characters.size() > 200) return error(shape, "a name has more than 200 characters");
    }
    std::ranges::sort(decoded);
    return json_.quoted(other_name({decoded.begin(), decoded.end()}, 0));
  }

  // Members beyond the named ones, where the schema says of what kind they are.
  Result<Extras> extras_of(const Shape& shape, const std::vector<std::string>& names) {
    Extras extras;
    bool has_patterns = false;
    bool has_names = !names.empty();
    SchemaSet additional;
    for (const ObjectPart& part : shape.objects) {
      has_patterns |= part.pattern_properties != nullptr;
      has_names |= part.properties != nullptr;
      if (part.additional != nullptr) additional.push_back(part.additional);
    }
    if (has_patterns) {
      MINKE_TRY(pattern_members(shape, names, extras));
    } else if (!additional.empty() || !has_names) {
      const bool none = std::ranges::any_of(
          additional, [](const Value* schema) { return *schema == Value(false); });
      if (!none) {
        MINKE_ASSIGN(const Expr key, other_key(shape, names));
        MINKE_ASSIGN(const Expr one, member(key, std::move(additional)));
        extras.members.push_back(one);
      }
    }
    // Counts of members are kept where only those without a name can vary in number. Two of them
    // may have the same name, so that no more than one can be asked for.
    const auto named = std::ssize(names);
    const auto required = std::ssize(shape.required);
    const bool min_matters = shape.properties_min > required;
    const bool max_matters = shape.properties_max != kNoLimit &&
                             (shape.properties_max < named || !extras.members.empty());
    if (!min_matters && !max_matters) return extras;
    extras.min = std::max<int64_t>(shape.properties_min - named, 0);
    if (shape.properties_max != kNoLimit) extras.max = shape.properties_max - named;
    if (required != named || extras.min > 1) {
      return error(shape,
                   "minProperties and maxProperties are supported only where the properties in "
                   "`properties` are all required, and at most one more is asked for");
    }
    return extras;
  }

  Result<Expr> object_of(const Shape& shape) {
    const std::vector<std::string> names = Schema::names(shape);
    MINKE_ASSIGN(const Extras extras, extras_of(shape, names));
    if (extras.max < extras.min) return grammar_.nothing();
    const Expr extra = grammar_.choice(extras.members);
    const int extra_min = grammar_count(extras.min);
    const int extra_max = extras.members.empty() ? 0 : grammar_count(extras.max);
    if (extra_max == 0 && extra_min > 0) return grammar_.nothing();
    const Expr extras_alone = json_.list(extra, extra_min, extra_max);
    const Expr extras_behind =
        grammar_.repeat(grammar_.sequence({json_.comma(), extra}), extra_min, extra_max);
    if (names.empty()) return json_.enclosed("{", extras_alone, "}");

    std::vector<Expr> members;
    size_t first_required = names.size();
    for (size_t i = 0; i < names.size(); ++i) {
      MINKE_ASSIGN(SchemaSet schemas, schema_.property(shape, names[i]));
      const Expr key = json_.text(to_json(Value(names[i])));
      MINKE_ASSIGN(const Expr one, member(key, std::move(schemas)));
      members.push_back(one);
      if (first_required == names.size() && Schema::is_required(shape, names[i])) {
        first_required = i;
      }
    }
    // Any member up to the first that must come may be the first to come; what may follow each is
    // a rule that they share.
    const auto behind = [&](size_t i) {  // member i, which is not the first to come
      const Expr one = grammar_.sequence({json_.comma(), members[i]});
      return Schema::is_required(shape, names[i]) ? one : grammar_.optional(one);
    };
    std::vector<Expr> rest = {};
    for (size_t i = first_required + 1; i < names.size(); ++i) rest.push_back(behind(i));
    rest.push_back(extras_behind);
    Expr after = grammar_.reference(grammar_.add_rule("members", grammar_.sequence(rest)));
    std::vector<Expr> firsts;
    for (size_t i = std::min(first_required + 1, names.size()); i-- > 0;) {
      firsts.push_back(grammar_.sequence({members[i], after}));
      const Expr from_here = grammar_.sequence({behind(i), after});
      after = grammar_.reference(grammar_.add_rule("members", from_here));
    }
    std::ranges::reverse(firsts);
    if (first_required == names.size()) firsts.push_back(extras_alone);
    return json_.enclosed("{", grammar_.choice(std::move(firsts)), "}");
  }

  Schema schema_;
  Grammar grammar_;
  Grammar::Rule root_;
  JsonGrammar json_;
  std::map<SchemaSet, Grammar::Rule> rules_;
  std::vector<std::pair<SchemaSet, Grammar::Rule>> queue_;
};

}  // namespace

Result<Grammar> json_schema_grammar(std::string_view schema) {
  MINKE_ASSIGN(Schema parsed, Schema::parse(schema));
  return SchemaCompiler(std::move(parsed)).compile();
}

}  // namespace minke
