#!/usr/bin/env python3
"""Runs every test of one build and prints the counts as its last line.

    tools/run_tests.py BUILD_FOLDER [--fast] [--models DIR] [--rooms a,b] [--no-cli] [--no-server]

Each room has one GoogleTest program, BUILD_FOLDER/bin/ROOM_tests; the command line has the text
cases of tests/cli, the server those of tests/server. A program that crashes, hangs or leaves no
report counts as one failure. With --fast, tests with "Slow" in their name are left out. Models are
looked for in --models by the tests themselves ($MINKE_TEST_MODELS); what a test lacks it names, and
it counts as skipped.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import run_cli_tests
import run_server_tests

PROGRAM_SECONDS_MAX = 2400


class Counts:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, passed, failed, skipped):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped

    def __str__(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def skip_reasons(log):
    """Test name -> what it said when it skipped itself; only the log has it."""
    reasons, test, reading = {}, "", False
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("[ RUN "):
            test, reading = line.split("]", 1)[1].strip(), False
        elif line.endswith(": Skipped"):
            reading = True
        elif line.startswith("[") or not line.strip():
            reading = False
        elif reading:
            reasons[test] = (reasons.get(test, "") + " " + line.strip()).strip()
    return reasons


def read_report(path, log, room, counts):
    """Adds a GoogleTest report to the counts and prints what did not pass."""
    passed = failed = skipped = 0
    reasons = skip_reasons(log)
    for suite in json.loads(path.read_text())["testsuites"]:
        for test in suite["testsuite"]:
            name = f"{suite['name']}.{test['name']}"
            if test.get("status") == "NOTRUN":
                continue
            if test.get("failures"):
                failed += 1
                print(f"  FAILED   {room}: {name}")
            elif test.get("result") == "SKIPPED":
                skipped += 1
                print(f"  skipped  {room}: {name}: {reasons.get(name, 'no reason given')}")
            else:
                passed += 1
    counts.add(passed, failed, skipped)
    return passed, failed, skipped


def run_program(program, arguments, counts):
    room = program.name.removesuffix("_tests")
    results = program.parent.parent / "test-results"
    results.mkdir(exist_ok=True)
    report, log = results / f"{room}.json", results / f"{room}.log"
    report.unlink(missing_ok=True)
    command = [str(program), f"--gtest_output=json:{report}", "--gtest_color=no"]
    if arguments.fast:
        command.append("--gtest_filter=-*Slow*")
    started = time.monotonic()
    with open(log, "wb") as out:
        try:
            status = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False,
                                    stdin=subprocess.DEVNULL, timeout=PROGRAM_SECONDS_MAX).returncode
        except subprocess.TimeoutExpired:
            status = f"no end within {PROGRAM_SECONDS_MAX} s"
    seconds = time.monotonic() - started
    failed_before = counts.failed
    try:
        passed, failed, skipped = read_report(report, log, room, counts)
    except (OSError, ValueError, KeyError):
        passed = failed = skipped = 0
    if status != 0 and not failed:
        # It crashed (also: after its last test, or a sanitizer ended it), so no report tells all.
        counts.failed += 1
        failed += 1
        print(f"  FAILED   {room}: {program.name} ended with {status}")
    if counts.failed > failed_before:
        print(f"  the end of {log}:")
        print("".join("    " + line for line in log.read_text(errors="replace")
                      .splitlines(keepends=True)[-60:]))
    print(f"{room}: {passed} passed, {failed} failed, {skipped} skipped, {seconds:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--models", type=pathlib.Path)
    parser.add_argument("--rooms", help="only these, with commas")
    parser.add_argument("--no-cli", action="store_true")
    parser.add_argument("--no-server", action="store_true")
    arguments = parser.parse_args()
    os.environ.pop("MINKE_TEST_MODELS", None)
    if arguments.models:
        os.environ["MINKE_TEST_MODELS"] = str(arguments.models.resolve())
    counts = Counts()
    wanted = arguments.rooms.split(",") if arguments.rooms else None
    programs = {program.name.removesuffix("_tests"): program
                for program in sorted((arguments.build / "bin").glob("*_tests"))}
    for room in wanted or programs:
        if room in programs:
            run_program(programs[room].resolve(), arguments, counts)
        else:
            counts.failed += 1
            print(f"  FAILED   {room}: there is no program {arguments.build}/bin/{room}_tests")
    if not arguments.no_cli:
        started = time.monotonic()
        models = arguments.models.resolve() if arguments.models else None
        result = run_cli_tests.run_cases((arguments.build / "minke").resolve(), models,
                                         run_cli_tests.all_cases())
        counts.add(*result)
        print("command line: {} passed, {} failed, {} skipped, {:.0f} s".format(
            *result, time.monotonic() - started), flush=True)
    if not arguments.no_server and (arguments.build / "minke").exists():
        started = time.monotonic()
        models = arguments.models.resolve() if arguments.models else None
        result = run_server_tests.run_cases((arguments.build / "minke").resolve(), models,
                                            arguments.fast)
        counts.add(*result)
        print("server: {} passed, {} failed, {} skipped, {:.0f} s".format(
            *result, time.monotonic() - started), flush=True)
    if counts.passed + counts.failed == 0:
        print("nothing ran")
        counts.failed = 1
    print(counts)
    return 1 if counts.failed else 0


if __name__ == "__main__":
    sys.exit(main())
