#include "tasks/final_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <ranges>

#include "tasks/rational.h"

namespace minke {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equal_but_for_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

// Signs that writers put around an answer and that say nothing of it.
std::string_view without_dress(std::string_view text) {
  constexpr std::array<std::string_view, 6> kPairs = {"**", "*", "`", "$", "\"", "'"};
  text = trimmed(text);
  for (bool changed = true; changed && !text.empty();) {
    changed = false;
    if (text.ends_with('.')) {
      text = trimmed(text.substr(0, text.size() - 1));
      changed = true;
    }
    for (const std::string_view mark : kPairs) {
      if (text.size() > 2 * mark.size() && text.starts_with(mark) && text.ends_with(mark)) {
        text = trimmed(text.substr(mark.size(), text.size() - 2 * mark.size()));
        changed = true;
        break;
      }
    }
  }
  return text;
}

std::optional<std::string_view> last_tagged(std::string_view text) {
  constexpr std::string_view kOpen = "<answer>", kClose = "</answer>";
  const size_t close = text.rfind(kClose);
  if (close == std::string_view::npos) return std::nullopt;
  const size_t open = text.rfind(kOpen, close);
  if (open == std::string_view::npos) return std::nullopt;
  const size_t begin = open + kOpen.size();
  return text.substr(begin, close - begin);
}

// Behind the "Answer:" of a line, which may be emphasised; nothing where the line is another.
std::optional<std::string_view> behind_answer_word(std::string_view line) {
  constexpr std::string_view kWords[] = {"answer:", "final answer:", "the answer is"};
  line = trimmed(line);
  const bool is_bold = line.starts_with("**");
  if (is_bold) line.remove_prefix(2);
  for (const std::string_view word : kWords) {
    if (line.size() < word.size() || !equal_but_for_case(line.substr(0, word.size()), word)) {
      continue;
    }
    line = trimmed(line.substr(word.size()));
    if (is_bold && line.starts_with("**")) {
      line.remove_prefix(2);
    } else if (is_bold && line.ends_with("**")) {
      line.remove_suffix(2);
    }
    return trimmed(line);
  }
  return std::nullopt;
}

// The line itself, and what stands behind its "Answer:".
struct AnswerLine {
  std::string_view line, answer;
};
std::optional<AnswerLine> last_answer_line(std::string_view text) {
  std::optional<AnswerLine> found;
  for (const auto part : std::views::split(text, '\n')) {
    const std::string_view line(part);
    if (const auto behind = behind_answer_word(line)) found = {.line = line, .answer = *behind};
  }
  return found;
}

// Typographic minus, currency and percent signs are no matter of the number.
std::string plain_number(std::string_view text) {
  constexpr std::string_view kMinus = "−";
  std::string plain;
  while (!text.empty()) {
    if (text.starts_with(kMinus)) {
      plain += '-';
      text.remove_prefix(kMinus.size());
      continue;
    }
    if (!std::string_view("$%\\ ").contains(text.front())) plain += text.front();
    text.remove_prefix(1);
  }
  return plain;
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::optional<std::string_view> last_boxed(std::string_view text) {
  for (size_t end = text.size(); end > 0;) {
    const size_t at = text.rfind("box", end - 1);
    if (at == std::string_view::npos) return std::nullopt;
    end = at;
    const bool is_boxed =
        text.substr(0, at).ends_with('\\') && text.substr(at).starts_with("boxed");
    const bool is_fbox = text.substr(0, at).ends_with("\\f");
    if (!is_boxed && !is_fbox) continue;
    const size_t open = text.find_first_not_of(' ', at + (is_boxed ? 5 : 3));
    if (open == std::string_view::npos || text[open] != '{') continue;
    int depth = 0;
    for (size_t i = open; i < text.size(); ++i) {
      if (text[i] == '{') ++depth;
      if (text[i] == '}' && --depth == 0) return text.substr(open + 1, i - open - 1);
    }
  }
  return std::nullopt;
}

std::optional<std::string_view> final_answer(std::string_view text) {
  text = trimmed(text);
  auto found = last_boxed(text);
  if (!found) found = last_tagged(text);
  if (const auto line = found ? std::nullopt : last_answer_line(text)) found = line->answer;
  if (!found && !text.contains('\n')) found = text;
  if (!found || trimmed(*found).empty()) return std::nullopt;
  return without_dress(*found);
}

std::optional<WorkedAnswer> worked_answer(std::string_view text) {
  constexpr std::string_view kFence = "```";
  text = trimmed(text);
  const auto given = final_answer(text);
  WorkedAnswer worked;
  if (last_boxed(text)) {
    worked = {.way = std::string(text), .answer = fmt::format("\\boxed{{{}}}", *last_boxed(text))};
  } else if (last_tagged(text)) {
    worked = {.way = std::string(text), .answer = fmt::format("<answer>{}</answer>", *given)};
  } else if (const auto line = last_answer_line(text); line && given) {
    worked = {
        .way = std::string(text.substr(0, static_cast<size_t>(line->line.data() - text.data()))),
        .answer = fmt::format("Answer: {}", *given)};
  } else if (text.ends_with(kFence)) {
    const size_t begin = text.rfind(kFence, text.size() - 2 * kFence.size());
    if (begin == std::string_view::npos) return std::nullopt;
    worked = {.way = std::string(text.substr(0, begin)), .answer = std::string(text.substr(begin))};
  }
  worked.way = std::string(trimmed(worked.way));
  if (worked.way.empty() || worked.answer.empty()) return std::nullopt;
  return worked;
}

Verdict check_number(std::string_view expected, std::string_view answer) {
  const auto given = final_answer(answer);
  if (!given) return {.why = "there is no final answer"};
  const auto value = parse_rational(plain_number(*given));
  if (!value) return {.why = fmt::format("'{}' is no number", given->substr(0, 60))};
  const auto wanted = parse_rational(expected);
  if (wanted && *value == *wanted) return {.well_formed = true, .correct = true};
  return {.well_formed = true, .why = fmt::format("{} is not {}", to_string(*value), expected)};
}

Verdict check_phrase(std::string_view expected, std::string_view answer) {
  const auto given = final_answer(answer);
  if (!given) return {.why = "there is no final answer"};
  if (equal_but_for_case(*given, expected)) return {.well_formed = true, .correct = true};
  return {.well_formed = true,
          .why = fmt::format("'{}' is not '{}'", given->substr(0, 60), expected)};
}

Verdict check_mention(std::string_view expected, std::string_view answer) {
  if (trimmed(answer).empty()) return {.why = "there is no answer"};
  const auto is_inside_word = [&](size_t at) {
    return at < answer.size() && std::isalnum(static_cast<unsigned char>(answer[at])) != 0;
  };
  for (size_t at = 0; at + expected.size() <= answer.size(); ++at) {
    if (!equal_but_for_case(answer.substr(at, expected.size()), expected)) continue;
    const bool begins = at == 0 || !is_inside_word(at - 1);
    if (begins && !is_inside_word(at + expected.size())) {
      return {.well_formed = true, .correct = true};
    }
  }
  return {.well_formed = true, .why = fmt::format("it does not say '{}'", expected)};
}

}  // namespace minke
