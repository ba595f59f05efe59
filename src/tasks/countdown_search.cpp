#include "tasks/countdown_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

#include "core/check.h"

namespace minke {

namespace {

struct Step {
  int high = 0, low = 0;
  char sign = '+';
  int result = 0;
};

// What two numbers make: at most one step an operator, in the order + - * /.
struct Steps {
  std::array<Step, 4> items;
  size_t count = 0;
  std::span<const Step> all() const { return std::span(items).first(count); }
};

Steps steps_of(int x, int y) {
  const int high = std::max(x, y), low = std::min(x, y);
  Steps steps;
  const auto add = [&](char sign, int result) {
    steps.items[steps.count++] = {.high = high, .low = low, .sign = sign, .result = result};
  };
  add('+', high + low);
  add('-', high - low);
  add('*', high * low);
  if (low > 0 && high % low == 0) add('/', high / low);
  return steps;
}

// The numbers that are left when two of them are replaced; the result comes last.
std::array<int, kCountdownNumbersMax> without(std::span<const int> numbers, size_t i, size_t j,
                                              int result) {
  std::array<int, kCountdownNumbersMax> left = {};
  size_t count = 0;
  for (size_t k = 0; k < numbers.size(); ++k) {
    if (k != i && k != j) left[count++] = numbers[k];
  }
  left[count] = result;
  return left;
}

// A number with how it was made, parentheses around what has an operator.
struct Term {
  int value = 0;
  std::string text;
};

std::string joined(const Term& a, const Term& b, char sign, TraceOptions::Form form) {
  const auto side = [](const Term& term) {
    const bool is_plain = term.text.find_first_not_of("0123456789") == std::string::npos;
    return is_plain ? term.text : "(" + term.text + ")";
  };
  const bool is_swapped = a.value < b.value;
  const Term& high = is_swapped ? b : a;
  const Term& low = is_swapped ? a : b;
  return form == TraceOptions::Form::kCompact
             ? fmt::format("{}{}{}", side(high), sign, side(low))
             : fmt::format("{} {} {}", side(high), sign, side(low));
}

// Writes what the search does in one of the two forms.
class TraceWriter {
 public:
  TraceWriter(const TraceOptions& options, std::string* out)
      : compact_(options.form == TraceOptions::Form::kCompact),
        target_max_(options.target_max),
        out_(*out) {}

  void open(const Step& step, std::span<const Term> others) {
    const auto out = std::back_inserter(out_);
    if (compact_) {
      fmt::format_to(out, "{}{}{}={} with", step.high, step.sign, step.low, step.result);
      for (const Term& other : others) fmt::format_to(out, " {}", other.value);
      out_ += ":\n";
      return;
    }
    fmt::format_to(out, "Take {} {} {} = {}, which leaves {}", step.high, step.sign, step.low,
                   step.result, step.result);
    for (size_t i = 0; i < others.size(); ++i) {
      fmt::format_to(out, "{}{}", i + 1 < others.size() ? ", " : " and ", others[i].value);
    }
    out_ += ".\n";
  }
  void close() { out_ += compact_ ? "back\n" : "That leads nowhere.\n"; }

  void node(const Step& step, int other) {
    const auto out = std::back_inserter(out_);
    if (compact_) {
      fmt::format_to(out, "{}{}{}={} with {}:", step.high, step.sign, step.low, step.result, other);
    } else {
      fmt::format_to(out, "{} {} {} = {}. With {}:", step.high, step.sign, step.low, step.result,
                     other);
    }
    is_first_ = true;
  }
  // Two numbers and no first step.
  void pair(int value, int other) {
    fmt::format_to(std::back_inserter(out_), "{} with {}:", value, other);
    is_first_ = true;
  }
  void second(const Step& step) {
    const auto out = std::back_inserter(out_);
    if (!compact_) {
      fmt::format_to(out, "{} {} {} {} = {}", is_first_ ? "" : ",", step.high, step.sign, step.low,
                     step.result);
    } else if (step.result > target_max_) {
      fmt::format_to(out, " {}>{}", step.sign, target_max_);
    } else {
      fmt::format_to(out, " {}{}", step.sign, step.result);
    }
    is_first_ = false;
  }
  void miss() { out_ += compact_ ? " no\n" : ": no.\n"; }
  void hit() { out_ += compact_ ? " yes\n" : ": yes!\n"; }
  void end(const std::string& expression, int target) {
    if (!compact_) fmt::format_to(std::back_inserter(out_), "So {} = {}.\n", expression, target);
  }
  void give_up() {
    if (!compact_) out_ += "I have not found a way.\n";
  }

