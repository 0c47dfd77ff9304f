"""Tables from sweeps: their figures are those of the sweep's rows, counted another way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simlib.device.powercut import Fate, First, Harm, PowercutResult, SweepOptions, sweep
from simlib.results.powercut_tables import (
    FATES,
    cut_shares,
    fates,
    flash_life,
    magic_cuts,
    rule_erases,
    wear,
    wear_by_partition,
)

LAYOUTS = ("swap-move", "swap-scratch", "swap-offset", "overwrite-only", "single-slot")


@pytest.fixture(scope="module")
def swept() -> dict[str, PowercutResult]:
    return {name: sweep(SweepOptions(name, 9 << 10)) for name in LAYOUTS}


def harmed(result: PowercutResult, number: int, fate: Fate) -> PowercutResult:
    """The same sweep, but for one operation, whose cuts all end so."""
    operations = [
        replace(each, torn=tuple(replace(torn, fates=(fate,) * len(torn.fates)) for torn in each.torn))
        if each.number == number
        else each
        for each in result.operations
    ]
    return replace(result, operations=tuple(operations))


STUCK = Fate(First.OLD, Harm.UPDATE_REFUSED, "as a test has it")
BRICKED = Fate(First.BRICKED, Harm.NO_VALID_IMAGE, "as a test has it")


def test_the_shares_are_the_summary_s_counts(swept):
    table = cut_shares(swept)
    for name, result in swept.items():
        summary = result.summary()
        assert table.loc[name, "cuts"] == summary["cuts"] == table.loc[name, list(FATES)].sum()
        assert table.loc[name, "bricked"] == summary["bricked"]
        assert table.loc[name, "new"] == summary["booted_new"]
    assert table.loc["single-slot", "bricked"] == table.loc["single-slot", "cuts"] - 1


def test_a_stuck_device_counts_as_stuck_and_not_as_what_it_booted(swept):
    table = cut_shares({"swap": harmed(swept["swap-move"], 5, STUCK)})
    assert table.loc["swap", "stuck"] == 3
    assert table.loc["swap", "old"] == cut_shares(swept).loc["swap-move", "old"] - 3
    assert (fates(harmed(swept["swap-move"], 5, BRICKED))["fate"] == "bricked").sum() == 3


def test_every_way_to_tear_a_magic_is_counted(swept):
    table = magic_cuts(swept["swap-move"])
    assert list(zip(table["phase"], table["partition"], strict=True))[::3] == [
        ("install", "secondary"),
        ("boot", "primary"),
        ("revert", "secondary"),
        ("revert", "primary"),
    ]
    assert (table[list(FATES)].sum(axis=1) == table["ways"]).all()
    # 16 bytes, each proper part of them.
    assert set(table.query("tear == 'partial'")["ways"]) == {15}
    assert not table[["stuck", "bricked"]].any(axis=None)


def test_the_end_of_an_image_is_no_magic_though_it_is_as_short(swept):
    result = sweep(SweepOptions("swap-move", (9 << 10) + 373, tear="none"))
    short = [each for each in result.operations if each.kind == "write" and 16 <= each.size_bytes <= 32]
    assert len(magic_cuts(result)) == len(magic_cuts(swept["swap-move"])) / 3 < len(short)


def test_harm_in_a_magic_is_told_by_the_way(swept):
    number = int(magic_cuts(swept["swap-move"])["number"].iloc[-1])
    table = magic_cuts(harmed(swept["swap-move"], number, BRICKED)).query("number == @number")
    assert (table["bricked"] == table["ways"]).all() and len(table) == 3


def test_a_layout_without_a_trailer_has_no_magic(swept):
    assert magic_cuts(swept["single-slot"]).empty
    assert list(magic_cuts(swept["single-slot"])["ways"]) == []


def test_wear_is_that_of_the_sweep_itself(swept):
    """Counted here from the operations, there from the contents that the course went through."""
    for result in swept.values():
        table, sector = wear(result), result.options.sector_size_bytes
        size = len(next(iter(result.wear.values())))
        update, revert = np.zeros(size, int), np.zeros(size, int)
        at = table["offset_bytes"] // sector
        update[at], revert[at] = table["update"], table["revert"]
        none = (0,) * size
        others = [counts for phase, counts in result.wear.items() if phase != "revert"]
        assert update.tolist() == [sum(each) for each in zip(*others, strict=True)]
        assert revert.tolist() == list(result.wear.get("revert", none))


def test_the_most_erased_sector_of_a_scratch_area_is_its_only_one(swept):
    table = wear_by_partition(swept)
    scratch = table.loc[("swap-scratch", "scratch")]
    assert scratch["erases"] == scratch["update"] + scratch["revert"]
    assert table.loc[("single-slot", "primary"), "revert"] == 0
    assert table.loc[("swap-move", "primary"), ["update", "revert"]].tolist() == [2, 2]


def test_a_flash_lasts_until_its_most_erased_sector_is_used_up(swept):
    table = flash_life(swept, cycles=1000)
    assert table.loc["swap-move"].tolist() == [500, 250, 500]
    assert table.loc["swap-offset", ["updates", "by_rule"]].tolist() == [500, 1000]
    assert table.loc["single-slot", "updates"] == 1000
    assert table.loc["single-slot", ["failed", "by_rule"]].isna().all()
    wear_a_swap = max(sum(each) for each in zip(*list(swept["swap-scratch"].wear.values())[:3], strict=True))
    assert table.loc["swap-scratch", "updates"] == 1000 // wear_a_swap


def test_the_rule_for_a_scratch_area_is_that_of_mcuboot_s_documentation(swept):
    """Its example: 10,000 cycles, an image of 150 KiB and a scratch area of 4 KiB give about 267 updates.

    Ours is as much less as the image is larger than its payload, and the count as much as a sector is whole.
    """
    result = sweep(SweepOptions("swap-scratch", 150 << 10, tear="none"))
    table = flash_life({"it": result}).loc["it"]
    assert 0.98 * 267 < table["by_rule"] < 267
    assert 0.95 * 267 < table["updates"] < table["by_rule"]
    assert rule_erases(swept["overwrite-only"]) is None
