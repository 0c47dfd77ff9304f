"""What every layout promises: trial, confirmation, revert, permanence, refusal, security counter, address."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from simlib.device import Device, layouts
from simlib.device.bootloader import Swap, boot, boot_loader
from simlib.device.bootloader.swap import trailer_of
from simlib.device.updater import confirm_update
from simlib.errors import Reason
from tests.device_boot.rigs import LAYOUTS, SELECTING, STRANGER, SWAPPING, TRYING, Rig, put, runs

KINDS = ("full", "delta")
TWO_SLOTS = tuple(layout for layout in LAYOUTS if layout not in ("in-place-journal", "single-slot"))
STORES = ("fuses", "flash", "tpm")


def small(layout: str, *, encrypted: bool = False, **facts: object) -> Rig:
    return Rig.of(layout, sectors=24, sector=512, encrypted=encrypted, **facts)


def updated(rig: Rig, new: bytes, old: bytes, kind: str = "full") -> Device:
    """A device that has taken `new` and not booted since."""
    device = rig.device(old)
    assert rig.take(device, new, kind) is Reason.NONE
    return device


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", TRYING)
def test_a_confirmed_trial_stays_and_an_unconfirmed_one_goes_back(
    layout: str, kind: str, encrypted: bool
) -> None:
    rig = small(layout, encrypted=encrypted and layout != "direct-xip-revert")
    old, new = rig.image("1.1.0", 3_000), rig.image("1.2.0", 3_900)
    device = updated(rig, new, old, kind)
    tried = boot(device)
    assert (runs(tried, rig, new), tried.trial, tried.reason) == (True, True, Reason.NONE)
    assert rig.take(device, rig.image("1.3.0", 900)) is Reason.TRIAL_PENDING
    back = boot(device)
    assert (runs(back, rig, old), back.trial, back.swap) == (True, False, Swap.REVERT)
    assert all(runs(boot(device), rig, old) for _ in range(3))
    assert rig.take(device, new, kind) is Reason.NONE
    assert boot(device).trial
    confirm_update(device)
    for _ in range(3):
        stays = boot(device)
        assert (runs(stays, rig, new), stays.trial, stays.swap) == (True, False, Swap.NONE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout not in TRYING])
def test_a_layout_without_trials_keeps_the_new_image_for_good(layout: str, kind: str) -> None:
    if layout == "single-slot":
        kind = "full"
    rig = small(layout)
    old, new = rig.image("1.1.0", 3_000), rig.image("1.2.0", 3_900)
    device = updated(rig, new, old, kind)
    booted = boot(device)
    assert (runs(booted, rig, new), booted.trial) == (True, False)
    ops = device.flash.ops
    confirm_update(device)
    assert all(runs(boot(device), rig, new) for _ in range(3))
    assert device.flash.ops == ops


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("layout", TRYING)
def test_a_candidate_whose_trailer_says_image_ok_is_permanent(layout: str, encrypted: bool) -> None:
    rig = small(layout, encrypted=encrypted and layout != "direct-xip-revert")
    old, new = rig.image("1.1.0", 3_000), rig.image("1.2.0", 3_900)
    device = updated(rig, new, old)
    trailer_of(device, "secondary").write_image_ok()
    booted = boot(device)
    wanted = Swap.PERMANENT if layout in SWAPPING else Swap.NONE
    assert (runs(booted, rig, new), booted.trial, booted.swap) == (True, False, wanted)
    assert all(runs(boot(device), rig, new) for _ in range(3))


@pytest.mark.parametrize("layout", TWO_SLOTS)
def test_each_update_can_be_followed_by_another(layout: str) -> None:
    rig = small(layout)
    images = [rig.image(f"1.{n}.0", 900 * n) for n in range(1, 7)]
    device = rig.device(images[0])
    boot(device)
    for before, after in pairwise(images):
        for kind in KINDS if layout in TRYING else ("delta",):
            assert rig.take(device, after, kind) is Reason.NONE
            assert runs(boot(device), rig, after)
            if layout in TRYING and kind == "full":
                assert runs(boot(device), rig, before)
        confirm_update(device)
        assert runs(boot(device), rig, after)


def spoilt(rig: Rig) -> dict[str, tuple[bytes, Reason]]:
    """Candidates that must not run, and why they are refused by a device whose security counter is 5."""
    good = rig.image("1.2.0", 3_000, counter=5)
    flipped, cut = bytearray(good), bytearray(good)
    flipped[1_500] ^= 0x10
    cut[2_000:] = b"\xff" * len(cut[2_000:])
    return {
        "a bit of the payload": (bytes(flipped), Reason.HASH_MISMATCH),
        "cut off": (bytes(cut), Reason.TLV_INVALID),
        "another signer": (rig.image("1.2.0", 3_000, counter=5, signer=STRANGER), Reason.KEY_UNKNOWN),
        "a lower counter": (rig.image("1.2.0", 3_000, counter=4), Reason.SECURITY_COUNTER_LOW),
        "no counter": (rig.image("1.2.0", 3_000, counter=None), Reason.SECURITY_COUNTER_MISSING),
    }


@pytest.mark.parametrize(
    "name", ["a bit of the payload", "cut off", "another signer", "a lower counter", "no counter"]
)
@pytest.mark.parametrize("layout", TWO_SLOTS)
def test_a_refused_candidate_is_erased_and_the_old_image_stays(layout: str, name: str) -> None:
    rig = small(layout)
    old = rig.image("1.1.0", 2_000, counter=5)
    device = rig.device(old, security_counter=5)
    boot(device)
    candidate, reason = spoilt(rig)[name]
    put(device, candidate)
    booted = boot(device)
    assert runs(booted, rig, old)
    assert any(str(reason) in step.detail for step in device.journal)
    if layout not in ("direct-xip", "direct-xip-revert", "ram-load"):
        assert booted.reason is reason
    secondary = device.area("secondary")
    assert secondary.is_erased(0, secondary.size)
    again = boot(device)
    assert (runs(again, rig, old), again.reason, device.security_counter) == (True, Reason.NONE, 5)
    new = rig.image("1.2.0", 3_000, counter=5)
    assert rig.take(device, new, security_counter=5) is Reason.NONE
    assert runs(boot(device), rig, new)


@pytest.mark.parametrize("name", ["a bit of the payload", "another signer", "no counter"])
@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "single-slot"])
def test_the_updater_refuses_the_same_candidates_and_leaves_the_running_image(layout: str, name: str) -> None:
    rig = small(layout)
    old = rig.image("1.1.0", 2_000, counter=5)
    device = rig.device(old, security_counter=5)
    candidate, reason = spoilt(rig)[name]
    assert rig.take(device, candidate, security_counter=5) is reason
    assert runs(boot(device), rig, old)
    assert runs(boot(device), rig, old)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("layout", TRYING)
def test_the_security_counter_rises_only_once_the_trial_is_confirmed(layout: str, store: str) -> None:
    rig = small(layout, counter_store=store)
    old, new = rig.image("1.1.0", 2_000, counter=3), rig.image("1.2.0", 2_000, counter=9)
    device = rig.device(old, security_counter=3)
    for _ in range(2):
        assert rig.take(device, new, security_counter=9) is Reason.NONE
        assert boot(device).trial
        assert device.security_counter == 3
        assert runs(boot(device), rig, old), "the way back is open until then"
    assert rig.take(device, new, security_counter=9) is Reason.NONE
    boot(device)
    confirm_update(device)
    assert device.security_counter == 9
    assert runs(boot(device), rig, new)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout not in TRYING])
def test_without_a_trial_the_security_counter_follows_at_the_boot_that_runs_the_image(
    layout: str, store: str
) -> None:
    rig = small(layout, counter_store=store)
    device = rig.device(rig.image("1.1.0", 2_000, counter=3), security_counter=3)
    new = rig.image("1.2.0", 2_000, counter=9)
    assert rig.take(device, new, security_counter=9) is Reason.NONE
    assert device.security_counter == 3
    assert runs(boot(device), rig, new)
    assert device.security_counter == 9


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("layout", TWO_SLOTS)
def test_a_stored_30_stays_30_when_29_is_refused_and_30_is_accepted(layout: str, store: str) -> None:
    rig = small(layout, counter_store=store)
    old = rig.image("1.1.0", 2_000, counter=30)
    device = rig.device(old, security_counter=30)
    boot(device)
    low = rig.image("1.2.0", 2_000, counter=29)
    assert rig.take(device, low, security_counter=29) is Reason.SECURITY_COUNTER_LOW
    assert rig.take(device, low, security_counter=30) is Reason.SECURITY_COUNTER_LOW, "whatever is promised"
    put(device, low)
    assert runs(boot(device), rig, old)
    assert device.security_counter == 30
    equal = rig.image("1.2.0", 2_000, counter=30)
    assert rig.take(device, equal, security_counter=30) is Reason.NONE
    assert runs(boot(device), rig, equal)
    confirm_update(device)
    assert device.security_counter == 30


@pytest.mark.parametrize("old_fixed", [False, True])
@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "ram-load"])
def test_an_image_must_be_built_for_where_it_will_run(layout: str, old_fixed: bool) -> None:
    """Where it waits until then, in a second slot or a download partition, is not that place."""
    rig = small(layout)
    placed = {"rom_fixed": 0} if old_fixed else {}
    old = rig.image("1.1.0", 2_000, **placed)
    device = rig.device(old)
    boot(device)
    target = boot_loader(device).target(device)
    right = target.address if layout in SELECTING else 0
    for wrong in {right + 512, 0, target.address} - {right}:
        assert rig.take(device, rig.image("1.2.0", 2_000, rom_fixed=wrong)) is Reason.LOAD_ADDRESS_WRONG
        if layout == "single-slot":  # by then it has overwritten the old image
            assert boot(device).reason is Reason.NO_VALID_IMAGE
            device = rig.device(old)
            continue
        assert runs(boot(device), rig, old)
        if layout != "in-place-journal":
            put(device, rig.image("1.2.0", 2_000, rom_fixed=wrong))
            assert runs(boot(device), rig, old)
    new = rig.image("1.2.0", 2_000, rom_fixed=right)
    for kind in ("full",) if layout == "single-slot" else KINDS:
        fresh = rig.device(old)
        boot(fresh)
        assert rig.take(fresh, new, kind) is Reason.NONE
        assert runs(boot(fresh), rig, new)
        if layout in TRYING:
            assert runs(boot(fresh), rig, old), "the old one is taken back to where it was built for"


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "ram-load"])
def test_an_image_for_ram_is_refused_where_images_run_from_flash(layout: str) -> None:
    rig = small(layout)
    device = rig.device(rig.image("1.1.0", 2_000))
    new = rig.image("1.2.0", 2_000, load_address=0x2000_0000)
    assert rig.take(device, new) is Reason.HEADER_INVALID


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("erased", [0x00, 0xFF])
def test_both_erased_values_and_every_write_size_work(layout: str, erased: int) -> None:
    for write in (1, 2, 4, 8, 16, 32):
        rig = Rig.of(layout, sectors=40, sector=512, write_size_bytes=write, erased_value=erased)
        old, new = rig.image("1.1.0", 2_000), rig.image("1.2.0", 2_300)
        device = updated(rig, new, old)
        assert runs(boot(device), rig, new)
        if layout in TRYING:
            assert runs(boot(device), rig, old)


def test_the_layouts_here_are_all_there_are() -> None:
    assert set(LAYOUTS) == set(layouts.names())
    assert set(TRYING) == {name for name in LAYOUTS if layouts.get(name).has_trial}
    rig = small("swap-move")
    assert replace(rig, encrypted=True).image("1.1.0", 2_000) != rig.image("1.1.0", 2_000)
