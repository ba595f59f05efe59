"""Ends a chat in every way there is, on a terminal of its own, and looks at what the terminal is left
like. Prints one line for each way.

    terminal.py MINKE MODEL.gguf
"""

import os
import pty
import select
import signal
import sys
import termios
import time

SECONDS_MAX = 60


class Chat:
    """A chat on a new terminal, once it has asked for the first message."""

    def __init__(self, minke, model):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # Before minke starts, the parent looks at the terminal.
            os.read(0, 1)
            os.environ["TERM"] = "xterm"
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would stay ignored
            os.execv(minke, [minke, "chat", model, "--no-history"])
        self.screen = b""
        self.found = self.settings()
        os.write(self.fd, b"\n")
        self.wait(lambda: b"Ctrl-D to leave" in self.screen and not self.is_on(termios.ICANON))

    def settings(self):
        return termios.tcgetattr(self.fd)[:4]

    def is_on(self, flag):
        return self.settings()[3] & flag != 0

    def wait(self, condition):
        end = time.monotonic() + SECONDS_MAX
        while not condition():
            if time.monotonic() > end:
                sys.exit(f"waited in vain; the screen: {self.screen!r}")
            self.read(0.001)

    def read(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                self.screen += os.read(self.fd, 4096)
            except OSError:  # minke has gone
                time.sleep(seconds)

    def type(self, text):
        os.write(self.fd, text.encode())

    def start_answer(self):
        """Returns while an answer is written: the echo is off and lines are whole."""
        while True:
            self.type("the thing\r")
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                if self.is_on(termios.ICANON) and not self.is_on(termios.ECHO):
                    return
                self.read(0)

    def end(self):
        """How minke ended, and whether the terminal is as it was found."""
        end = time.monotonic() + SECONDS_MAX
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                return "does not end"
            self.read(0.01)
        how = (f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status)
               else f"status {os.WEXITSTATUS(status)}")
        same = self.settings() == self.found
        os.close(self.fd)
        return how + (", the terminal is sane" if same else ", the terminal is SPOILT")


def main():
    minke, model = sys.argv[1:]
    for typed in ("\x04", "/bye\r", "half a line\x03\x04"):
        chat = Chat(minke, model)
        for key in typed:
            chat.type(key)
            time.sleep(0.05)
        print(f"{typed!r}: {chat.end()}")
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGABRT, signal.SIGSEGV):
        chat = Chat(minke, model)
        os.kill(chat.pid, number)
        print(f"{number.name} at the prompt: {chat.end()}")
        chat = Chat(minke, model)
        chat.start_answer()
        os.kill(chat.pid, number)
        print(f"{number.name} in an answer: {chat.end()}")


if __name__ == "__main__":
    main()
