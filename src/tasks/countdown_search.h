// The search for an expression of given numbers that makes a target, as a person would do it by
// hand: take two numbers, replace them by what one operator makes of them, and go on with what is
// left. All that is written on the way is an integer from 0 to 999: larger minus smaller, divisions
// without remainder.
//
// A node is one pair and one operator, where two numbers are left behind it, with all the second
// steps at once; with more numbers a node opens the search of those that are left:
//
//   compact                                in words
//   7*3=21 with 5 12:                      Take 7 * 3 = 21, which leaves 21, 5 and 12.
//   12-5=7 with 21: +28 -14 *147 /3 no     12 - 5 = 7. With 21: 21 + 7 = 28, ..., 21 / 7 = 3: no.
//   back                                   That leads nowhere.
//
// The compact form writes `*>100` for what is above the largest target: it cannot be the answer.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "tasks/draws.h"
#include "tasks/task.h"

namespace minke {

constexpr int kCountdownLargest = 999;
constexpr int kCountdownNumbersMax = 6;

// Whether there is a way of the kind above.
bool countdown_solvable(std::span<const int> numbers, int target);

// How a trace goes on and ends. Pairs are taken in random order, each with all its operators.
struct TraceOptions {
  enum class Form : uint8_t { kCompact, kWords };
  Form form = Form::kCompact;
  int target_max = 100;
  // After so many nodes with second steps the search gives up: with chance `short_chance` 1 to
  // short_max of them, else 1 to long_max, all alike; 0 is never.
  double short_chance = 0;
  int short_max = 1;
  int long_max = 0;
  // The last of those nodes is one with a hit, and there is none before it.
  bool ends_in_hit = false;
  double overlook_chance = 0;  // of a hit: the trace says no and goes on
  double wrong_chance = 0.5;   // giving up answers a wrong expression; else "none"

  // Solves every time, however long it takes.
  static TraceOptions full() { return {}; }
  // 1 to `nodes` nodes, the last with the hit.
  static TraceOptions drill(int nodes) { return {.long_max = nodes, .ends_in_hit = true}; }
  // What a model that shall learn by trial needs to have seen: about a third solved.
  static TraceOptions mixed(size_t numbers);
};

// The target must be reachable. The answer is the expression, or "none".
SolvedProblem countdown_trace(std::span<const int> numbers, int target, const TraceOptions& options,
                              Draws& draws);

}  // namespace minke
