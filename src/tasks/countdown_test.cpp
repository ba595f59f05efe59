#include "tasks/countdown.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "tasks/countdown_search.h"
#include "tasks/registry.h"

namespace minke {
namespace {

std::shared_ptr<const Task> task(std::string_view spec) {
  auto found = find_task(spec);
  EXPECT_TRUE(found.has_value()) << (found ? "" : found.error().message);
  return *found;
}

TEST(Countdown, ChecksExpressions) {
  struct Case {
    const char* text;
    bool well_formed, correct;
  };
  const Case table[] = {
      {"(5*3)+7", true, true},
      {"7+3*5", true, true},
      {"3*5 + 7 = 22\n", true, true},
      {"\n 7 + 5 × 3 \n", true, true},
      {"3*5+7 = 23", false, false},  // claims another target
      {"3*5+7+0", true, false},      // a number too many
      {"3*5", true, false},          // one is missing
      {"22", true, false},
      {"3*7+5", true, false},  // another value
      {"5*5-3", true, false},  // a number twice
      {"none", false, false},
      {"", false, false},
      {"3**5+7", false, false},
      {"15/1+7", true, false},
      {"(5*3)+7 or so", false, false},
  };
  const CountdownInstance instance = read_countdown("3 5 7 = 22").value();
  ASSERT_EQ(instance.numbers, (std::vector<int>{3, 5, 7}));
  ASSERT_EQ(instance.target, 22);
  for (const auto& [text, well_formed, correct] : table) {
    const Verdict verdict = check_countdown(instance, text);
    EXPECT_EQ(verdict.well_formed, well_formed) << text << ": " << verdict.why;
    EXPECT_EQ(verdict.correct, correct) << text << ": " << verdict.why;
    EXPECT_EQ(verdict.why.empty(), correct) << text;
  }
}

TEST(Countdown, RefusesMalformedInstances) {
  for (const char* text : {"", "=", "3 5 7", "= 22", "3 5 = ", "3 x = 4", "3 5 = 22 1", "-3 5 = 2",
                           "3 99999999999 = 4", "3 5 = 99999999999"}) {
    EXPECT_FALSE(read_countdown(text).has_value()) << text;
  }
}

TEST(Countdown, WaysThroughFractionsCount) {
  EXPECT_TRUE(check_countdown(read_countdown("3 3 8 8 = 24").value(), "8/(3-8/3)").correct);
}

TEST(Countdown, KnowsWhatCanBeReached) {
  EXPECT_TRUE(countdown_solvable(std::vector{3, 5, 7}, 22));
  EXPECT_FALSE(countdown_solvable(std::vector{1, 1, 1}, 50));
  EXPECT_TRUE(countdown_solvable(std::vector{25, 40, 2, 10}, 100));
  EXPECT_TRUE(countdown_solvable(std::vector{4, 4, 9}, 9));  // through zero
}

TEST(Countdown, AFullSearchInCompactFormIsThis) {
  TraceOptions options = TraceOptions::full();
  options.target_max = 30;
  Draws draws(1, 1);
  const SolvedProblem solved = countdown_trace(std::vector{3, 5, 7}, 22, options, draws);
  EXPECT_EQ(solved.thinking,
            "7+3=10 with 5: +15 -5 *>30 /2 no\n"
            "7-3=4 with 5: +9 -1 *20 no\n"
            "7*3=21 with 5: +26 -16 *>30 no\n"
            "7+5=12 with 3: +15 -9 *>30 /4 no\n"
            "7-5=2 with 3: +5 -1 *6 no\n"
            "7*5=35 with 3: +>30 ->30 *>30 no\n"
            "5+3=8 with 7: +15 -1 *>30 no\n"
            "5-3=2 with 7: +9 -5 *14 no\n"
            "5*3=15 with 7: +22 yes\n");
  EXPECT_EQ(solved.answer, "(5*3)+7");
}

TEST(Countdown, AFullSearchInWordsIsThis) {
  TraceOptions options = TraceOptions::full();
  options.form = TraceOptions::Form::kWords;
  Draws draws(1, 1);
  const SolvedProblem solved = countdown_trace(std::vector{3, 5, 7}, 22, options, draws);
  EXPECT_EQ(solved.thinking,
            "7 + 3 = 10. With 5: 10 + 5 = 15, 10 - 5 = 5, 10 * 5 = 50, 10 / 5 = 2: no.\n"
            "7 - 3 = 4. With 5: 5 + 4 = 9, 5 - 4 = 1, 5 * 4 = 20: no.\n"
            "7 * 3 = 21. With 5: 21 + 5 = 26, 21 - 5 = 16, 21 * 5 = 105: no.\n"
            "7 + 5 = 12. With 3: 12 + 3 = 15, 12 - 3 = 9, 12 * 3 = 36, 12 / 3 = 4: no.\n"
            "7 - 5 = 2. With 3: 3 + 2 = 5, 3 - 2 = 1, 3 * 2 = 6: no.\n"
            "7 * 5 = 35. With 3: 35 + 3 = 38, 35 - 3 = 32, 35 * 3 = 105: no.\n"
            "5 + 3 = 8. With 7: 8 + 7 = 15, 8 - 7 = 1, 8 * 7 = 56: no.\n"
            "5 - 3 = 2. With 7: 7 + 2 = 9, 7 - 2 = 5, 7 * 2 = 14: no.\n"
            "5 * 3 = 15. With 7: 15 + 7 = 22: yes!\n"
            "So (5 * 3) + 7 = 22.\n");
  EXPECT_EQ(solved.answer, "(5 * 3) + 7");
}

TEST(Countdown, AQuestionInEnglishMayBeThoughtOverInTheCompactNotation) {
  const auto english = task("countdown"), notes = task("countdown:notation=compact");
  const Problem problem = notes->problem(Split::kTrain, 5);
  EXPECT_EQ(problem.prompt, english->problem(Split::kTrain, 5).prompt);
  const auto solved = notes->solve(problem, 5);
  ASSERT_TRUE(solved.has_value());
  EXPECT_TRUE(solved->thinking.ends_with(" yes\n")) << solved->thinking;
  EXPECT_FALSE(solved->thinking.contains("With")) << solved->thinking;
  EXPECT_TRUE(solved->answer.starts_with("Answer: ")) << solved->answer;
}

TEST(Countdown, SolversAreRightWhereTheySaySo) {
  for (const char* spec :
       {"countdown", "countdown:form=compact", "countdown:trace=drill", "countdown:numbers=2",
        "countdown:form=compact,trace=mixed", "countdown:trace=mixed", "countdown:notation=compact",
        "countdown:numbers=4,max=50,target_min=10,target_max=200,form=compact",
        "countdown:numbers=4,max=50,target_min=10,target_max=200,trace=drill,nodes=6",
        "countdown:numbers=4,max=50,target_max=200,form=compact,trace=mixed"}) {
    const auto countdown = task(spec);
    const bool is_sure = !std::string_view(spec).contains("mixed");
    int solved_count = 0;
    for (uint64_t index = 0; index < 1000; ++index) {
      const Problem problem = countdown->problem(Split::kTrain, index);
      const auto solved = countdown->solve(problem, index);
      ASSERT_TRUE(solved.has_value());
      const Verdict verdict = countdown->check(problem, solved->answer);
      ASSERT_EQ(verdict.correct, solved->correct)
          << spec << ": " << problem.prompt << ": " << solved->answer << ": " << verdict.why;
      solved_count += solved->correct;
    }
    if (is_sure) {
      EXPECT_EQ(solved_count, 1000) << spec;
    } else {
      EXPECT_GT(solved_count, 240) << spec;
      EXPECT_LT(solved_count, 400) << spec;
    }
  }
}

TEST(Countdown, TracesKeepToTheirBounds) {
  const auto countdown = task("countdown:numbers=4,max=99,target_max=200,form=compact,trace=mixed");
  for (uint64_t index = 0; index < 300; ++index) {
    const Problem problem = countdown->problem(Split::kTrain, index);
    const auto solved = countdown->solve(problem, 1);
    int number = 0;
    for (const char c : solved->thinking) {
      number = c >= '0' && c <= '9' ? number * 10 + (c - '0') : 0;
      ASSERT_LE(number, kCountdownLargest) << solved->thinking;
    }
  }
}

TEST(Countdown, NoNodeComesTwice) {
  TraceOptions options = TraceOptions::full();
  options.overlook_chance = 1;
  Draws draws(3, 3);
  const SolvedProblem solved = countdown_trace(std::vector{4, 4, 9}, 17, options, draws);
  std::multiset<std::string> lines;
  for (size_t at = 0; at < solved.thinking.size();) {
    const size_t end = solved.thinking.find('\n', at);
    lines.insert(solved.thinking.substr(at, end - at));
    at = end + 1;
  }
  // 4 and 4 by + - * /, 9 and 4 by + - *.
  EXPECT_EQ(lines.size(), 7u) << solved.thinking;
  for (const std::string& line : lines) EXPECT_EQ(lines.count(line), 1u) << line;
}

TEST(Countdown, TheSeedChoosesTheTrace) {
  const auto countdown = task("countdown:form=compact");
  const Problem problem = countdown->problem(Split::kTrain, 5);
  EXPECT_EQ(countdown->solve(problem, 7)->thinking, countdown->solve(problem, 7)->thinking);
  std::set<std::string> traces;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    traces.insert(countdown->solve(problem, seed)->thinking);
  }
  EXPECT_GT(traces.size(), 3u);
}

}  // namespace
}  // namespace minke
