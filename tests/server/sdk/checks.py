"""What the scripts of the Python clients share: checks by name, and how they are told."""

import json
import sys
import time
import traceback
import urllib.request

CHECKS = []
URL, MODEL = sys.argv[1], sys.argv[2]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CALL_TEXT = ('Looking. <tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n'
             '</tool_call>')


def check(function):
    CHECKS.append(function)
    return function


def forced(text):
    """A response format that leaves the model nothing but this text to write."""
    special = r"\.^$|?*+()[]{}"
    return {"type": "regex", "regex": "".join("\\" + c if c in special else c for c in text)}


def wait_until_idle():
    """Until no answer is under way: what a client cancelled must not go on."""
    began = time.monotonic()
    while True:
        with urllib.request.urlopen(URL + "/health") as answer:
            health = json.load(answer)
        if health["requests_running"] + health["requests_waiting"] == 0:
            return
        assert time.monotonic() - began < 5, "the answer goes on though nobody wants it"
        time.sleep(0.05)


def main():
    failed = 0
    for one in CHECKS:
        try:
            one()
            print(f"ok {one.__name__}")
        except Exception:  # pylint: disable=broad-exception-caught
            failed += 1
            lines = traceback.format_exc().strip().splitlines()
            print(f"not ok {one.__name__}: " + " | ".join(line.strip() for line in lines[-8:]))
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
