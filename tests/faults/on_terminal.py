"""Runs a program on a terminal of its own, so many columns wide, types a line of stdin at each prompt
"> ", and prints what the terminal then shows.

    on_terminal.py COLUMNS PROGRAM [ARGUMENT ...] <lines
"""

import fcntl
import os
import pty
import struct
import sys
import termios


def run(columns, command, lines):
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        os.environ["TERM"] = "dumb"  # nothing but text
        os.execv(command[0], command)
    screen = b""
    while True:
        try:
            piece = os.read(fd, 4096)
        except OSError:  # the program has gone
            break
        screen += piece
        if screen.endswith(b"> ") and lines:
            os.write(fd, lines.pop(0))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return screen.decode().replace("\r\n", "\n"), status


def main():
    columns, command = int(sys.argv[1]), sys.argv[2:]
    screen, status = run(columns, command, sys.stdin.buffer.readlines())
    wide = [line for line in screen.split("\n") if len(line) > columns]
    print(f"{screen}status {status}, {len(wide)} lines are wider than {columns} columns")


if __name__ == "__main__":
    main()
