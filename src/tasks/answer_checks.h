// Checks of answers that are neither numbers nor mathematics (final_answer.h and math_answer.h have
// those).
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"
#include "tasks/task.h"

namespace minke {

// The final answer is the letter of a choice: "B", "(b)", "B.", "B) the second". Well formed: one
// of the first `choices` letters.
Verdict check_choice(char expected, int choices, std::string_view answer);

// The whole answer, or what stands in its last fenced block, is JSON for which the schema holds
// (text/grammar_schema.h says which keywords there are; members come in the schema's order). Well
// formed: JSON.
Verdict check_json_schema(std::string_view schema, std::string_view answer);

// The number behind the last "####", where GSM8K has it, or else the final answer.
Verdict check_gsm8k(std::string_view expected, std::string_view answer);

// The last block fenced by three backquotes, without its language; where there is none, the whole
// text.
std::string_view last_code_block(std::string_view answer);

// Runs `program` (the answer's code with its tests behind it) in the sandbox. Well formed: the
// answer has a line of code at all.
Verdict check_program(std::string_view program, std::string_view code);

// Asks a program of the user's: it gets one JSON object {"id", "prompt", "expected", "answer"} on
// its standard input and prints a number from 0 to 1, which is the score; correct is 1/2 or more.
// It is not sandboxed: it is the user's own, while the answer it judges is data. Whatever else it
// does within its 10 seconds is a malformed answer with its reason.
Verdict check_by_command(const std::string& command, const Problem& problem,
                         std::string_view answer);

}  // namespace minke
