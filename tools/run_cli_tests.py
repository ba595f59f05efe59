#!/usr/bin/env python3
"""Runs the text cases of the command line: tests/cli/**/*.case.

    tools/run_cli_tests.py MINKE [--models DIR] [FILE ...]

A case is one text file. It begins with a sentence on what it shows, then come sections, each after
a line `--- NAME`:

    --- command            (needed) run by bash; $MINKE is the program
    --- stdin              what the command reads; nothing when absent
    --- stdout             exactly what it prints; or one of
    --- stdout contains    lines that must each be found in it
    --- stdout json        a JSON value that it must equal
    --- stderr             exactly, or
    --- stderr contains    lines that must each be found in it
    --- status             its exit status, 0 when absent
    --- needs              files of the models folder, one a line; without them the case is skipped
    --- not under          sanitizers ($MINKE_SANITIZER) under which it would say nothing
    --- file NAME          a file of that name in the working folder

A stream that no section speaks of is free. The command runs in an empty folder that is also its HOME
and holds its cache; $MODELS is the folder of test models and $SOURCE the tree. `{DIR}` in expected
text stands for the working folder.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parent.parent
CASE_SECONDS_MAX = 300
SECTIONS = {"command", "stdin", "stdout", "stdout contains", "stdout json", "stderr",
            "stderr contains", "status", "needs", "not under"}


class Case:
    def __init__(self, path):
        self.path = path
        self.name = str(path.relative_to(SOURCE / "tests/cli")) if path.is_relative_to(
            SOURCE / "tests/cli") else str(path)
        self.sections, self.files = {}, {}
        target = None
        for line in path.read_text().splitlines(keepends=True):
            if line.startswith("--- "):
                title = line[4:].strip()
                target = []
                if title.startswith("file "):
                    self.files[title[5:]] = target
                elif title in SECTIONS:
                    self.sections[title] = target
                else:
                    raise SystemExit(f"{path}: no section is called '{title}'")
            elif target is not None:
                target.append(line)
        if "command" not in self.sections:
            raise SystemExit(f"{path}: has no section 'command'")
        if not any(title.startswith(("stdout", "stderr", "status")) for title in self.sections):
            raise SystemExit(f"{path}: expects nothing, so it could not fail")

    def text(self, section):
        return "".join(self.sections.get(section, []))

    def missing(self, models):
        needed = self.text("needs").split()
        return [name for name in needed if models is None or not (models / name).exists()]

    def run(self, minke, models):
        """The list of what was wrong; empty when the case passes."""
        with tempfile.TemporaryDirectory(prefix="minke-cli-") as folder:
            for name, lines in self.files.items():
                (pathlib.Path(folder) / name).write_text("".join(lines))
            environment = {name: value for name, value in os.environ.items()
                           if not name.startswith(("MINKE_", "HF_"))}
            environment |= {"MINKE": str(minke), "HOME": folder, "XDG_CACHE_HOME": folder + "/cache",
                            "SOURCE": str(SOURCE), "LC_ALL": "C.UTF-8", "TERM": "dumb",
                            "COLUMNS": "100", "MODELS": str(models or "")}
            if "MINKE_ISA" in os.environ:
                environment["MINKE_ISA"] = os.environ["MINKE_ISA"]
            try:
                done = subprocess.run(["bash", "-c", self.text("command")], cwd=folder,
                                      env=environment, input=self.text("stdin").encode(),
                                      capture_output=True, timeout=CASE_SECONDS_MAX, check=False)
            except subprocess.TimeoutExpired:
                return [f"did not end within {CASE_SECONDS_MAX} s"]
            return self.faults(done, folder)

    def faults(self, done, folder):
        found = []
        expected_status = int(self.text("status").strip() or 0)
        if done.returncode != expected_status:
            found.append(f"exit status {done.returncode}, expected {expected_status}")
        for stream, raw in (("stdout", done.stdout), ("stderr", done.stderr)):
            got = raw.decode("utf-8", errors="backslashreplace")
            expected = self.text(stream).replace("{DIR}", folder)
            if stream in self.sections and got != expected:
                found.append(f"{stream} is\n{indented(got)}expected\n{indented(expected)}")
            for line in self.text(f"{stream} contains").replace("{DIR}", folder).splitlines():
                if line and line not in got:
                    found.append(f"{stream} lacks '{line}':\n{indented(got)}")
        if "stdout json" in self.sections:
            found += json_faults(done.stdout, self.text("stdout json"))
        if found and "stderr" not in "".join(found) and done.stderr:
            found.append("stderr was\n" + indented(done.stderr.decode(errors="replace")))
        return found


def json_faults(raw, expected_text):
    try:
        got = json.loads(raw)
    except ValueError as error:
        return [f"stdout is no JSON ({error}):\n{indented(raw.decode(errors='replace'))}"]
    if got == json.loads(expected_text):
        return []
    return [f"stdout is {json.dumps(got)[:2000]}, expected {expected_text.strip()}"]


def indented(text):
    return "".join("    " + line + "\n" for line in text.splitlines()[:40])


def run_cases(minke, models, paths, report=print):
    """Runs cases; (passed, failed, skipped) counts."""
    passed = failed = skipped = 0
    for path in paths:
        case = Case(path)
        sanitizer = os.environ.get("MINKE_SANITIZER", "")
        if sanitizer and sanitizer in case.text("not under").split():
            skipped += 1
            report(f"  skipped  {case.name}: says nothing under {sanitizer}")
            continue
        missing = case.missing(models)
        if missing:
            skipped += 1
            report(f"  skipped  {case.name}: needs {', '.join(missing)}")
            continue
        faults = case.run(minke, models)
        if faults:
            failed += 1
            report(f"  FAILED   {case.name}: " + "\n".join(faults))
        else:
            passed += 1
    return passed, failed, skipped


def all_cases():
    return sorted((SOURCE / "tests/cli").rglob("*.case"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("minke", type=pathlib.Path)
    parser.add_argument("--models", type=pathlib.Path,
                        default=os.environ.get("MINKE_TEST_MODELS") or None)
    parser.add_argument("cases", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    paths = [path.resolve() for path in arguments.cases] or all_cases()
    models = pathlib.Path(arguments.models).resolve() if arguments.models else None
    passed, failed, skipped = run_cases(arguments.minke.resolve(), models, paths)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
