"""Measures speculation in real use: a model is to rename a word in a file and print all of it.

    edit_speed.py MINKE FILE OLD NEW [--model MODEL] [--turns 1]

Asks greedily with `--speculate on` and `off` in turn and prints one JSON line:

    plain_tokens_per_s, tokens_per_s, speedup    of the answer, without the reading of the prompt
    answer_tokens, drafted_tokens, accepted_tokens
    same_answer                                  the two are equal, byte for byte
    lines, lines_right                           of the renamed file; how many the answer has in order

Fails when the answers differ. What the model makes of the task is its own affair: a small one may
stop early or change more than it was asked to.
"""

import argparse
import difflib
import json
import pathlib
import re
import subprocess
import sys


def ask(options, speculate):
    prompt = (f"Rename {options.old} to {options.new} everywhere in this file, change nothing else, "
              f"and print the whole file. @{options.file}")
    command = [options.minke, "run", *([options.model] if options.model else []), prompt,
               "--temp", "0", "--speculate", speculate, "--max-tokens", "4096", "--json"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def lines_in_order(wanted, content):
    blocks = difflib.SequenceMatcher(None, wanted, content.splitlines(), False).get_matching_blocks()
    return sum(block.size for block in blocks)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minke")
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--model", help="a path or a name; the default model without it")
    parser.add_argument("--turns", type=int, default=1)
    options = parser.parse_args()
    plain, with_guesses = [], []
    for _ in range(options.turns):
        with_guesses.append(ask(options, "on"))
        plain.append(ask(options, "off"))
    rates = [sum(answer["usage"]["tokens_per_s"] for answer in answers) / len(answers)
             for answers in (plain, with_guesses)]
    usage, content = with_guesses[0]["usage"], with_guesses[0]["content"]
    wanted = re.sub(rf"\b{re.escape(options.old)}\b", options.new, options.file.read_text())
    same = all(answer["content"] == content for answer in plain + with_guesses)
    print(json.dumps({
        "file": str(options.file),
        "plain_tokens_per_s": round(rates[0], 2),
        "tokens_per_s": round(rates[1], 2),
        "speedup": round(rates[1] / rates[0], 2),
        "prompt_tokens": usage["prompt_tokens"],
        **{key: usage[key] for key in ("answer_tokens", "drafted_tokens", "accepted_tokens")},
        "finish": with_guesses[0]["finish"],
        "same_answer": same,
        "lines": len(wanted.splitlines()),
        "lines_right": lines_in_order(wanted.splitlines(), content),
    }))
    if not same:
        sys.exit("the answers differ, which speculation must never make them do")


if __name__ == "__main__":
    main()
