// What a JSON schema asks for, with all that stands beside each other, above and below references
// and under allOf merged, and with the branches of anyOf and oneOf apart. Used by
// grammar_schema.cpp.
//
// A Schema is the document; it outlives what points into it. Plain values, one thread.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/result.h"
#include "text/value.h"

namespace minke {

// The types of JSON, numbers split in those that are integers and those that are not.
namespace schema_type {
inline constexpr unsigned kNull = 1;
inline constexpr unsigned kBoolean = 2;
inline constexpr unsigned kInteger = 4;
inline constexpr unsigned kFraction = 8;
inline constexpr unsigned kString = 16;
inline constexpr unsigned kArray = 32;
inline constexpr unsigned kObject = 64;
inline constexpr unsigned kAll = 127;
}  // namespace schema_type

inline constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

// Schemas that all hold for one value; sorted, none twice.
using SchemaSet = std::vector<const Value*>;

// A number that a schema compares with, as it was written: integers keep every bit.
struct SchemaNumber {
  bool is_strict = false;
  std::optional<int64_t> integer;  // where it is one
  double value = 0;
};

struct ObjectPart {  // of one schema object
  const Value* properties = nullptr;
  const Value* pattern_properties = nullptr;
  const Value* additional = nullptr;
};

struct ArrayPart {
  const Value::Array* prefix = nullptr;
  const Value* items = nullptr;
};

struct Shape {
  const Value* origin = nullptr;  // for errors
  unsigned types = schema_type::kAll;
  std::optional<std::vector<const Value*>> values;  // of enum and const
  std::optional<SchemaNumber> min, max;
  int64_t length_min = 0, length_max = kNoLimit;
  std::optional<std::string> pattern, format;
  int64_t items_min = 0, items_max = kNoLimit;
  std::vector<ArrayPart> arrays;
  std::vector<ObjectPart> objects;
  std::vector<std::string> required;
  int64_t properties_min = 0, properties_max = kNoLimit;
};

class Schema {
 public:
  static Result<Schema> parse(std::string_view text);

  const Value& root() const { return *root_; }
  // "#/properties/name".
  std::string pointer(const Value* schema) const;
  std::unexpected<Error> error(const Value* schema, std::string_view what) const;

  // What all of the schemas together ask for: a value is right when it is right for one of the
  // shapes. None: no value is.
  Result<std::vector<Shape>> shapes(const SchemaSet& schemas);
  // What holds for the property of this name.
  Result<SchemaSet> property(const Shape& shape, const std::string& name);
  // All names in `properties` and `required`, in the order in which they were met.
  static std::vector<std::string> names(const Shape& shape);
  static bool is_required(const Shape& shape, std::string_view name);
  Result<bool> key_matches(const Value* origin, const std::string& pattern, std::string_view name);

 private:
  struct Expansion;

  Result<const Value*> resolve(const Value* schema, const Value& reference) const;
  Status expand(Expansion at, std::vector<Shape>& out);
  // False where nothing is right for the schema.
  Result<bool> visit(size_t task, Expansion& at);
  Status apply(const Value* schema, const std::string& keyword, const Value& value, Shape& shape);
  Status check_one_of(const Value* schema, const Value::Array& branches);
  Result<bool> exclude(const Shape& a, const Shape& b, int depth);
  Result<bool> objects_exclude(const Shape& a, const Shape& b, int depth);

  std::unique_ptr<Value> root_;
  std::unordered_map<const Value*, std::string> pointers_;
  std::set<const Value*> checked_;  // oneOf that were looked at
  int64_t work_ = 0;                // schemas that were looked at
};

// Whether two JSON values are equal: 1 and 1.0 are.
bool same_json(const Value& a, const Value& b);
unsigned json_type(const Value& value);  // one of schema_type

}  // namespace minke