 private:
  bool compact_;
  int target_max_;
  bool is_first_ = true;
  std::string& out_;
};

class CountdownSearch {
 public:
  CountdownSearch(int target, const TraceOptions& options, Draws& draws)
      : target_(target), options_(options), draws_(draws), writer_(options, &solved_.thinking) {
    const int nodes = draws.chance(options.short_chance) ? options.short_max : options.long_max;
    budget_ = nodes == 0 ? std::numeric_limits<int64_t>::max() : draws.between(1, nodes);
  }

  SolvedProblem run(const std::vector<Term>& terms) {
    const bool found = options_.ends_in_hit ? drill(terms) : explore(terms);
    if (found) {
      writer_.end(solved_.answer, target_);
    } else {
      give_up(terms);
    }
    return std::move(solved_);
  }

 private:
  struct Node {
    size_t i = 0, j = 0;
    Step step;
  };

  // All pairs with all their operators, those that are alike once. Pairs are in random order, and a
  // pair's operators in theirs: so what comes next can be told from the line before, and a search
  // remembers which pairs it has had instead of every node.
  std::vector<Node> shuffled_nodes(const std::vector<Term>& terms) {
    std::vector<std::pair<size_t, size_t>> pairs;
    for (size_t i = 0; i < terms.size(); ++i) {
      for (size_t j = i + 1; j < terms.size(); ++j) pairs.emplace_back(i, j);
    }
    draws_.shuffle(std::span(pairs));
    std::vector<Node> nodes;
    for (const auto& [i, j] : pairs) {
      const Steps steps = steps_of(terms[i].value, terms[j].value);
      for (const Step& step : steps.all()) {
        const bool is_known = std::ranges::any_of(nodes, [&](const Node& node) {
          return node.step.high == step.high && node.step.low == step.low &&
                 node.step.sign == step.sign;
        });
        if (step.result <= kCountdownLargest && !is_known) nodes.push_back({i, j, step});
      }
    }
    return nodes;
  }

  // The terms behind a node; what the node made comes last.
  std::vector<Term> behind(const std::vector<Term>& terms, const Node& node) const {
    std::vector<Term> left;
    for (size_t k = 0; k < terms.size(); ++k) {
      if (k != node.i && k != node.j) left.push_back(terms[k]);
    }
    left.push_back({.value = node.step.result,
                    .text = joined(terms[node.i], terms[node.j], node.step.sign, options_.form)});
    return left;
  }

  // The second steps of two terms, up to a hit that is seen.
  bool finish(const Term& a, const Term& b) {
    --budget_;
    const Steps steps = steps_of(a.value, b.value);
    for (const Step& step : steps.all()) {
      writer_.second(step);
      if (step.result == target_ && !draws_.chance(options_.overlook_chance)) {
        writer_.hit();
        solved_.answer = joined(a, b, step.sign, options_.form);
        return true;
      }
    }
    writer_.miss();
    return false;
  }

  bool last_node(const std::vector<Term>& terms, const Node& node) {
    const std::vector<Term> left = behind(terms, node);
    writer_.node(node.step, left[0].value);
    return finish(left[1], left[0]);
  }

