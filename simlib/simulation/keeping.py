"""Cases kept from one run to the next of a process, so that replications do not ask the bench twice.

A case does not depend on the seed or on who is in which group; what it does depend on is the key. Each thread
keeps its own, since cases grow while a run uses them, and a run has those it uses to itself.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

from simlib.device import DeviceConfig
from simlib.device.bench import Bench
from simlib.device.memo import Memo
from simlib.release import Release
from simlib.scenario.model import ScenarioSpec
from simlib.simulation.cases import Cases

KEPT: Final = 4
"""Releases, and sets of cases, that a thread keeps."""


class _Kept(threading.local):
    def __init__(self) -> None:
        self.benches: OrderedDict[Any, Bench] = OrderedDict()
        self.cases: OrderedDict[Any, Cases] = OrderedDict()


_kept = _Kept()


def take(
    spec: ScenarioSpec,
    release: Release,
    memo: Memo | None,
    kinds: Sequence[tuple[int, DeviceConfig]],
    progress: Callable[[int], None] | None,
) -> Cases:
    """The cases for a run, taken from what is kept, or new; without a memo always new."""
    if memo is None:
        return Cases(spec, release, Bench(release, None), kinds, progress)
    found = _kept.cases.pop(_key(spec, release, memo, kinds), None)
    if found is None:
        found = Cases(spec, release, _bench(release, memo), kinds, progress)
    found.progress = progress
    return found


def give_back(cases: Cases, spec: ScenarioSpec, release: Release, memo: Memo | None) -> None:
    """The run is over; the next one may have its cases."""
    if memo is None:
        return
    cases.progress = None
    _kept.cases[_key(spec, release, memo, cases.kinds)] = cases
    while len(_kept.cases) > KEPT:
        _kept.cases.popitem(last=False)


def _bench(release: Release, memo: Memo) -> Bench:
    key = (id(release), memo.path)
    bench = _kept.benches.pop(key, None)
    if bench is None or bench.release is not release:
        bench = Bench(release, memo)
    _kept.benches[key] = bench
    while len(_kept.benches) > KEPT:
        _kept.benches.popitem(last=False)
    return bench


def _key(spec: ScenarioSpec, release: Release, memo: Memo, kinds: Sequence[tuple[int, DeviceConfig]]) -> Any:
    return (
        id(release),
        memo.path,
        spec.name,
        spec.cohorts,
        spec.release,
        spec.faults,
        spec.transfer.attempts,
        bool(spec.defects),
        tuple(kinds),
    )
