// Any bytes as an answer: what it comes down to is part of it, and every parser takes or refuses
// it.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/check.h"
#include "tasks/countdown.h"
#include "tasks/expression.h"
#include "tasks/final_answer.h"
#include "tasks/math_answer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto answer = minke::final_answer(text);
  if (answer) CHECK(text.contains(*answer));
  const auto expression = minke::parse_expression(text);
  if (expression) {
    CHECK(!expression->numbers.empty());
    CHECK_GT(expression->value.denominator, 0);
  } else {
    CHECK(!expression.error().message.empty());
  }
  const minke::CountdownInstance instance = {.numbers = {3, 5, 7}, .target = 22};
  const minke::Verdict countdown = minke::check_countdown(instance, text);
  CHECK(countdown.well_formed || !countdown.correct);
  CHECK_EQ(countdown.correct, countdown.why.empty());
  const minke::Verdict number = minke::check_number("22", text);
  CHECK(number.well_formed || !number.correct);
  // Whatever it is, it is what it is; and the two sides of a comparison are alike.
  const std::string_view left = text.substr(0, size / 2), right = text.substr(size / 2);
  CHECK(minke::same_math(text, text) || minke::trimmed(text).empty());
  CHECK_EQ(minke::same_math(left, right), minke::same_math(right, left));
  return 0;
}
