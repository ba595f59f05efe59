#!/bin/bash
# The sentences that the README promises: ./run with a question answers it on stdout, here with the
# default model, once everything is set up; ./run zero finds an expression, and ./run r1 thinks first.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1

passed=0 failed=0

# check NAME CONDITION STATUS: CONDITION is 1 where the answer is what it should be.
check() {
  if (($2 == 1 && $3 == 0)); then
    passed=$((passed + 1))
  else
    echo "./run $1 ended with status $3 and without the right answer"
    failed=$((failed + 1))
  fi
}

question="What is the capital of France?"
answer=$(./run --yes "$question" --temp 0 --max-tokens 60)
status=$?
echo "$answer"
[[ $answer == *Paris* ]] && right=1 || right=0
check "\"$question\"" "$right" "$status"

answer=$(./run --yes zero 5 3 7 = 22 2>/dev/null)
status=$?
echo "$answer"
[[ $answer =~ ^[-+*/()0-9]+$ ]] && (((answer) == 22)) && right=1 || right=0
check "zero 5 3 7 = 22" "$right" "$status"

sum="What is 12 + 30 - 5? End with a line \"Answer: NUMBER\"."
answer=$(./run --yes r1 "$sum" --temp 0 --max-tokens 120 2>/dev/null)
status=$?
echo "$answer"
[[ $answer == *"Answer: 37"* ]] && right=1 || right=0
check "r1 $sum" "$right" "$status"

echo "$passed passed, $failed failed"
((failed == 0))
