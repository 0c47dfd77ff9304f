"""The layout that copies the new image over the old one: no way back, and what keeps a lower version out."""

from __future__ import annotations

import pytest

from simlib.device import PowerCut
from simlib.device.bootloader import Swap, boot
from simlib.device.bootloader.swap import trailer_of
from simlib.device.tears import TEARS
from simlib.device.trailer import Magic
from simlib.device.updater import confirm_update
from simlib.errors import InputError, Reason
from tests.device_boot.rigs import Rig, put, runs


def small(**facts: object) -> Rig:
    return Rig.of("overwrite-only", sectors=16, sector=512, **facts)


@pytest.mark.parametrize("confirms", [False, True])
@pytest.mark.parametrize("encrypted", [False, True])
def test_the_new_image_stays_whether_it_confirms_itself_or_not(confirms: bool, encrypted: bool) -> None:
    rig = small(encrypted=encrypted)
    old, new = rig.image("1.1.0", 3_000), rig.image("1.2.0", 2_000)
    device = rig.device(old)
    rig.take(device, new)
    booted = boot(device)
    assert (runs(booted, rig, new), booted.trial, booted.swap) == (True, False, Swap.COPIED)
    if confirms:
        confirm_update(device)
    again = boot(device)
    assert (runs(again, rig, new), again.swap) == (True, Swap.NONE)
    assert device.area("primary").read(0, len(new)) == rig.clear(new)


def test_after_the_copy_neither_request_nor_header_is_left() -> None:
    rig = small()
    device = rig.device(rig.image("1.1.0", 3_000))
    rig.take(device, rig.image("1.2.0", 3_000))
    boot(device)
    secondary = device.area("secondary")
    assert secondary.is_erased(0, 512)
    assert trailer_of(device, "secondary").magic() is Magic.UNSET
    ops = device.flash.ops
    boot(device)
    assert device.flash.ops == ops


@pytest.mark.parametrize("tear", TEARS)
def test_a_copy_that_was_cut_short_is_done_again_until_it_is_whole(tear: str) -> None:
    """Meanwhile only the secondary holds a whole image; the request stands until all is copied."""
    rig = small()
    new = rig.image("1.2.0", 3_000)
    device = rig.device(rig.image("1.1.0", 3_500))
    rig.take(device, new)
    state, before = device.snapshot(), device.flash.ops
    boot(device)
    ops = device.flash.ops - before
    for cut in range(1, ops + 1):
        device.restore(state)
        for nth in (cut, max(1, ops - cut)):  # and a second one while it is done again
            device.flash.arm_cut(nth, tear, seed=nth)
            try:
                boot(device)
            except PowerCut:
                device.flash.power_on()
        device.flash.power_on()
        assert runs(boot(device), rig, new)


@pytest.mark.parametrize("prevents", [False, True])
def test_downgrade_prevention_refuses_a_lower_version(prevents: bool) -> None:
    rig = small(downgrade_prevention=prevents)
    old, lower = rig.image("1.5.0", 3_000), rig.image("1.4.9", 3_000)
    device = rig.device(old)
    put(device, lower)
    booted = boot(device)
    assert runs(booted, rig, old if prevents else lower)
    assert booted.reason is (Reason.VERSION_LOW if prevents else Reason.NONE)
    if prevents:
        secondary = device.area("secondary")
        assert secondary.is_erased(0, secondary.size)
        assert runs(boot(device), rig, old)


@pytest.mark.parametrize("version", ["1.5.0", "1.5.1", "2.0.0"])
def test_downgrade_prevention_accepts_an_equal_or_higher_version(version: str) -> None:
    rig = small(downgrade_prevention=True)
    new = rig.image(version, 2_900)
    device = rig.device(rig.image("1.5.0", 3_000))
    assert rig.take(device, new) is Reason.NONE
    assert runs(boot(device), rig, new)


def test_downgrade_prevention_does_not_stop_a_copy_that_was_cut_short() -> None:
    """The header copied first is the new one's: the version there is its own."""
    rig = small(downgrade_prevention=True)
    new = rig.image("1.6.0", 3_000)
    device = rig.device(rig.image("1.5.0", 3_000))
    rig.take(device, new)
    for cut in range(1, 9):
        device.flash.arm_cut(cut, "garbage", seed=cut)
        with pytest.raises(PowerCut):
            boot(device)
        device.flash.power_on()
    assert runs(boot(device), rig, new)


@pytest.mark.parametrize("layout", ["swap-move", "swap-scratch", "swap-offset"])
def test_no_swap_knows_of_downgrade_prevention(layout: str) -> None:
    with pytest.raises(
        InputError, match=f"downgrade_prevention: found it on {layout}, expected overwrite-only"
    ):
        Rig.of(layout, sectors=24, sector=512, downgrade_prevention=True).device(
            small().image("1.5.0", 2_000)
        )
    rig = Rig.of(layout, sectors=24, sector=512)
    lower = rig.image("1.4.0", 2_000)
    device = rig.device(rig.image("1.5.0", 2_000))
    assert rig.take(device, lower) is Reason.NONE
    assert runs(boot(device), rig, lower)
