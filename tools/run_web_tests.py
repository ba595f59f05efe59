#!/usr/bin/env python3
"""Runs the chat app's tests and prints the counts as its last line.

    tools/run_web_tests.py MINKE FOLDER [--models DIR]

In a copy of web/ in FOLDER: types (svelte-check), logic (vitest), the build with its limits of size,
then in Chromium the walk against the stand-in server of web/mock, and against MINKE itself with
smollm2:135m of --models. Chromium fails a walk on any request that is not to the server, on a console
error and on a breach of the Content-Security-Policy. What is missing is named and counts as skipped.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parent.parent
SECONDS_MAX = 900


class Counts:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def skip(self, name, why):
        self.skipped += 1
        print(f"  skipped  web {name}: {why}")


def copy_web(folder):
    """The sources anew, the packages as they were fetched for the same lockfile."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((SOURCE / "web").iterdir()):
        if path.name in ("node_modules", "dist"):
            continue
        target = folder / path.name
        if target.is_dir():
            shutil.rmtree(target)
        if path.is_dir():
            shutil.copytree(path, target, ignore=shutil.ignore_patterns("node_modules"))
        else:
            shutil.copy2(path, target)
    lock, known = (folder / "package-lock.json").read_bytes(), folder / "node_modules/.lock"
    if not known.exists() or known.read_bytes() != lock:
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder,
                       check=True)
        known.write_bytes(lock)


def step(counts, folder, name, command, environment=None):
    """One command; the steps that it counts itself ("N steps passed", "N passed") are as many
    tests."""
    result = subprocess.run(command, cwd=folder, env={**os.environ, **(environment or {})},
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            timeout=SECONDS_MAX, check=False)
    found = re.findall(r"(\d+) steps passed|Tests\s+(\d+) passed", result.stdout)
    count = sum(int(a or b) for a, b in found) or 1
    if result.returncode == 0:
        counts.passed += count
        print(f"web {name}: {count} passed")
    else:
        counts.failed += 1
        print(result.stdout[-6000:])
        print(f"  FAILED   web {name}")


class Minke:
    """A server of this build, in a folder of its own."""

    def __init__(self, minke, model):
        self.folder = tempfile.TemporaryDirectory(prefix="minke-web-")
        self.train(minke)
        environment = dict(os.environ, XDG_CACHE_HOME=self.folder.name + "/cache",
                           XDG_DATA_HOME=self.folder.name + "/data", HOME=self.folder.name)
        self.process = subprocess.Popen(
            [minke, "serve", model, "--port", "0", "--log", "none", "--no-disk-cache",
             "--runs", self.folder.name + "/runs"],
            stdout=subprocess.PIPE, text=True, env=environment)
        line = self.process.stdout.readline()
        self.url = line.split("serves ")[1].split(" ")[0].rstrip("/")

    def train(self, minke):
        """A few steps of the recipe that everybody has, for the app's page of trainings."""
        small = ["stage.0.steps=4", "stage.0.evaluate.problems=2", "stage.1.steps=1",
                 "stage.1.prompts=2", "stage.1.evaluate.problems=2"]
        sets = [word for one in small for word in ("--set", one)]
        subprocess.run([minke, "train", SOURCE / "recipes/zero.toml", *sets,
                        "-o", self.folder.name + "/runs/walk"],
                       stdout=subprocess.DEVNULL, check=True)

    def end(self):
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(60)
        self.folder.cleanup()
        return status


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("minke", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--models", type=pathlib.Path)
    arguments = parser.parse_args()
    counts = Counts()
    if shutil.which("npm") is None:
        counts.skip("tests", "needs npm (Node 18 or later)")
    else:
        folder = arguments.folder.resolve()
        copy_web(folder)
        step(counts, folder, "types", ["npm", "run", "--silent", "check"])
        step(counts, folder, "logic", ["npm", "test", "--silent"])
        step(counts, folder, "build", ["npm", "run", "--silent", "build"])
        if shutil.which("chromium") is None:
            counts.skip("in a browser", "needs chromium")
        else:
            step(counts, folder, "in a browser, with a stand-in for the server",
                 ["npm", "run", "--silent", "test:browser"])
            model = arguments.models and arguments.models / "smollm2-135m.gguf"
            if not model or not model.exists():
                counts.skip("in a browser, with the server", "needs smollm2-135m.gguf")
            else:
                minke = Minke(str(arguments.minke.resolve()), str(model.resolve()))
                step(counts, folder, "in a browser, with the server",
                     ["npm", "run", "--silent", "test:browser"], {"MINKE_URL": minke.url})
                if minke.end() != 0:
                    counts.failed += 1
                    print("  FAILED   web: the server did not end well")
    skipped = f", {counts.skipped} skipped" if counts.skipped else ""
    print(f"{counts.passed} passed, {counts.failed} failed{skipped}")
    return 1 if counts.failed else 0


if __name__ == "__main__":
    sys.exit(main())
