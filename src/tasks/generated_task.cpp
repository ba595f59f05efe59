#include "tasks/generated_task.h"

#include <fmt/format.h>

#include <charconv>

#include "tasks/final_answer.h"

namespace minke {

namespace {

constexpr uint64_t kTestShare = 10;  // one of so many instances

const char* split_name(Split split) { return split == Split::kTrain ? "train" : "test"; }

}  // namespace

Split split_of(std::string_view canonical) {
  return stable_hash(canonical) % kTestShare == 0 ? Split::kTest : Split::kTrain;
}

std::optional<GeneratedTask::Instance> GeneratedTask::find(Split split, uint64_t index,
                                                           int64_t tries_max) const {
  Draws draws(stable_hash(family_), index);
  for (int64_t tries = 0; tries < tries_max; ++tries) {
    auto instance = draw(draws);
    if (instance && split_of(instance->canonical) == split) return instance;
  }
  return std::nullopt;
}

Status GeneratedTask::check_splits() const {
  constexpr int64_t kTries = 20'000;
  for (const Split split : {Split::kTrain, Split::kTest}) {
    if (!find(split, 0, kTries)) {
      return misuse(
          fmt::format("task '{}' leaves (nearly) no problems to {} on: widen its parameters", spec_,
                      split_name(split)));
    }
  }
  return {};
}

Problem GeneratedTask::problem(Split split, uint64_t index) const {
  // check_splits() has found one, so that another comes sooner or later.
  auto instance = find(split, index, INT64_MAX);
  CHECK(instance.has_value());
  return {.id = fmt::format("{}/{}/{}", spec_, split_name(split), index),
          .prompt = std::move(instance->prompt),
          .expected = std::move(instance->expected)};
}

Verdict GeneratedTask::check(const Problem& problem, std::string_view answer) const {
  return check_number(problem.expected, answer);
}

Result<SolvedProblem> GeneratedTask::solve(const Problem& problem, uint64_t seed) const {
  Draws draws(seed, stable_hash(problem.prompt));
  return work_out(problem, draws);
}

std::string_view part_between(std::string_view text, std::string_view before,
                              std::string_view after) {
  const size_t begin = text.find(before);
  CHECK_NE(begin, std::string_view::npos);
  text.remove_prefix(begin + before.size());
  const size_t end = text.find(after);
  CHECK_NE(end, std::string_view::npos);
  return text.substr(0, end);
}

int64_t to_integer(std::string_view text) {
  int64_t value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  CHECK(fault == std::errc() && end == text.data() + text.size());
  return value;
}

std::string answer_line(std::string_view answer) { return fmt::format("Answer: {}", answer); }

}  // namespace minke
