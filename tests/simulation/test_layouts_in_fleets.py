"""Every boot layout in a fleet: the same on every clock, under power cuts and when it is rolled back."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from simlib.device import layouts
from simlib.results import Run
from simlib.scenario import Scenario
from simlib.scenario.schema import LAYOUTS
from simlib.scenario.toml_text import write_toml
from simlib.study import run

COHORT = {
    "name": "all",
    "slot_size": "96 KiB",
    "download_size": "96 KiB",
    "rates": ["50 kB/s"],
    "wake_period": "1 h",
    "battery": ["0.5", "1"],
}


def scenario(layout: str, **changes: Any) -> Scenario:
    """A hundred devices of this layout, with a release in the clear."""
    document = {
        "schema": 1,
        "name": "layouts",
        "devices": 100,
        "horizon": "5 d",
        "release": {"size": "64 KiB", "steps": ["minor"], "encrypted": False},
        "links": [{"name": "backend"}],
        "cohorts": [COHORT | {"layout": layout}],
        "rollout": {"groups": [{"share": "rest"}]},
    }
    if layout == "ram-load":
        document["release"] |= {"load_address": 0x2000_0000}
    return Scenario.from_toml(write_toml(document)).with_(changes)


def outcomes(found: Run) -> dict[str, int]:
    return {name: n for name, n in Counter(found.devices["outcome"]).items() if n}


def test_a_scenario_knows_every_layout_there_is() -> None:
    assert set(LAYOUTS) == set(layouts.names())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_gives_the_same_table_on_every_clock_and_bricks_only_in_place(layout: str) -> None:
    chosen = scenario(layout, **{"faults.power_cut": 0.5, "faults.tear": "garbage"})
    runs = {engine: run(chosen, engine=engine) for engine in ("simpy", "compiled", "fused")}
    assert len({found.digest for found in runs.values()}) == 1
    ended = outcomes(runs["fused"])
    assert ("bricked" in ended) is layouts.get(layout).in_place
    assert ended["updated"] > 50


HALTED = {"faults.defect": 0.3, "recovery.on_halt": "rollback", "recovery.delay": "1 h"}


@pytest.mark.parametrize(
    ("layout", "counters", "resign", "reason"),
    [
        ("swap-move", "keep", False, None),
        ("swap-move", "raise", False, "security-counter-low"),
        ("swap-move", "raise", True, None),
        ("overwrite-only", "keep", False, None),
        ("overwrite-only", "raise", False, "security-counter-low"),
        ("direct-xip", "keep", False, "version-low"),
        ("in-place-journal", "raise", False, "security-counter-low"),
    ],
)
def test_what_keeps_an_attacker_from_rolling_back_keeps_the_operator_too(
    layout: str, counters: str, resign: bool, reason: str | None
) -> None:
    """After a halt the old release is offered again. Devices that have confirmed the new one take it only if
    their security counter lets them, and where the highest version runs, not at all."""
    changes = HALTED | {"release.security_counters": counters, "recovery.resign": resign}
    found = run(scenario(layout, **changes))
    assert found.summary["halted"]
    ended = found.devices
    if reason is None:
        assert (ended["outcome"] == "rolled_back").sum() > 10
    else:
        assert not (ended["outcome"] == "rolled_back").any()
        assert (ended["reason"] == reason).sum() > 10
