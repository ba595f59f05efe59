#include "tasks/answer_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "core/child_process.h"
#include "tasks/final_answer.h"
#include "tasks/sandbox.h"
#include "text/grammar_automaton.h"
#include "text/grammar_schema.h"
#include "text/utf8_stream.h"
#include "text/value.h"

namespace minke {

namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// The letter that stands alone at the beginning: "B", "(B)", "B) because".
char leading_letter(std::string_view text) {
  if (text.starts_with('(')) text.remove_prefix(1);
  if (text.empty() || !is_letter(text[0])) return '\0';
  const bool is_alone = text.size() == 1 || std::string_view(").:, ").contains(text[1]);
  // "a dog" is no choice of A.
  const bool is_word = text.size() > 1 && text[1] == ' ';
  if (!is_alone || is_word) return '\0';
  return text[0] >= 'a' ? static_cast<char>(text[0] - 'a' + 'A') : text[0];
}

std::string_view last_line(std::string_view text) {
  text = trimmed(text);
  return text.substr(text.rfind('\n') + 1);
}

std::string environment_value(const char* name) {
  const char* const value = std::getenv(name);
  return fmt::format("{}={}", name, value ? value : "");
}

}  // namespace

Verdict check_choice(char expected, int choices, std::string_view answer) {
  const auto given = final_answer(answer);
  if (!given) return {.why = "there is no final answer"};
  const char letter = leading_letter(*given);
  if (letter == '\0' || letter >= 'A' + choices) {
    return {.why = fmt::format("'{}' is no letter of a choice", given->substr(0, 60))};
  }
  if (letter == expected) return {.well_formed = true, .correct = true};
  return {.well_formed = true, .why = fmt::format("{} is not {}", letter, expected)};
}

Verdict check_json_schema(std::string_view schema, std::string_view answer) {
  const auto value = parse_json(trimmed(last_code_block(answer)));
  if (!value) return {.why = value.error().message};
  const auto grammar = json_schema_grammar(schema);
  if (!grammar) return {.well_formed = true, .why = grammar.error().message};
  auto automaton = GrammarAutomaton::create(*grammar, 0);
  if (!automaton) return {.well_formed = true, .why = automaton.error().message};
  if (automaton->matches(to_json(*value))) return {.well_formed = true, .correct = true};
  return {.well_formed = true, .why = "the schema does not hold for it"};
}

Verdict check_gsm8k(std::string_view expected, std::string_view answer) {
  constexpr std::string_view kMark = "####";
  const size_t mark = answer.rfind(kMark);
  if (mark == std::string_view::npos) return check_number(expected, answer);
  const std::string_view rest = trimmed(answer.substr(mark + kMark.size()));
  return check_number(expected, rest.substr(0, rest.find('\n')));
}

std::string_view last_code_block(std::string_view answer) {
  constexpr std::string_view kFence = "```";
  const size_t close = answer.rfind(kFence);
  if (close == std::string_view::npos) return answer;
  const size_t open = close == 0 ? std::string_view::npos : answer.rfind(kFence, close - 1);
  // A block that was never closed goes to the end.
  const std::string_view block =
      open == std::string_view::npos
          ? answer.substr(close + kFence.size())
          : answer.substr(open + kFence.size(), close - open - kFence.size());
  const size_t line_end = block.find('\n');
  return line_end == std::string_view::npos ? block : block.substr(line_end + 1);
}

Verdict check_program(std::string_view program, std::string_view code) {
  if (trimmed(code).empty()) return {.why = "there is no code"};
  const auto outcome = run_python(program);
  if (!outcome) return {.well_formed = true, .why = outcome.error().message};
  if (outcome->succeeded) return {.well_formed = true, .correct = true};
  if (outcome->timed_out) return {.well_formed = true, .why = "time is up"};
  const std::string_view said = last_line(outcome->errors);
  return {
      .well_formed = true,
      .why = said.empty() ? "it did not come to its end" : make_valid_utf8(said.substr(0, 200))};
}

Verdict check_by_command(const std::string& command, const Problem& problem,
                         std::string_view answer) {
  const std::string input = to_json(Value::Object{{"id", problem.id},
                                                  {"prompt", problem.prompt},
                                                  {"expected", problem.expected},
                                                  {"answer", make_valid_utf8(answer)}}) +
                            "\n";
  const auto outcome = run_child(
      {.command = {command},
       .environment = {environment_value("PATH"), environment_value("HOME"), "LC_ALL=C.UTF-8"},
       .input = input});
  if (!outcome) return {.why = outcome.error().message};
  if (outcome->timed_out) return {.why = fmt::format("{}: time is up", command)};
  if (outcome->exit_status != 0) {
    return {.why = fmt::format("{}: exit status {}: {}", command, outcome->exit_status,
                               last_line(outcome->errors))};
  }
  const std::string_view text = trimmed(outcome->output);
  double score = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), score);
  if (fault != std::errc() || end != text.data() + text.size() || !(score >= 0 && score <= 1)) {
    return {.why = fmt::format("{}: printed '{}', and should print a score from 0 to 1", command,
                               text.substr(0, 60))};
  }
  const bool is_correct = score >= 0.5;
  return {.well_formed = true,
          .correct = is_correct,
          .why = is_correct ? "" : fmt::format("the score is {}", score),
          .score = score};
}

}  // namespace minke
