"""Whatever has happened to a device, it boots the image that its history asks for, and takes another update.

SIMLIB_HISTORIES sets how many histories of each layout are lived, 16 unless it is set. One that broke is
lived again by its seed: `Life(Random(seed), layout).live(EVENTS)`.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from tests.device_boot.histories import Broken, Life
from tests.device_boot.rigs import LAYOUTS

EVENTS = 12
HISTORIES = int(os.environ.get("SIMLIB_HISTORIES", "16"))


def lived(layout: str, histories: int) -> None:
    for seed in range(histories):
        try:
            Life(Random(seed), layout).live(EVENTS)
        except Broken as broken:
            raise Broken(f"{layout}, seed {seed}: {broken}") from None


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_device_with_any_history_runs_what_it_should_and_can_be_updated(layout: str) -> None:
    lived(layout, HISTORIES)
