#include "server/api/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/check.h"

namespace minke::server {
namespace {

// Characters, not bytes; the reader of JSON has seen to it that it is UTF-8.
size_t characters_of(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

std::optional<double> number_of(const Value& value) {
  if (const int64_t* integer = value.as_int()) return static_cast<double>(*integer);
  if (const double* number = value.as_float()) return *number;
  return std::nullopt;
}

// Bounds are kept as what JSON's numbers are; the largest integer is not among those.
int64_t integer_bound(double bound) {
  return bound >= 0x1p63 ? std::numeric_limits<int64_t>::max() : static_cast<int64_t>(bound);
}

std::string shortened(const Value& value) {
  constexpr size_t kCharactersMax = 40;
  std::string text = to_json(value);
  if (text.size() <= kCharactersMax) return text;
  size_t end = kCharactersMax;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

}  // namespace

std::optional<int64_t> integer_of(const Value& value) {
  if (const int64_t* integer = value.as_int()) return *integer;
  const double* number = value.as_float();
  if (number == nullptr || std::trunc(*number) != *number || std::abs(*number) > 0x1p53) {
    return std::nullopt;
  }
  return static_cast<int64_t>(*number);
}

Member required(std::string name, Shape shape, std::string description) {
  return {std::move(name), std::move(shape), std::move(description), true};
}
Member optional(std::string name, Shape shape, std::string description) {
  return {std::move(name), std::move(shape), std::move(description), false};
}

Shape Shape::any() { return {}; }
Shape Shape::boolean() {
  Shape shape;
  shape.kind_ = Kind::kBool;
  return shape;
}
Shape Shape::integer(int64_t low, int64_t high) {
  Shape shape;
  shape.kind_ = Kind::kInteger;
  shape.low_ = static_cast<double>(low);
  shape.high_ = static_cast<double>(high);
  return shape;
}
Shape Shape::number(double low, double high) {
  Shape shape = number();
  shape.low_ = low;
  shape.high_ = high;
  return shape;
}
Shape Shape::number() {
  Shape shape;
  shape.kind_ = Kind::kNumber;
  return shape;
}
Shape Shape::string() {
  Shape shape;
  shape.kind_ = Kind::kString;
  return shape;
}
Shape Shape::choice(std::vector<std::string> allowed) {
  Shape shape = string();
  shape.allowed_ = std::move(allowed);
  return shape;
}
Shape Shape::array(Shape items, size_t count_max) {
  Shape shape;
  shape.kind_ = Kind::kArray;
  shape.parts_.push_back(std::move(items));
  shape.count_max_ = count_max;
  return shape;
}
Shape Shape::object(std::vector<Member> members) {
  Shape shape;
  shape.kind_ = Kind::kObject;
  shape.members_ = std::move(members);
  return shape;
}
Shape Shape::map() {
  Shape shape = object({});
  shape.is_map_ = true;
  return shape;
}
Shape Shape::one_of(std::vector<Shape> alternatives) {
  Shape shape;
  shape.kind_ = Kind::kOneOf;
  shape.parts_ = std::move(alternatives);
  return shape;
}
Shape Shape::named(std::string name) const {
  Shape shape = *this;
  shape.name_ = std::move(name);
  return shape;
}
Shape Shape::nullable() const {
  Shape shape = *this;
  shape.is_nullable_ = true;
  return shape;
}
Shape Shape::at_least(size_t count) const {
  Shape shape = *this;
  shape.count_min_ = count;
  return shape;
}
Shape Shape::at_most(size_t count) const {
  Shape shape = *this;
  shape.count_max_ = count;
  return shape;
}

Value Shape::schema() const {
  if (!name_.empty()) {
    Value reference(Value::Object{{"$ref", "#/components/schemas/" + name_}});
    if (!is_nullable_) return reference;
    return Value(Value::Object{
        {"anyOf",
         Value(Value::Array{std::move(reference), Value(Value::Object{{"type", "null"}})})}});
  }
  return definition();
}

Value Shape::definition() const {
  Value::Object out;
  const auto type = [&](const char* name) {
    if (is_nullable_) {
      out.emplace_back("type", Value(Value::Array{Value(name), Value("null")}));
    } else {
      out.emplace_back("type", Value(name));
    }
  };
  const auto counts = [&](const char* least, const char* most) {
    if (count_min_ > 0) out.emplace_back(least, Value(static_cast<int64_t>(count_min_)));
    if (count_max_ != std::numeric_limits<size_t>::max()) {
      out.emplace_back(most, Value(static_cast<int64_t>(count_max_)));
    }
  };
  const auto bounds = [&] {
    const auto bound = [&](const char* name, double value) {
      if (std::isinf(value)) return;
      out.emplace_back(name, kind_ == Kind::kInteger ? Value(integer_bound(value)) : Value(value));
    };
    bound("minimum", low_);
    bound("maximum", high_);
  };
  switch (kind_) {
    case Kind::kAny:
      break;
    case Kind::kBool:
      type("boolean");
      break;
    case Kind::kInteger:
      type("integer");
      bounds();
      break;
    case Kind::kNumber:
      type("number");
      bounds();
      break;
    case Kind::kString: {
      type("string");
      counts("minLength", "maxLength");
      if (allowed_.empty()) break;
      Value::Array allowed(allowed_.begin(), allowed_.end());
      if (is_nullable_) allowed.emplace_back();
      out.emplace_back("enum", Value(std::move(allowed)));
      break;
    }
    case Kind::kArray:
      type("array");
      out.emplace_back("items", parts_.front().schema());
      counts("minItems", "maxItems");
      break;
    case Kind::kObject: {
      type("object");
      if (is_map_) break;
      Value::Object properties;
      Value::Array needed;
      for (const Member& one : members_) {
        // An optional member may be null as well: that is how clients leave things out.
        Value schema = one.is_required ? one.shape.schema() : one.shape.nullable().schema();
        if (!one.description.empty()) {
          schema.as_object()->emplace_back("description", one.description);
        }
        properties.emplace_back(one.name, std::move(schema));
        if (one.is_required) needed.emplace_back(one.name);
      }
      out.emplace_back("properties", Value(std::move(properties)));
      if (!needed.empty()) out.emplace_back("required", Value(std::move(needed)));
      break;
    }
    case Kind::kOneOf: {
      Value::Array alternatives;
      for (const Shape& part : parts_) alternatives.push_back(part.schema());
      if (is_nullable_) alternatives.emplace_back(Value::Object{{"type", "null"}});
      out.emplace_back("anyOf", Value(std::move(alternatives)));
      break;
    }
  }
  return Value(std::move(out));
}

// One check of one value: where it is, and the first fault.
struct ShapeCheck {
  static std::optional<ShapeFault> check(const Value& value, const Shape& shape,
                                         const std::string& path);

 private:
  static std::string subject(const std::string& path) { return path.empty() ? "the body" : path; }
  static ShapeFault fault(const std::string& path, std::string_view expected, const Value& value) {
    return {path, fmt::format("{} must be {}, got {}", subject(path), expected, shortened(value))};
  }
  static std::string expected(const Shape& shape);
  static bool is_of_kind(const Value& value, const Shape& shape);
  static std::optional<ShapeFault> check_number(const Value& value, const Shape& shape,
                                                const std::string& path);
  static std::optional<ShapeFault> check_string(const Value& value, const Shape& shape,
                                                const std::string& path);
  static std::optional<ShapeFault> check_array(const Value& value, const Shape& shape,
                                               const std::string& path);
  static std::optional<ShapeFault> check_object(const Value& value, const Shape& shape,
                                                const std::string& path);
  static std::optional<ShapeFault> check_one_of(const Value& value, const Shape& shape,
                                                const std::string& path);
};

std::string ShapeCheck::expected(const Shape& shape) {
  switch (shape.kind_) {
    case Shape::Kind::kAny:
      return "anything";
    case Shape::Kind::kBool:
      return "true or false";
    case Shape::Kind::kInteger:
      return "an integer";
    case Shape::Kind::kNumber:
      return "a number";
    case Shape::Kind::kString:
      return "a string";
    case Shape::Kind::kArray:
      return "an array";
    case Shape::Kind::kObject:
      return "an object";
    case Shape::Kind::kOneOf: {
      std::vector<std::string> all;
      for (const Shape& part : shape.parts_) {
        std::string text = expected(part);
        if (std::ranges::find(all, text) == all.end()) all.push_back(std::move(text));
      }
      return fmt::format("{}", fmt::join(all, " or "));
    }
  }
  return "";
}

std::optional<ShapeFault> ShapeCheck::check(const Value& value, const Shape& shape,
                                            const std::string& path) {
  if (value.is_null() && (shape.is_nullable_ || shape.kind_ == Shape::Kind::kAny)) return {};
  switch (shape.kind_) {
    case Shape::Kind::kAny:
      return {};
    case Shape::Kind::kBool:
      if (value.as_bool() == nullptr) return fault(path, expected(shape), value);
      return {};
    case Shape::Kind::kInteger:
    case Shape::Kind::kNumber:
      return check_number(value, shape, path);
    case Shape::Kind::kString:
      return check_string(value, shape, path);
    case Shape::Kind::kArray:
      return check_array(value, shape, path);
    case Shape::Kind::kObject:
      return check_object(value, shape, path);
    case Shape::Kind::kOneOf:
      return check_one_of(value, shape, path);
  }
  return {};
}

std::optional<ShapeFault> ShapeCheck::check_number(const Value& value, const Shape& shape,
                                                   const std::string& path) {
  std::optional<double> number = number_of(value);
  if (shape.kind_ == Shape::Kind::kInteger && !integer_of(value)) number.reset();
  if (!number || std::isnan(*number)) return fault(path, expected(shape), value);
  if (*number >= shape.low_ && *number <= shape.high_) return {};
  const std::string range =
      std::isinf(shape.high_)  ? fmt::format("at least {}", shape.low_)
      : std::isinf(shape.low_) ? fmt::format("at most {}", shape.high_)
      : shape.kind_ == Shape::Kind::kInteger
          ? fmt::format("in [{}, {}]", integer_bound(shape.low_), integer_bound(shape.high_))
          : fmt::format("in [{}, {}]", shape.low_, shape.high_);
  return fault(path, range, value);
}

std::optional<ShapeFault> ShapeCheck::check_string(const Value& value, const Shape& shape,
                                                   const std::string& path) {
  const std::string* text = value.as_string();
  if (text == nullptr) return fault(path, expected(shape), value);
  if (!shape.allowed_.empty()) {
    if (std::ranges::find(shape.allowed_, *text) != shape.allowed_.end()) return {};
    return fault(path, fmt::format("one of '{}'", fmt::join(shape.allowed_, "', '")), value);
  }
  // No text has more characters than bytes: short ones are not counted.
  if (text->size() <= shape.count_max_ && text->size() >= 4 * shape.count_min_) return {};
  const size_t characters = characters_of(*text);
  if (characters > shape.count_max_) {
    return ShapeFault{path, fmt::format("{} has {} characters, and at most {} are taken",
                                        subject(path), characters, shape.count_max_)};
  }
  if (characters < shape.count_min_) {
    return ShapeFault{path, shape.count_min_ == 1
                                ? fmt::format("{} must not be empty", subject(path))
                                : fmt::format("{} must have at least {} characters, and has {}",
                                              subject(path), shape.count_min_, characters)};
  }
  return {};
}

std::optional<ShapeFault> ShapeCheck::check_array(const Value& value, const Shape& shape,
                                                  const std::string& path) {
  const Value::Array* items = value.as_array();
  if (items == nullptr) return fault(path, expected(shape), value);
  if (items->size() > shape.count_max_) {
    return ShapeFault{path, fmt::format("{} has {} items, and at most {} are taken", subject(path),
                                        items->size(), shape.count_max_)};
  }
  if (items->size() < shape.count_min_) {
    return ShapeFault{path, items->empty()
                                ? fmt::format("{} must not be empty", subject(path))
                                : fmt::format("{} must have at least {} items, and has {}",
                                              subject(path), shape.count_min_, items->size())};
  }
  for (size_t i = 0; i < items->size(); ++i) {
    if (auto found = check((*items)[i], shape.parts_.front(), fmt::format("{}[{}]", path, i))) {
      return found;
    }
  }
  return {};
}

std::optional<ShapeFault> ShapeCheck::check_object(const Value& value, const Shape& shape,
                                                   const std::string& path) {
  if (value.as_object() == nullptr) return fault(path, expected(shape), value);
  for (const Member& one : shape.members_) {
    const Value* found = value.find(one.name);
    std::string inner = path.empty() ? one.name : fmt::format("{}.{}", path, one.name);
    if (found == nullptr || (found->is_null() && !one.shape.is_nullable_)) {
      if (!one.is_required) continue;
      if (found == nullptr || one.shape.kind_ != Shape::Kind::kAny) {
        return ShapeFault{inner,
                          fmt::format("{} is missing: it must be {}", inner, expected(one.shape))};
      }
      continue;
    }
    if (auto fault = check(*found, one.shape, inner)) return fault;
  }
  return {};
}

// The fault that is told is of the alternative that goes furthest into the value: of an object that
// is nearly right, the member that is wrong; of an array, the last item that one comes to. Else of
// the one that the value would fit by its kind.
std::optional<ShapeFault> ShapeCheck::check_one_of(const Value& value, const Shape& shape,
                                                   const std::string& path) {
  std::optional<ShapeFault> deepest, nearest;
  for (const Shape& part : shape.parts_) {
    std::optional<ShapeFault> found = check(value, part, path);
    if (!found) return {};
    if (found->param.size() == path.size() && is_of_kind(value, part)) nearest = found;
    if (found->param.size() > path.size() &&
        (!deepest || std::pair(found->param.size(), std::string_view(found->param)) >
                         std::pair(deepest->param.size(), std::string_view(deepest->param)))) {
      deepest = std::move(found);
    }
  }
  if (deepest) return deepest;
  if (nearest) return nearest;
  return fault(path, expected(shape), value);
}

bool ShapeCheck::is_of_kind(const Value& value, const Shape& shape) {
  switch (shape.kind_) {
    case Shape::Kind::kString:
      return value.as_string() != nullptr;
    case Shape::Kind::kArray:
      return value.as_array() != nullptr;
    case Shape::Kind::kInteger:
    case Shape::Kind::kNumber:
      return number_of(value).has_value();
    default:
      return false;
  }
}

std::optional<ShapeFault> check_shape(const Value& value, const Shape& shape) {
  return ShapeCheck::check(value, shape, "");
}

void collect_named(const Shape& shape, std::vector<const Shape*>& out) {
  if (!shape.name_.empty()) {
    const auto same = [&](const Shape* other) { return other->name_ == shape.name_; };
    if (std::ranges::any_of(out, same)) return;
    out.push_back(&shape);
  }
  for (const Shape& part : shape.parts_) collect_named(part, out);
  for (const Member& one : shape.members_) collect_named(one.shape, out);
}

const Value* member(const Value& object, std::string_view name) {
  const Value* found = object.find(name);
  return found == nullptr || found->is_null() ? nullptr : found;
}

std::string text_member(const Value& object, std::string_view name, std::string_view missing) {
  return maybe_text(object, name).value_or(std::string(missing));
}

std::optional<std::string> maybe_text(const Value& object, std::string_view name) {
  const Value* found = member(object, name);
  if (found == nullptr || found->as_string() == nullptr) return std::nullopt;
  return *found->as_string();
}

std::optional<double> maybe_number(const Value& object, std::string_view name) {
  const Value* found = member(object, name);
  return found == nullptr ? std::nullopt : number_of(*found);
}

std::optional<int64_t> maybe_integer(const Value& object, std::string_view name) {
  const Value* found = member(object, name);
  return found == nullptr ? std::nullopt : integer_of(*found);
}

std::optional<bool> maybe_bool(const Value& object, std::string_view name) {
  const Value* found = member(object, name);
  if (found == nullptr || found->as_bool() == nullptr) return std::nullopt;
  return *found->as_bool();
}

std::string kind_text(const Value& value) {
  if (value.is_null()) return "null";
  if (value.as_bool() != nullptr) return "true or false";
  if (value.as_string() != nullptr) return "a string";
  if (value.as_array() != nullptr) return "an array";
  if (value.as_object() != nullptr) return "an object";
  return "a number";
}

}  // namespace minke::server
