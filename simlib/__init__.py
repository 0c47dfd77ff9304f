"""simlib: a workbench that simulates secure firmware updates for fleets of connected devices.

import simlib
run = simlib.run("escooter-120k")
run.summary, run.devices, run.plot.progress()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simlib.results import Run
    from simlib.scenario import Scenario
    from simlib.study import Study, run

__version__ = "0.1.0"
__all__ = ["Run", "Scenario", "Study", "run"]


def __getattr__(name: str) -> object:
    # Data frames, plots and the schema load only when they are used: the command line starts fast.
    if name == "run":
        from simlib.study import run

        return run
    if name == "Scenario":
        return import_module("simlib.scenario").Scenario
    if name == "Study":
        return import_module("simlib.study").Study
    if name == "Run":
        return import_module("simlib.results").Run
    raise AttributeError(f"module 'simlib' has no attribute {name!r}")


def _warm_up() -> None:
    """In a notebook, have compiled code ready (made or loaded) by the time the first cell asks for a run."""
    import os
    import sys

    if "ipykernel" in sys.modules and os.environ.get("SIMLIB_WARM", "1") != "0":
        import threading

        threading.Thread(target=_warm, name="simlib-warm", daemon=True).start()


def _warm() -> None:
    from contextlib import suppress

    from simlib.study.warm import warm

    with suppress(Exception):  # the run that needs it will say what is wrong
        warm()


_warm_up()
