#include "tasks/expression.h"

#include <gtest/gtest.h>

#include <string>

namespace minke {
namespace {

struct Worked {
  const char* text;
  Rational value;
};

TEST(Expression, IsWorkedOutExactly) {
  const Worked table[] = {
      {"7", {7, 1}},
      {"1+2*3", {7, 1}},
      {"(1+2)*3", {9, 1}},
      {"10-4-3", {3, 1}},
      {"100/5/2", {10, 1}},
      {"1/3+1/6", {1, 2}},
      {"2/(3/4)", {8, 3}},
      {"3-5", {-2, 1}},
      {" ( 5 *3 )\n+ 7 \n", {22, 1}},
      {"5 × 3 ÷ 2 − 1", {13, 2}},
      {"((((7))))", {7, 1}},
      {"007", {7, 1}},
  };
  for (const auto& [text, value] : table) {
    const auto parsed = parse_expression(text);
    ASSERT_TRUE(parsed.has_value()) << text << ": " << parsed.error().message;
    EXPECT_EQ(to_string(parsed->value), to_string(value)) << text;
  }
}

TEST(Expression, KnowsItsNumbersAndItsClaim) {
  const auto parsed = parse_expression("(5*3) + 7 = 22\n");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->numbers, (std::vector<int64_t>{5, 3, 7}));
  EXPECT_EQ(parsed->claims, 22);
}

TEST(Expression, RefusesWhatIsNoArithmetic) {
  for (const char* text :
       {"",      " ",          "\n",   "2**5",    "7//2",  "1.5*2", "1,000+2",
        "-3",    "+3",         "2*-3", "2--3",    "(2",    "2)",    "()",
        "2(3)",  "(2)(3)",     "2 3",  "2+",      "*2",    "1/0",   "1/(2-2)",
        "2^3",   "2%3",        "five", "2+x",     "1e3",   "0x10",  "1_0",
        "[2+3]", "5=",         "=5",   "5=5=5",   "5=(5)", "5=+5",  "5+3 is 8",
        "5;",    "9999999999", "5!",   "sqrt(4)", "\xFF",  "2×",    "99999999*99999999*99999999"}) {
    EXPECT_FALSE(parse_expression(text).has_value()) << text;
  }
  EXPECT_FALSE(parse_expression(std::string("1\0+2", 4)).has_value());
  EXPECT_FALSE(parse_expression(std::string("1+2\0", 4)).has_value());
}

TEST(Expression, BoundsNestingAndLength) {
  const std::string open(50, '('), close(50, ')');
  EXPECT_TRUE(parse_expression(open + "1" + close).has_value());
  EXPECT_FALSE(parse_expression("(" + open + "1" + close + ")").has_value());
  EXPECT_FALSE(parse_expression(std::string(1'000'000, '(')).has_value());
  std::string sum = "1";
  while (sum.size() < 998) sum += "+1";
  EXPECT_TRUE(parse_expression(sum).has_value());
  EXPECT_FALSE(parse_expression(sum + "+1").has_value());
}

TEST(Expression, SaysWhereItStopsBeingOne) {
  EXPECT_EQ(parse_expression("2**5").error().message, "'*' at byte 2 where a number should be");
  EXPECT_EQ(parse_expression("2+").error().message, "the expression ends where a number should be");
}

struct ReadNumber {
  const char* text;
  const char* value;  // null: none
};

TEST(Rational, IsReadInItsForms) {
  const ReadNumber table[] = {
      {"7", "7"},
      {"-7", "-7"},
      {"+7", "7"},
      {"3/4", "3/4"},
      {"6/8", "3/4"},
      {"-6/8", "-3/4"},
      {"1.25", "5/4"},
      {".5", "1/2"},
      {"-0.50", "-1/2"},
      {"1,234", "1234"},
      {"1,234,567", "1234567"},
      {"1,234.5", "2469/2"},
      {"0", "0"},
      {"-0", "0"},
      {"007", "7"},
      {"", nullptr},
      {"-", nullptr},
      {".", nullptr},
      {"1.", nullptr},
      {"1,23", nullptr},
      {"12,34,567", nullptr},
      {",123", nullptr},
      {"1/0", nullptr},
      {"1/", nullptr},
      {"/2", nullptr},
      {"1/2/3", nullptr},
      {"1.2.3", nullptr},
      {"--1", nullptr},
      {"1e3", nullptr},
      {"9223372036854775807", "9223372036854775807"},
      {"9223372036854775808", nullptr},
      {"nan", nullptr},
      {"1 2", nullptr},
  };
  for (const auto& [text, value] : table) {
    const auto read = parse_rational(text);
    EXPECT_EQ(read.has_value(), value != nullptr) << text;
    if (read && value) {
      EXPECT_EQ(to_string(*read), value) << text;
    }
  }
}

TEST(Rational, HasNoValueWhereOneWouldNotFit) {
  const Rational large{.numerator = INT64_MAX};
  EXPECT_FALSE(add(large, {.numerator = 1}).has_value());
  EXPECT_FALSE(multiply(large, {.numerator = 2}).has_value());
  EXPECT_FALSE(divide(large, {.numerator = 0}).has_value());
  EXPECT_FALSE(make_rational(INT64_MIN, 1).has_value());
  EXPECT_EQ(to_string(*subtract({1, 2}, {1, 3})), "1/6");
}

}  // namespace
}  // namespace minke
