"""Running scenarios: one at a time, or many times over a grid as a study."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from simlib.study.single import run

if TYPE_CHECKING:
    from simlib.study.comparison import PairedComparison
    from simlib.study.confidence import Comparison, compare, intervals
    from simlib.study.optimisation.front import Front
    from simlib.study.optimisation.search import optimise
    from simlib.study.stopping import Stopped
    from simlib.study.study import Study

__all__ = [
    "Comparison",
    "Front",
    "PairedComparison",
    "Stopped",
    "Study",
    "compare",
    "intervals",
    "optimise",
    "run",
]

_HOME: Final = {
    "Comparison": "confidence",
    "Front": "optimisation.front",
    "PairedComparison": "comparison",
    "Stopped": "stopping",
    "Study": "study",
    "compare": "confidence",
    "intervals": "confidence",
    "optimise": "optimisation.search",
}


def __getattr__(name: str) -> object:
    # A single run needs none of it.
    if name in _HOME:
        return getattr(import_module(f"simlib.study.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
