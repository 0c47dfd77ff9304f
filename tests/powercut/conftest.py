"""Small sweeps, and the same cuts replayed the plain way."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest

from simlib.device.powercut import Fate, PowercutResult, SweepOptions, sweep
from simlib.device.powercut.replay import replay

Fates = dict[tuple[int, str], tuple[Fate, ...]]


def small_options(**changes: Any) -> SweepOptions:
    """Images of three or four sectors, so that a swap has some steps of each kind."""
    return SweepOptions(**{"image_size_bytes": 700, "sector_size_bytes": 512, **changes})


def fates_of(result: PowercutResult, numbers: Collection[int] | None = None) -> Fates:
    """Every fate that a sweep found, as `replay` names them."""
    return {
        (operation.number, torn.tear): torn.fates
        for operation in result.operations
        for torn in operation.torn
        if numbers is None or operation.number in numbers
    }


def compare(options: SweepOptions, step: int = 1) -> tuple[PowercutResult, Fates]:
    """Sweep, replay every `step`-th operation, and expect the same of both; returns what was found."""
    result = sweep(options)
    numbers = range(1, result.ops + 1, step)
    plainly = replay(options, numbers)
    assert fates_of(result, numbers) == plainly
    return result, plainly


@pytest.fixture
def options() -> Callable[..., SweepOptions]:
    return small_options


@pytest.fixture
def all_fates() -> Callable[..., Fates]:
    return fates_of


@pytest.fixture
def same_as_replayed() -> Callable[..., tuple[PowercutResult, Fates]]:
    return compare
