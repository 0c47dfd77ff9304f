"""Settings that every test shares."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from tests.amounts import examples

# A machine under load is no property of the code, so no deadline; on CI the examples are the same each time.
settings.register_profile("here", deadline=None, max_examples=examples(100))
settings.register_profile("ci", deadline=None, derandomize=True, max_examples=examples(100))
settings.load_profile("ci" if os.environ.get("CI") else "here")

ASKED_FOR = {
    "network": ("SIMLIB_TEST_NETWORK", "talks to the package registry"),
    "full": ("SIMLIB_TEST_FULL", "long, and a small version of it runs always"),
}
"""Marks of tests that run only where somebody asks for them: by which variable, and why not always."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for mark, (variable, why) in ASKED_FOR.items():
        if os.environ.get(variable) == "1":
            continue
        skipped = pytest.mark.skip(reason=f"{why}; {variable}=1 runs it")
        for item in items:
            if item.get_closest_marker(mark):
                item.add_marker(skipped)
