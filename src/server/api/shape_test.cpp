#include "server/api/shape.h"

#include <gtest/gtest.h>

#include <limits>

namespace minke::server {
namespace {

Shape chat() {
  return Shape::object({
      required("messages",
               Shape::array(Shape::object({required("content", Shape::string())}), 3).at_least(1)),
      optional("temperature", Shape::number(0, 2)),
      optional("n", Shape::integer(1, 8)),
      optional("effort", Shape::choice({"low", "high"})),
      optional("stop", Shape::one_of({Shape::string(), Shape::array(Shape::string(), 4)})),
      optional("name", Shape::string().at_most(3)),
  });
}

// What check_shape() says of a document: "param: message", or "" where nothing is wrong.
std::string fault_of(const char* json) {
  const Result<Value> value = parse_json(json);
  EXPECT_TRUE(value) << json;
  const auto fault = check_shape(*value, chat());
  return fault ? fault->param + ": " + fault->message : "";
}

// Of several shapes, the fault of the one that goes furthest into the value is told.
TEST(Shape, OfAlternativesTheFurthestFaultIsTold) {
  const Shape shape = Shape::one_of(
      {Shape::array(Shape::integer(0, 9), 9), Shape::array(Shape::string(), 9), Shape::string()});
  const auto fault = check_shape(Value(Value::Array{Value("a"), Value(3)}), shape);
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->param, "[1]");
  EXPECT_EQ(check_shape(Value(3), shape)->message, "the body must be an array or a string, got 3");
}

// Where a value has the right kind, what is wrong with it is told and not its kind.
TEST(Shape, OfAlternativesTheOneOfTheValuesKindIsTold) {
  const Shape text = Shape::string().at_least(1).at_most(3);
  const Shape stop = Shape::one_of({text, Shape::array(text, 2)});
  const auto said = [&](Value value) { return check_shape(value, stop)->message; };
  EXPECT_EQ(said(Value("")), "the body must not be empty");
  EXPECT_EQ(said(Value("four")), "the body has 4 characters, and at most 3 are taken");
  EXPECT_EQ(said(Value(Value::Array{Value("a"), Value("b"), Value("c")})),
            "the body has 3 items, and at most 2 are taken");
  EXPECT_EQ(said(Value(true)), "the body must be a string or an array, got true");
}

TEST(Shape, TakesEveryIntegerWhereItShould) {
  constexpr int64_t kLow = std::numeric_limits<int64_t>::min();
  constexpr int64_t kHigh = std::numeric_limits<int64_t>::max();
  const Shape any = Shape::integer(kLow, kHigh);
  EXPECT_FALSE(check_shape(Value(kLow), any));
  EXPECT_FALSE(check_shape(Value(kHigh), any));
  EXPECT_TRUE(check_shape(Value(1e30), any));
  EXPECT_EQ(to_json(any.schema()),
            R"({"type":"integer","minimum":-9223372036854775808,"maximum":9223372036854775807})");
}

TEST(Shape, TakesWhatFits) {
  EXPECT_EQ(fault_of(R"({"messages": [{"content": "x"}], "temperature": 2, "n": 8.0})"), "");
  EXPECT_EQ(fault_of(R"({"messages": [{"content": "x"}], "unknown": [1]})"), "");
  EXPECT_EQ(fault_of(R"({"messages": [{"content": "x"}], "temperature": null})"), "")
      << "null is how clients leave things out";
  EXPECT_EQ(fault_of(R"({"messages": [{"content": "x"}], "stop": ["a", "b"]})"), "");
  EXPECT_EQ(fault_of("{\"messages\": [{\"content\": \"x\"}], \"name\": \"äöü\"}"), "")
      << "characters are counted, not bytes";
}

TEST(Shape, NamesTheMemberAndWhatItShouldBe) {
  EXPECT_EQ(fault_of("[]"), ": the body must be an object, got []");
  EXPECT_EQ(fault_of("{}"), "messages: messages is missing: it must be an array");
  EXPECT_EQ(fault_of(R"({"messages": []})"), "messages: messages must not be empty");
  EXPECT_EQ(fault_of(R"({"messages": [{"content": "x"}, {"content": 3}]})"),
            "messages[1].content: messages[1].content must be a string, got 3");
  EXPECT_EQ(fault_of(R"({"messages": [{"content": "x"}], "temperature": 3.5})"),
            "temperature: temperature must be in [0, 2], got 3.5");
  EXPECT_EQ(fault_of(R"({"messages": [{"content": "x"}], "n": 1.5})"),
            "n: n must be an integer, got 1.5");
  EXPECT_EQ(fault_of(R"({"messages": [{"content": "x"}], "n": -9223372036854775808})"),
            "n: n must be in [1, 8], got -9223372036854775808");
  EXPECT_EQ(fault_of(R"({"messages": [{"content": "x"}], "effort": "much"})"),
            "effort: effort must be one of 'low', 'high', got \"much\"");
  EXPECT_EQ(fault_of(R"({"messages": [{"content": "x"}], "stop": ["a", 1]})"),
            "stop[1]: stop[1] must be a string, got 1");
  EXPECT_EQ(fault_of(R"({"messages": [{"content": "x"}], "stop": 1})"),
            "stop: stop must be a string or an array, got 1");
  EXPECT_EQ(fault_of(R"({"messages": [{"content": "x"}], "name": "four"})"),
            "name: name has 4 characters, and at most 3 are taken");
}

TEST(Shape, SaysTheSameAsAJsonSchema) {
  EXPECT_EQ(to_json(Shape::integer(1, 8).schema()),
            R"({"type":"integer","minimum":1,"maximum":8})");
  EXPECT_EQ(to_json(Shape::choice({"a"}).nullable().schema()),
            R"({"type":["string","null"],"enum":["a",null]})");
  EXPECT_EQ(to_json(Shape::object({required("x", Shape::boolean())}).named("X").schema()),
            R"({"$ref":"#/components/schemas/X"})");
  EXPECT_EQ(to_json(Shape::object({required("x", Shape::boolean())}).named("X").definition()),
            R"({"type":"object","properties":{"x":{"type":"boolean"}},"required":["x"]})");
}

}  // namespace
}  // namespace minke::server
