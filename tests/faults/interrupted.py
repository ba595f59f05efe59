"""Ends verbs by Ctrl-C (SIGINT) while they wait for their text or for a server, and prints the status
of each as a shell shows it.

    interrupted.py MINKE MODEL.gguf
"""

import signal
import socket
import subprocess
import sys

from interrupts import heed_interrupts


def status_of(command, when=None):
    """`when` is called once the program runs, and returns when it is to be interrupted."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, preexec_fn=heed_interrupts) as program:
        if when is not None:
            when()
        program.send_signal(signal.SIGINT)
        try:
            program.wait(60)
        except subprocess.TimeoutExpired:
            program.kill()
            return "none: it does not end", ""
        words = program.stderr.read().decode().strip().splitlines()
    status = program.returncode
    return (128 - status if status < 0 else status), words[0] if words else ""


def main():
    minke, model = sys.argv[1:]
    for verb in ("run", "chat", "tokenize", "logprobs", "perplexity"):
        print(f"{verb}: {status_of([minke, verb, model])[0]}")
    with socket.create_server(("127.0.0.1", 0)) as server:
        connections = []  # kept open: the server says nothing
        hub = f"http://127.0.0.1:{server.getsockname()[1]}"
        status, words = status_of([minke, "pull", "owner/repo:x.gguf", "--hub", hub],
                                  when=lambda: connections.append(server.accept()))
    print(f"pull: {status}, {words}")


if __name__ == "__main__":
    main()
