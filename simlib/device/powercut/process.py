"""Another process that sweeps: it is given tasks and answers them, in pickles over its input and output.

A process of its own and not one of `multiprocessing`'s, so that a script that sweeps is not run again.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from simlib.device.powercut.case import SweepOptions
from simlib.device.powercut.stand import Stand

Task = Callable[[Stand], Any]
"""What is to be done; a function of a module, or a partial of one."""


class ProcessEndedError(Exception):
    """The process is gone, with its task."""


class Process:
    """The process, seen from outside."""

    def __init__(self, options: SweepOptions) -> None:
        source = str(Path(__file__).parents[3])
        given = os.environ.get("PYTHONPATH")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"{__package__}.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": f"{source}{os.pathsep}{given}" if given else source},
            start_new_session=True,  # Ctrl-C is the parent's; it ends the process
        )
        with suppress(OSError):  # that it has ended is seen when it does not answer
            self._tell(options)

    def end(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(OSError):
                stream.close()

    def do(self, task: Task) -> Any:
        """What comes of `task` there. Raises `ProcessEndedError`."""
        try:
            self._tell(task)
            assert self._process.stdout is not None
            return pickle.load(self._process.stdout)
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
            raise ProcessEndedError from None

    def _tell(self, what: object) -> None:
        assert self._process.stdin is not None
        pickle.dump(what, self._process.stdin)
        self._process.stdin.flush()
