"""What counts as bricked and as stuck, on layouts and on boot loaders with a fault in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from simlib.device import layouts
from simlib.device.powercut import First, Harm, sweep
from simlib.device.trailer import Trailer
from simlib.errors import Refused

Options = Callable[..., Any]


def test_an_update_over_the_running_image_bricks_at_most_cuts(options: Options) -> None:
    found = sweep(options(layout="single-slot", image_size_bytes=20 << 10)).summary()
    assert found["bricked"] > 0.9 * found["cuts"]
    assert found["harms"] == {"no-valid-image": found["bricked"]}
    assert found["booted_old"]  # before the first erase


def test_swap_move_of_48_kib_survives_every_cut(options: Options) -> None:
    found = sweep(options(image_size_bytes=48 << 10, sector_size_bytes=4096)).summary()
    assert (found["bricked"], found["stuck"]) == (0, 0)
    assert found["booted_new"] > 400
    assert found["booted_old"] > 400


@pytest.mark.parametrize("layout", [each for each in layouts.names() if not layouts.get(each).in_place])
def test_a_security_counter_in_the_flash_is_raised_without_harm_wherever_power_fails(
    options: Options, layout: str
) -> None:
    found = sweep(options(layout=layout, counter_store="flash"))
    assert any(row.partition == "counter" for row in found.operations)
    assert not any(fate.bricked or fate.stuck for fate in found.worst)


def test_an_exception_in_a_boot_bricks_and_is_told(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Trailer.status_units

    def assert_nothing_interrupted(self: Trailer) -> int:
        units = sound(self)
        if units > 2:
            raise AssertionError("a swap that was cut short")
        return units

    monkeypatch.setattr(Trailer, "status_units", assert_nothing_interrupted)
    bricked = [fate for fate in sweep(options()).worst if fate.bricked]
    assert bricked
    assert {fate.harm for fate in bricked} == {Harm.BOOT_FAILED}
    assert "AssertionError: a swap that was cut short" in bricked[0].detail


@pytest.mark.parametrize("writes", [True, False], ids=["erasing", "reading"])
def test_a_boot_without_end_bricks_and_is_told(
    options: Options, monkeypatch: pytest.MonkeyPatch, writes: bool
) -> None:
    sound = Trailer.status_units

    def never_ending(self: Trailer) -> int:
        units = sound(self)
        while units > 2:
            if writes:
                self.erase()
            self.magic()
        return units

    monkeypatch.setattr(Trailer, "status_units", never_ending)
    bricked = [fate for fate in sweep(options(tear="none")).worst if fate.bricked]
    assert bricked
    assert {fate.harm for fate in bricked} == {Harm.BOOT_FAILED}
    assert "no end" in bricked[0].detail


def test_a_device_says_what_it_ran_first(options: Options) -> None:
    """Each operation of the install leaves the old image; from the first move on it is the new one."""
    result = sweep(options(tear="none"))
    by_phase = {
        phase: [row.torn[0].worst.first for row in result.operations if row.phase == phase]
        for phase in ("install", "boot", "revert")
    }
    assert set(by_phase["install"]) == {First.OLD}
    assert set(by_phase["boot"]) == {First.NEW}
    assert set(by_phase["revert"]) == {First.OLD}


def test_an_update_that_fails_without_a_cut_is_refused(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trailer, "write_magic", lambda self: None)  # no request is ever seen
    with pytest.raises(Refused, match="without a power cut, boot of the new image: found old"):
        sweep(options())
