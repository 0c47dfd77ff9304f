"""What `process` starts: a program that answers tasks on standard input until it is closed."""

from __future__ import annotations

import os
import pickle
import sys
from contextlib import suppress

from simlib.device.powercut.process import Task
from simlib.device.powercut.stand import Stand
from simlib.errors import SimlibError


def main() -> None:
    """Take the options, then tasks, and answer each with what came of it."""
    # What a library may print is not to stand among the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # Whoever asked meets a refusal as well, and tells it.
    with suppress(EOFError, BrokenPipeError, SimlibError):
        stand = Stand(pickle.load(sys.stdin.buffer))
        while True:
            task: Task = pickle.load(sys.stdin.buffer)
            pickle.dump(task(stand), answers)
            answers.flush()


if __name__ == "__main__":
    main()
