"""A fleet small enough to be simulated many times, and figures made up where no fleet is needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simlib.scenario import Scenario
from simlib.study.jobs import Measure


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the tests' own, which processes started by them share."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMLIB_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def small() -> Scenario:
    """The preset in which everything happens, with few devices."""
    return Scenario.load("smoke").with_({"devices": 80})


def _noisy(scenario: Scenario, _engine: str) -> dict[str, Any]:
    drop = float(scenario.spec.faults.drop)
    noise = np.random.default_rng(scenario.spec.seed).normal()
    own = np.random.default_rng([scenario.spec.seed, round(drop * 1000)]).normal()
    late = int(1000 * (2 + noise)) if noise > 0 else None
    return {"cost": 10 + 5 * drop + noise + own / 10, "late_ms": late, "rare": bool(noise > 1)}


@pytest.fixture(scope="session")
def noisy() -> Measure:
    """In place of a simulation: a cost that rises by 5 with faults.drop, plus noise that is the seed's alone
    at all points, plus a tenth as much of each point's own; a time that may be missing; a truth.
    """
    return _noisy
