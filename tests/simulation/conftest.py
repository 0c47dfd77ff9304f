"""One small run of the smoke preset, shared by the tests that look at it."""

import pytest

from simlib.results import Run
from simlib.scenario import Scenario
from simlib.study import run


@pytest.fixture(scope="session")
def smoke() -> Scenario:
    return Scenario.load("smoke").with_({"devices": 700})


@pytest.fixture(scope="session")
def smoke_run(smoke) -> Run:
    return run(smoke)
