"""For scripts here that interrupt a program."""

import signal


def heed_interrupts():
    """Whoever starts a script in the background has it ignore them, and so would the program."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
