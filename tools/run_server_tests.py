#!/usr/bin/env python3
"""Runs the tests of the server over HTTP: tests/server/cases/*.py.

    tools/run_server_tests.py MINKE [--models DIR] [--fast] [--only WORD]

Most run on tiny models of random weights, which `minke synth` makes here. Files named sdk_*.py run
the unmodified clients of build/sdk-venv and build/sdk-npm (tools/fetch_sdk_clients.sh); what is
missing is named, and its tests count as skipped. With --fast those are left out.
"""

import argparse
import importlib.util
import pathlib
import subprocess
import sys
import tempfile
import time
import traceback

SOURCE = pathlib.Path(__file__).resolve().parent.parent
SECONDS_WORTH_A_LINE = 20
sys.path.insert(0, str(SOURCE / "tests/server"))

import harness  # noqa: E402


class Room:
    """What test files may ask for: the program, models, and servers."""

    def __init__(self, minke, models, folder):
        self.minke, self.models, self.folder = minke, models, pathlib.Path(folder)

    def tiny(self, shape="tiny-qwen2"):
        path = self.folder / f"{shape}.gguf"
        if not path.exists():
            subprocess.run([str(self.minke), "synth", shape, "Q8_0", str(path)], check=True,
                           capture_output=True)
        return path

    def model(self, name):
        """A model of the models folder."""
        if self.models is None or not (self.models / name).exists():
            raise harness.Skip(f"needs {name}")
        return (self.models / name).resolve()

    def server(self, **options):
        return harness.Server(self.minke, **options)


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_file(path, room, only, counts, report):
    module = load(path)
    tests = [(name, test) for name, test in vars(module).items()
             if name.startswith("test_") and only in f"{path.stem}.{name}"]
    if not tests:
        return
    try:
        server = module.make_server(room)
    except harness.Skip as why:
        counts["skipped"] += len(tests)
        report(f"  skipped  {path.stem}: {why}")
        return
    for name, test in tests:
        began = time.monotonic()
        try:
            # A test of many checks gives each with what was wrong with it.
            for check, why in test(server) or [(None, None)]:
                counts["failed" if why else "passed"] += 1
                if why:
                    report(f"  FAILED   {path.stem}.{name}: {check}: {why}")
        except harness.Skip as why:
            counts["skipped"] += 1
            report(f"  skipped  {path.stem}.{name}: {why}")
        except Exception:  # pylint: disable=broad-exception-caught
            counts["failed"] += 1
            text = "".join("    " + line + "\n" for line in traceback.format_exc().splitlines()[3:])
            report(f"  FAILED   {path.stem}.{name}:\n{text}".rstrip())
        if time.monotonic() - began > SECONDS_WORTH_A_LINE:
            report(f"  {path.stem}.{name} took {time.monotonic() - began:.0f} s")
    status = server.close()
    if status != 0:
        counts["failed"] += 1
        report(f"  FAILED   {path.stem}: the server ended with {status}:\n" +
               "".join(server.log[-40:]))


def run_cases(minke, models, fast, only="", report=print):
    """Runs all; (passed, failed, skipped) counts."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    with tempfile.TemporaryDirectory(prefix="minke-server-") as folder:
        room = Room(minke, models, folder)
        for path in sorted((SOURCE / "tests/server/cases").glob("*.py")):
            if not (fast and path.stem.startswith("sdk_")):
                run_file(path, room, only, counts, report)
    return counts["passed"], counts["failed"], counts["skipped"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("minke", type=pathlib.Path)
    parser.add_argument("--models", type=pathlib.Path)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--only", default="", help="tests whose FILE.NAME has this in it")
    arguments = parser.parse_args()
    models = arguments.models.resolve() if arguments.models else None
    passed, failed, skipped = run_cases(arguments.minke.resolve(), models, arguments.fast,
                                        arguments.only)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
