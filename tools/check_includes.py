#!/usr/bin/env python3
"""Holds the code to the plan of the house: which room may include which.

Prints each include that points the wrong way, and exits 1 when there is one. docs/architecture.md
says why the arrows point as they do.
"""

import pathlib
import re
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent

# room: the rooms that it uses. What those use it may use too.
USES = {
    "core": [],
    "quant": ["core"],
    "kernels": ["quant"],
    "ops": ["kernels"],
    "io": ["quant"],
    "text": ["core"],
    "tasks": ["io", "text"],
    "models": ["ops", "io", "text"],
    "quantize": ["models"],
    "engine": ["models", "text"],
    "eval": ["engine", "tasks"],
    "train": ["eval"],
    "server": ["engine"],
    "cli": ["train", "eval", "quantize", "server"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')
X86_HEADER = re.compile(r"(?:^|/)(?:[a-z]*intrin|cpuid)\.h$")


def reach(room):
    """All rooms at or below one."""
    found, waiting = set(), [room]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += USES[current]
    return found


def faults_of(path, relative):
    """Wrong includes of one file, as sentences."""
    parts = relative.parts
    public = parts[0] == "include"
    room = None if public else parts[1]
    allowed = set() if public else reach(room)
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quoted, angled = match.groups()
        where = f"{relative}:{number}: "
        if X86_HEADER.search(quoted or angled) and parts[1:3] != ("kernels", "cpu"):
            yield f"{where}{angled or quoted} belongs in kernels/cpu: nothing else may assume x86"
        if quoted is None or quoted.startswith("minke/"):
            continue
        target = quoted.split("/")[0]
        if public:
            yield f"{where}a public header may include only minke/... headers, not {quoted}"
        elif target in ("gtest", "gmock"):
            continue
        elif "/" not in quoted or target not in USES:
            yield f'{where}"{quoted}": write the room before it, as in "core/result.h"'
        elif target == "io" and path.stem.endswith("_test"):
            continue  # a test may read files and take checksums
        elif target not in allowed:
            yield (f"{where}{room} may not use {target} "
                   f"(only {', '.join(sorted(allowed - {room})) or 'itself'})")


def main():
    faults = []
    for folder in ("include", "src"):
        for path in sorted((SOURCE / folder).rglob("*")):
            relative = path.relative_to(SOURCE)
            if path.suffix not in (".h", ".cpp"):
                continue
            if folder == "src" and relative.parts[1] not in USES:
                faults.append(f"{relative}: the room {relative.parts[1]} is not in the plan: add it "
                              "to tools/check_includes.py and docs/architecture.md")
            else:
                faults += faults_of(path, relative)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