  bool explore(const std::vector<Term>& terms) {
    if (terms.size() == 2) {
      writer_.pair(terms[0].value, terms[1].value);
      return finish(terms[0], terms[1]);
    }
    for (const Node& node : shuffled_nodes(terms)) {
      if (budget_ <= 0) return false;
      if (terms.size() == 3) {
        if (last_node(terms, node)) return true;
        continue;
      }
      const std::vector<Term> left = behind(terms, node);
      writer_.open(node.step, std::span(left).first(left.size() - 1));
      if (explore(left)) return true;
      if (budget_ > 0) writer_.close();
    }
    return false;
  }

  bool leads_to_target(const std::vector<Term>& terms, const Node& node) const {
    std::array<int, kCountdownNumbersMax> values = {};
    for (size_t k = 0; k < terms.size(); ++k) values[k] = terms[k].value;
    const auto left =
        without(std::span(values).first(terms.size()), node.i, node.j, node.step.result);
    return countdown_solvable(std::span(left).first(terms.size() - 1), target_);
  }

  // Straight to three numbers from which there is a way, then misses until the budget's last node.
  bool drill(const std::vector<Term>& terms) {
    if (terms.size() == 2) return explore(terms);
    std::vector<Node> nodes = shuffled_nodes(terms);
    const auto misses = std::ranges::stable_partition(
        nodes, [&](const Node& node) { return leads_to_target(terms, node); });
    const Node hit = nodes.front();
    if (terms.size() == 3) {
      for (const Node& node : misses) {
        if (budget_ <= 1) break;
        last_node(terms, node);
      }
      return last_node(terms, hit);
    }
    const std::vector<Term> left = behind(terms, hit);
    writer_.open(hit.step, std::span(left).first(left.size() - 1));
    return drill(left);
  }

  // An expression of all the numbers by chance, or none.
  void give_up(std::vector<Term> terms) {
    writer_.give_up();
    solved_.answer = "none";
    solved_.correct = false;
    if (!draws_.chance(options_.wrong_chance)) return;
    while (terms.size() > 1) {
      const std::vector<Node> nodes = shuffled_nodes(terms);
      terms = behind(terms, nodes[static_cast<size_t>(draws_.between(0, std::ssize(nodes) - 1))]);
    }
    solved_.answer = terms.front().text;
    solved_.correct = terms.front().value == target_;
  }

  int target_;
  const TraceOptions& options_;
  Draws& draws_;
  SolvedProblem solved_;
  TraceWriter writer_;
  int64_t budget_ = 0;
};

}  // namespace

bool countdown_solvable(std::span<const int> numbers, int target) {
  if (numbers.size() == 1) return numbers[0] == target;
  for (size_t i = 0; i < numbers.size(); ++i) {
    for (size_t j = i + 1; j < numbers.size(); ++j) {
      const Steps steps = steps_of(numbers[i], numbers[j]);
      for (const Step& step : steps.all()) {
        if (step.result > kCountdownLargest) continue;
        const auto left = without(numbers, i, j, step.result);
        if (countdown_solvable(std::span(left).first(numbers.size() - 1), target)) return true;
      }
    }
  }
  return false;
}

TraceOptions TraceOptions::mixed(size_t numbers) {
  // A search of four numbers needs some eight times the nodes to get as far as one of three.
  const int scale = numbers <= 3 ? 1 : 8;
  return {.short_chance = 0.75,
          .short_max = 2 * scale,
          .long_max = 16 * scale,
          .overlook_chance = 0.25};
}

SolvedProblem countdown_trace(std::span<const int> numbers, int target, const TraceOptions& options,
                              Draws& draws) {
  CHECK(numbers.size() >= 2 && numbers.size() <= kCountdownNumbersMax);
  std::vector<Term> terms;
  terms.reserve(numbers.size());
  for (const int number : numbers)
    terms.push_back({.value = number, .text = std::to_string(number)});
  return CountdownSearch(target, options, draws).run(terms);
}

}  // namespace minke
