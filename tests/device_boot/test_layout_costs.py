"""What an update costs on a layout is what other code counts of the same update."""

from __future__ import annotations

import pytest

from simlib.device.config import DeviceConfig
from simlib.device.layout_costs import LayoutCost, layout_cost, layout_costs
from simlib.device.layouts import get, max_image_bytes, names
from simlib.device.powercut import SweepOptions, sweep
from simlib.errors import Refused

IMAGE = 9 << 10


@pytest.fixture(scope="module")
def costs() -> dict[str, LayoutCost]:
    return {name: layout_cost(SweepOptions(name, IMAGE)) for name in names()}


@pytest.mark.parametrize("name", names())
def test_operations_and_erases_are_those_that_a_sweep_cuts(name, costs):
    result = sweep(SweepOptions(name, IMAGE, tear="none"))
    update = [each for each in result.operations if each.phase != "revert"]
    assert costs[name].ops == len(update)
    assert costs[name].erases == sum(each.kind == "erase" for each in update)
    assert costs[name].bytes_written == sum(each.size_bytes for each in update if each.kind == "write")
    wear = [sum(each) for each in zip(*(w for p, w in result.wear.items() if p != "revert"), strict=True)]
    assert costs[name].most_erases == max(wear)
    assert costs[name].revert_ops == (result.ops_of()["revert"] if get(name).has_trial else None)
    assert (costs[name].revert_time_ms is None) is not get(name).has_trial


@pytest.mark.parametrize("name", names())
def test_the_largest_image_is_that_of_the_slot_asked_for(name):
    config = DeviceConfig(name, 256 << 10, 0)
    cost = layout_cost(SweepOptions(name, IMAGE), slot_bytes=256 << 10)
    assert cost.largest_image_bytes == max_image_bytes(config)


def test_an_image_that_runs_from_ram_takes_ram_for_all_of_it(costs):
    others = {cost.ram_bytes for name, cost in costs.items() if name != "ram-load"}
    assert len(others) == 1 and costs["ram-load"].ram_bytes - others.pop() > IMAGE


def test_time_and_energy_are_at_least_those_of_the_flash_operations(costs):
    for cost in costs.values():
        words = cost.bytes_written // 4
        assert cost.time_ms > (cost.erases * 85_000 + words * 41) / 1000
        assert cost.energy_uj > (cost.erases * 1020_000 + words * 492) / 1000


def test_a_patch_made_in_place_needs_no_second_slot():
    patch, full = (
        layout_cost(SweepOptions("in-place-journal", 32 << 10, payload=payload))
        for payload in ("delta", "full")
    )
    two_slots = layout_cost(SweepOptions("swap-offset", 32 << 10))
    assert patch.flash_bytes < two_slots.flash_bytes < full.flash_bytes
    assert patch.ram_bytes > 1 << 20 > full.ram_bytes  # three bzip2 streams


def test_rows_come_in_the_order_of_the_updates():
    rows = layout_costs(SweepOptions(name, IMAGE) for name in ("swap-move", "single-slot"))
    assert [row["layout"] for row in rows] == ["swap-move", "single-slot"]
    assert rows[0]["erases"] > rows[1]["erases"] > 0


def test_a_codec_that_streams_saves_the_download_partition_and_its_writes():
    stored, streamed = (
        layout_cost(
            SweepOptions(
                "swap-move",
                IMAGE,
                payload="delta",
                codec="detools-heatshrink",
                download_size_bytes=download,
            )
        )
        for download in (None, 0)
    )
    assert (stored.codec, stored.ram_bytes) == (streamed.codec, streamed.ram_bytes)
    sector = SweepOptions().sector_size_bytes
    assert stored.flash_bytes - streamed.flash_bytes == sector * (stored.erases - streamed.erases) > 0
    assert stored.bytes_written > streamed.bytes_written
    assert stored.time_ms > streamed.time_ms


def test_what_the_device_does_not_take_has_no_cost():
    with pytest.raises(Refused, match="storage-short"):
        layout_cost(SweepOptions("swap-move", IMAGE, payload="delta", download_size_bytes=0))
    with pytest.raises(Refused, match="no-artefact"):
        layout_cost(SweepOptions("in-place-journal", IMAGE, payload="compressed"))
