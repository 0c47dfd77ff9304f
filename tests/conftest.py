"""Settings that every test shares."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# A machine under load is no property of the code, so no deadline; on CI the examples are the same each time.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that talk to the package registry run only where somebody asked for them."""
    if os.environ.get("SIMLIB_TEST_NETWORK") == "1":
        return
    for item in items:
        if item.get_closest_marker("network"):
            item.add_marker(
                pytest.mark.skip(reason="talks to the package registry; SIMLIB_TEST_NETWORK=1 runs it")
            )
