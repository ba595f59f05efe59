#!/usr/bin/env python3
"""What can be found without running anything: format, includes, lengths, scripts, clang-tidy, and
what the objects of build/release define.

    tools/lint.py [--all] [--no-tidy] [--minutes N]

clang-tidy reads the files that differ from the last commit of the main branch (or from the commit
before, where that is this one); with --all, every file. It needs the compile commands of
build/release and stops starting files after --minutes. Prints each fault, then the counts of checks
as the last line.
"""

import argparse
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parent.parent
LINES_MAX = 800


def output_of(*command):
    return subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=True).stdout


def files_of_tree():
    """Tracked files and new ones that git would take."""
    names = output_of("git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    return [name for name in sorted(set(names)) if (SOURCE / name).is_file()]


def is_cpp(name):
    return name.endswith((".h", ".cpp"))


def is_shell(name):
    if name.endswith(".sh"):
        return True
    if "." in pathlib.PurePath(name).name[1:]:
        return False
    with open(SOURCE / name, "rb") as file:
        return file.readline() in (b"#!/bin/bash\n", b"#!/bin/sh\n")


def run(*command):
    """What a program complains of; empty when it is content."""
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip() if done.returncode else ""


def check_format(names):
    complaint = run("clang-format-19", "--dry-run", "-Werror", *names)
    wrong = {line.split(":")[0] for line in complaint.splitlines() if ": error: " in line}
    return "clang-format-19 -i " + " ".join(sorted(wrong)) if wrong else complaint


def check_lengths(names):
    faults = []
    for name in names:
        with open(SOURCE / name, encoding="utf-8") as file:
            lines = sum(1 for _ in file)
        if lines > LINES_MAX:
            faults.append(f"{name}: {lines} lines, at most {LINES_MAX}: divide it")
    return "\n".join(faults)


def changed_files():
    """Names that differ from the main branch, or else from the commit before."""
    head = output_of("git", "rev-parse", "HEAD").strip()
    for base in ("origin/main", "HEAD~1"):
        found = subprocess.run(["git", "rev-parse", "--verify", "--quiet", base + "^{commit}"],
                               cwd=SOURCE, capture_output=True, text=True, check=False)
        if found.returncode == 0 and found.stdout.strip() != head:
            differing = output_of("git", "diff", "--name-only", found.stdout.strip()).splitlines()
            return set(differing) | set(output_of("git", "ls-files", "--others",
                                                  "--exclude-standard").splitlines())
    return set(files_of_tree())


def check_tidy(names, minutes):
    """Complaints of clang-tidy, and how many files there was no time for."""
    until = time.monotonic() + 60 * minutes

    def one(name):
        if time.monotonic() > until:
            return None
        complaint = run("clang-tidy-19", "--quiet", "-p", "build/release",
                        "--extra-arg=-Wno-unknown-warning-option", name)
        lines = [line for line in complaint.splitlines()
                 if not line.endswith((" warnings generated.", " warning generated."))]
        return "\n".join(lines)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(one, names))
    return "\n".join(filter(None, results)), sum(result is None for result in results)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--no-tidy", action="store_true")
    parser.add_argument("--minutes", type=float, default=10)
    arguments = parser.parse_args()
    names = files_of_tree()
    cpp = [name for name in names if is_cpp(name)]
    checks = {
        "format": lambda: check_format(cpp),
        "include directions": lambda: run(sys.executable, "tools/check_includes.py"),
        "lengths": lambda: check_lengths(cpp),
        "shell scripts": lambda: run("shellcheck", "-x", *filter(is_shell, names)),
    }
    passed = failed = 0
    skipped = ""
    if not arguments.no_tidy:
        if not (SOURCE / "build/release/compile_commands.json").exists():
            print("clang-tidy: no build/release/compile_commands.json; run ./test --fast first")
            failed += 1
        else:
            chosen = None if arguments.all else changed_files()
            # Only what is compiled; headers are read through the files that include them.
            compiled = (SOURCE / "build/release/compile_commands.json").read_text()
            files = [name for name in cpp if name.endswith(".cpp") and
                     str(SOURCE / name) in compiled and (chosen is None or name in chosen)]

            def tidy():
                nonlocal skipped
                complaint, late = check_tidy(files, arguments.minutes)
                if late:
                    skipped = f", {late} skipped"
                    print(f"clang-tidy: no time for {late} of {len(files)} files")
                return complaint

            checks["clang-tidy"] = tidy
            checks["objects of one instruction set"] = lambda: run(sys.executable,
                                                                   "tools/check_isa_objects.py")
    for what, check in checks.items():
        complaint = check()
        if complaint:
            failed += 1
            print(f"FAILED {what}\n{complaint}")
        else:
            passed += 1
            print(f"{what}: fine", flush=True)
    print(f"{passed} passed, {failed} failed{skipped}")
    return 1 if failed else 0


if __name__ == "__main__":
    if shutil.which("git") is None or not (SOURCE / ".git").exists():
        sys.exit("tools/lint.py: this needs a git checkout")
    sys.exit(main())
