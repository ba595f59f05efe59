// Finds what an answer comes down to, among the words that may stand around it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tasks/task.h"

namespace minke {

std::string_view trimmed(std::string_view text);

// What stands in the last \boxed{...} (braces nested inside it are balanced) or \fbox{...}.
std::optional<std::string_view> last_boxed(std::string_view text);

// The answer in the first of these forms that is there: the last \boxed{...}, the last
// <answer>...</answer>, the last line that begins with "Answer:", a text that is one line. Without
// the emphasis, quotes, dollar signs and full stop around it; nothing where there is none of them.
std::optional<std::string_view> final_answer(std::string_view text);

// An answer that was worked out on the way, taken apart: what led to it, and what it comes down to
// in the form in which it was given ("Answer: 7", "\\boxed{7}", "<answer>7</answer>", a block of
// code). An "Answer:" line and a block of code are cut out of the way; the others, which stand
// inside sentences, stay in it.
struct WorkedAnswer {
  std::string way;
  std::string answer;
};
// Nothing where there is no final answer in one of these forms, or no way to it.
std::optional<WorkedAnswer> worked_answer(std::string_view text);

// Whether the final answer is the number `expected` (parse_rational's forms, dollar and percent
// signs aside). Well formed: a number.
Verdict check_number(std::string_view expected, std::string_view answer);

// Whether the final answer is the word or phrase `expected`, whatever the case of ASCII letters.
// Well formed: there is a final answer.
Verdict check_phrase(std::string_view expected, std::string_view answer);

// Whether the answer says the word or phrase `expected` anywhere, with no letter or digit on either
// side of it, whatever the case of ASCII letters. Well formed: there is an answer.
Verdict check_mention(std::string_view expected, std::string_view answer);

}  // namespace minke
