"""Times minke and llama.cpp on the same files in turn, A B A B, and prints a Markdown table.

    compare_speed.py MINKE MODEL.gguf... [--turns 2] [--rows decode prefill-512 …]

Each turn runs `minke bench` and then llama_cpp_bench.py beside this file, with the Python that runs
this (needs llama-cpp-python). A cell holds the mean of the turns, with the least and the most in
brackets; the share is of the limit that minke's bench measured beside its row. A line at the end
says how far the machine's peaks moved while a row ran: above a tenth, measure again.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

ROWS = ["prefill-512", "prefill-4096", "decode", "decode-at-4096", "batch-8", "batch-32"]
HERE = pathlib.Path(__file__).resolve().parent


def measured(command):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, check=True)
    answer = json.loads(done.stdout)
    return answer, {row["name"]: row for row in answer["rows"]}


def cell(values):
    mean = f"{statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.1f}–{max(values):.1f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minke")
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=ROWS)
    options = parser.parse_args()
    for model in options.models:
        ours, theirs = [], []
        for _ in range(options.turns):
            answer, rows = measured([options.minke, "bench", model, "--json",
                                     "--rows", ",".join(options.rows)])
            ours.append(rows)
            threads = answer["machine"]["threads"]
            theirs.append(measured([sys.executable, HERE / "llama_cpp_bench.py", model,
                                    "--threads", threads, "--rows", *options.rows])[1])
        machine = answer["machine"]
        print(f"{model.name}, {threads} threads, {machine['isa']}: "
              f"{machine['read_gb_per_s']:.1f} GB/s, int8 {machine['int8_gop_per_s']:.0f} GOP/s, "
              f"bf16 {machine['bf16_gflop_per_s']:.0f} GFLOP/s\n")
        print("| row | minke | share of the limit | llama.cpp | ratio |\n|---|---|---|---|---|")
        moved = 0.0
        for name in options.rows:
            mine = [rows[name]["tokens_per_s"] for rows in ours]
            other = [rows[name]["tokens_per_s"] for rows in theirs]
            share = statistics.mean(rows[name]["share"] for rows in ours)
            moved = max(moved, *(rows[name]["peaks_moved"] for rows in ours))
            print(f"| {name} | {cell(mine)} | {share:.0%} | {cell(other)} "
                  f"| {statistics.mean(mine) / statistics.mean(other):.2f} |")
        print(f"\nPeaks moved by at most {moved:.0%} beside a row.\n", flush=True)


if __name__ == "__main__":
    main()
