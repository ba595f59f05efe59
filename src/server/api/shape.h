// What a JSON value has to look like, written once: the reader of requests checks against it, and
// the OpenAPI file says it to others. A subset of JSON Schema. Plain values; any thread.
//
//   const Shape body = Shape::object({
//       required("model", Shape::string().at_most(200), "Name of a model, see /v1/models"),
//       optional("temperature", Shape::number(0, 2), "0 takes the likeliest token"),
//   });
//   MINKE_API_TRY(check_shape(value, body));   // 400 temperature must be in [0, 2], got 3.5
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/value.h"

namespace minke::server {

struct Member;

class Shape {
 public:
  enum class Kind : uint8_t { kAny, kBool, kInteger, kNumber, kString, kArray, kObject, kOneOf };

  static Shape any();
  static Shape boolean();
  static Shape integer(int64_t low, int64_t high);
  static Shape number(double low, double high);
  static Shape number();
  static Shape string();
  static Shape choice(std::vector<std::string> allowed);
  static Shape array(Shape items, size_t count_max);
  static Shape object(std::vector<Member> members);
  // Any object: its members are not looked at.
  static Shape map();
  // The first that fits.
  static Shape one_of(std::vector<Shape> alternatives);
  // Another shape, by its name in the OpenAPI file.
  Shape named(std::string name) const;

  Shape nullable() const;
  Shape at_least(size_t count) const;  // characters, items
  Shape at_most(size_t count) const;

  Value schema() const;      // JSON Schema; a named shape is a reference
  Value definition() const;  // what the reference means
  Kind kind() const { return kind_; }
  const std::string& name() const { return name_; }
  const std::vector<Member>& members() const { return members_; }

 private:
  friend struct ShapeCheck;
  friend void collect_named(const Shape& shape, std::vector<const Shape*>& out);

  Kind kind_ = Kind::kAny;
  bool is_nullable_ = false;
  std::string name_;
  double low_ = -std::numeric_limits<double>::infinity();
  double high_ = std::numeric_limits<double>::infinity();
  size_t count_min_ = 0;
  size_t count_max_ = std::numeric_limits<size_t>::max();
  std::vector<std::string> allowed_;
  std::vector<Shape> parts_;  // items; alternatives
  std::vector<Member> members_;
  bool is_map_ = false;
};

struct Member {
  std::string name;
  Shape shape;
  std::string description;
  bool is_required = false;
};
Member required(std::string name, Shape shape, std::string description = {});
Member optional(std::string name, Shape shape, std::string description = {});

// What is wrong with a value: where (as clients write paths, "messages[0].content"), and the
// sentence about it.
struct ShapeFault {
  std::string param;
  std::string message;
};
// Members that the shape does not know are passed over; null stands for an optional member that is
// not there.
std::optional<ShapeFault> check_shape(const Value& value, const Shape& shape);

// All named shapes in it, inner ones too; each once.
void collect_named(const Shape& shape, std::vector<const Shape*>& out);

// Reading what has been checked. Null counts as missing.
const Value* member(const Value& object, std::string_view name);
std::string text_member(const Value& object, std::string_view name, std::string_view missing = {});
std::optional<std::string> maybe_text(const Value& object, std::string_view name);
std::optional<double> maybe_number(const Value& object, std::string_view name);
std::optional<int64_t> maybe_integer(const Value& object, std::string_view name);
std::optional<bool> maybe_bool(const Value& object, std::string_view name);
// An integer, also one written as 3.0.
std::optional<int64_t> integer_of(const Value& value);

// "a string", "an array": for sentences.
std::string kind_text(const Value& value);

}  // namespace minke::server
