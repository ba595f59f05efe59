"""Stops `minke quantize` by Ctrl-C and then by a kill in the middle, lets it go on each time, and compares
the file with one that was written at once.

    interrupted_quantize.py MINKE MODEL.gguf      (in an empty folder)
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

from interrupts import heed_interrupts


def stop(command, number, beyond):
    """Sends a signal once OUT.partial has more than so many bytes; returns status and stderr."""
    partial = pathlib.Path("out.gguf.partial")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          preexec_fn=heed_interrupts) as program:
        while program.poll() is None and not (partial.exists()
                                              and partial.stat().st_size > beyond):
            time.sleep(0.002)
        program.send_signal(number)
        _, errors = program.communicate(timeout=60)
    return program.returncode, errors.decode()


def main():
    minke, model = sys.argv[1:]
    whole = [minke, "quantize", model, "whole.gguf", "--type", "Q4_0"]
    subprocess.run(whole, check=True, stdout=subprocess.DEVNULL)
    size = os.path.getsize("whole.gguf")
    command = [minke, "quantize", model, "out.gguf", "--type", "Q4_0"]
    status, errors = stop(command, signal.SIGINT, size // 5)
    print("Ctrl-C:", status, "note" if "goes on from here" in errors else errors,
          sorted(path.name for path in pathlib.Path().glob("out.gguf*")))
    status, errors = stop(command, signal.SIGKILL, size // 2)
    print("kill:", status, "resumed" if "going on behind" in errors else errors,
          sorted(path.name for path in pathlib.Path().glob("out.gguf*")))
    last = subprocess.run(command, check=True, capture_output=True, text=True)
    print("end:", "resumed" if "going on behind" in last.stderr else last.stderr,
          sorted(path.name for path in pathlib.Path().glob("out.gguf*")))
    same = pathlib.Path("whole.gguf").read_bytes() == pathlib.Path("out.gguf").read_bytes()
    print("the same bytes" if same else "other bytes")


if __name__ == "__main__":
    main()
